"""Texts as a Hugging Face encoder or classifier reads them: cut to its positions, in length-sorted, padded micro-batches."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from truing.config.roles import Scorer
from truing.data.batches import micro_batches
from truing.data.chat import load_tokenizer
from truing.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_network(auto: Any, folder: str, what: str, *, unused: str | None = None) -> "PreTrainedModel":
    """A network with float32 weights from safetensors, by one of transformers' `Auto` classes; no code of the model's own.

    `what` names it in errors. Every weight must be stored, but those whose name holds `unused`: transformers would draw the
    others at random.

    Raises:
        ConfigError: the folder or Hub name holds no such model, or one without some of its weights.
    """
    try:
        model, found = auto.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ConfigError(
            f"model {folder}: is not {what} that can be loaded ({reason}); give a Hub name, or a folder that save_pretrained"
            " wrote, with *.safetensors"
        ) from None
    absent = sorted(name for name in found["missing_keys"] if unused is None or unused not in name)
    if absent:
        raise ConfigError(
            f"model {folder}: is not {what}: it has no weights for {absent[0]}"
            f"{f' and {len(absent) - 1} more' if len(absent) > 1 else ''}; give a model that was trained and saved as one"
        )
    return cast("PreTrainedModel", model)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens of one text, or of a pair."""

    ids: list[int]
    types: list[int]
    """Which text of a pair a token is of, where tokenizer and network both ask; else 0."""
    special: list[int]
    """1 for tokens that the tokenizer added."""


class Reader:
    """A network with its tokenizer: from texts to padded batches on its device."""

    def __init__(self, network: "PreTrainedModel", folder: str, settings: Scorer, max_tokens: int) -> None:
        if not settings.gpus:
            torch.set_num_threads(settings.cpus)
        self.network = network.eval()
        cast("nn.Module", network).to("cuda" if settings.gpus else "cpu")
        self.truncated = 0
        """Texts that were cut so far."""
        self._tokenizer: Any = load_tokenizer(folder)
        self._limit = min(max_tokens, self._tokenizer.model_max_length, *_positions(network))
        named, taken = self._tokenizer.model_input_names, inspect.signature(network.forward).parameters
        self._typed = "token_type_ids" in named and "token_type_ids" in taken
        self._pad: int | None = network.config.to_dict().get("pad_token_id")
        # A network that knows no padding reads one text at a time.
        self._budget = settings.token_budget if self._pad is not None else 1

    def encode(self, texts: Sequence[str], seconds: Sequence[str] | None = None) -> list[Encoded]:
        """Tokens of texts, or of pairs with `seconds`. What is longer than the network's positions loses its end, a pair the
        end of whichever is longer. Text that spells a special token is plain text.
        """
        found = self._tokens(texts, seconds)
        long = [i for i, one in enumerate(found) if len(one.ids) > self._limit]
        self.truncated += len(long)
        cut = self._tokens(
            [texts[i] for i in long],
            None if seconds is None else [seconds[i] for i in long],
            truncation=True,
            max_length=self._limit,
        )
        for i, one in zip(long, cut, strict=True):
            found[i] = one
        return found

    def batches(self, encoded: Sequence[Encoded]) -> Iterator[tuple[list[int], dict[str, Tensor]]]:
        """Positions of texts that are read together, and what the network is to be called with; longest first."""
        for group in micro_batches([len(one.ids) for one in encoded], self._budget):
            longest = max(len(encoded[i].ids) for i in group)
            columns = {
                "input_ids": ([encoded[i].ids for i in group], self._pad or 0),
                "attention_mask": ([[1] * len(encoded[i].ids) for i in group], 0),
            }
            if self._typed:
                columns["token_type_ids"] = ([encoded[i].types for i in group], 0)
            yield (
                group,
                {
                    name: torch.tensor([row + [fill] * (longest - len(row)) for row in rows]).to(self.network.device)
                    for name, (rows, fill) in columns.items()
                },
            )

    def _tokens(self, texts: Sequence[str], seconds: Sequence[str] | None, **cut: Any) -> list[Encoded]:
        if not texts:
            return []
        rows = self._tokenizer(
            list(texts),
            None if seconds is None else list(seconds),
            add_special_tokens=True,
            split_special_tokens=True,
            return_special_tokens_mask=True,
            return_token_type_ids=self._typed,
            verbose=False,
            **cut,
        )
        types = rows["token_type_ids"] if self._typed else [[0] * len(ids) for ids in rows["input_ids"]]
        columns = zip(rows["input_ids"], types, rows["special_tokens_mask"], strict=True)
        return [Encoded(*one) if one[0] else self._nothing() for one in columns]

    def _nothing(self) -> Encoded:
        """An empty text of a tokenizer that adds no special tokens: the token that texts begin or end with."""
        tokenizer = self._tokenizer
        token = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        if token is None:
            raise ConfigError(
                f"tokenizer {tokenizer.name_or_path}: gives an empty text no token, and names no BOS or EOS; name one"
            )
        return Encoded([token], [0], [1])


def _positions(network: "PreTrainedModel") -> list[int]:
    """Tokens that the network can read, as its config and its table of positions say; nothing where there is no end.

    RoBERTa's positions begin after that of padding: of its 514, 512 are for tokens.
    """
    config = network.config
    said = [config.max_position_embeddings] if hasattr(config, "max_position_embeddings") else []
    for name, module in network.named_modules():
        if name.endswith(".position_embeddings") and isinstance(module, nn.Embedding):
            said.append(module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1))
    return [length for length in said if length > 0]
