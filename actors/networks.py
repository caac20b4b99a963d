"""The networks that learners train and scorers run: a causal model read as token log-probs, and one with a scalar head.

Only the backbone of the Hugging Face model is called; the LM head meets response positions alone, in chunks.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from truing.algorithms.logprobs import chunked_logprobs
from truing.data.batches import IDLE, Batch, collate
from truing.data.chat import load_tokenizer, located
from truing.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD_FILE = "scalar_head.safetensors"
SCALE_FILE = "scale.json"


def load_causal(folder: str) -> "PreTrainedModel":
    """A causal language model with float32 master weights, by folder or Hub name, `located`.

    Raises:
        ConfigError: the folder or Hub name holds no such model.
    """
    # Seconds to import: not for a driver, which loads no model.
    from transformers import AutoModelForCausalLM

    name, revision = located(folder)
    try:
        # The attention must keep to a mask that is True where it may look: an eager one would add it to the scores.
        model = AutoModelForCausalLM.from_pretrained(
            name,
            revision=revision,
            dtype=torch.float32,
            attn_implementation="sdpa",
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"model {folder}: is not a causal language model that can be loaded ({reason})") from None
    return cast("PreTrainedModel", model)


def save_model(
    model: "PreTrainedModel", weights: Mapping[str, Tensor], dtype: torch.dtype, tokenizer: str, folder: Path
) -> None:
    """Write a plain Hugging Face folder: config, these weights in this type, and the tokenizer of another folder."""
    model.save_pretrained(folder, state_dict={name: weight.to(dtype) for name, weight in weights.items()})
    # The call writes the type of the network in memory; what it stored may be another.
    config = copy.deepcopy(model.config)
    config.dtype = dtype
    config.save_pretrained(folder)
    load_tokenizer(tokenizer).save_pretrained(str(folder))


def backbone(model: "PreTrainedModel") -> nn.Module:
    """The model below its LM head."""
    return model.get_submodule(model.base_model_prefix)


def _states(body: nn.Module, batch: Batch) -> Tensor:
    """Last hidden state of every token, `[rows * length, width]`."""
    output = body(
        input_ids=batch.ids, attention_mask=batch.visible, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    return output.flatten(0, 1)


def picked(states: Tensor, at: Tensor) -> Tensor:
    """The states at flat positions, `[positions, width]`. On a CPU their gradient has the same bits each time.

    All completions of a prompt begin at its last token. Where a position is asked for twice, the gradient of `states[at]` is
    summed by several threads in whatever order they come; that of `index_select` is not.
    """
    return states.index_select(0, at)


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _head(model: "PreTrainedModel") -> Tensor:
    """The matrix of the LM head, `[vocabulary, width]`."""
    return cast("nn.Linear", model.get_output_embeddings()).weight


@torch.no_grad()
def _check_head(model: "PreTrainedModel") -> None:
    ids = torch.tensor([[1, 2, 3]], device=_device(model))
    states = backbone(model)(input_ids=ids, use_cache=False).last_hidden_state
    said = model(input_ids=ids, use_cache=False).logits
    if not torch.allclose(nn.functional.linear(states, _head(model)), said, rtol=1e-3, atol=1e-3):
        raise ConfigError(
            f"model {model.config.name_or_path}: its LM head is more than a matrix (a bias, a scale, or a cap on the logits), which"
            " is not trained here; use a model without"
        )


class TokenLogprobs(nn.Module):
    """Log-probs and entropies of the response tokens of a batch, in its order."""

    def __init__(self, model: "PreTrainedModel", temperature: float) -> None:
        """Raises ConfigError where the model's logits are not its last states times the matrix of its head."""
        super().__init__()
        _check_head(model)
        self.model = model
        self.temperature = temperature

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Float32 `[response tokens]` twice, in nats."""
        batch = batch.to(_device(self.model))
        states = picked(_states(backbone(self.model), batch), batch.predictors)
        return chunked_logprobs(states, _head(self.model), batch.targets, self.temperature)

    @contextmanager
    def untempered(self) -> Iterator[None]:
        """Inside, log-probs at temperature 1: what the model says of a text that nobody sampled from it."""
        temperature, self.temperature = self.temperature, 1.0
        try:
            yield
        finally:
            self.temperature = temperature

    def idle(self) -> Tensor:
        """A loss of 0 from a pass as any other: for a rank that has nothing to learn from while the others have."""
        return self(collate([IDLE]))[0].sum() * 0.0


class ScalarHead(nn.Module):
    """A scalar for each position: reward at the last token, or value before each response token."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self.body = backbone(model)
        self.head = nn.Linear(model.config.hidden_size, 1, bias=False)
        # Zero: before training every response is worth the same, and nothing depends on a random head.
        nn.init.zeros_(self.head.weight)

    def forward(self, batch: Batch, at: Tensor) -> Tensor:
        """The scalar at flat positions `at`: float32 `[positions]`."""
        return self.head(picked(_states(self.body, batch), at))[:, 0].float()

    def rewards(self, batch: Batch) -> Tensor:
        """The scalar at each response's last token: `[responses]`."""
        batch = batch.to(_device(self.head))
        return self(batch, batch.last)

    def values(self, batch: Batch) -> Tensor:
        """The scalar at the position before each response token: V of the state in which it was chosen."""
        batch = batch.to(_device(self.head))
        return self(batch, batch.predictors)

    def idle(self) -> Tensor:
        """A loss of 0 from a pass as any other: for a rank that has nothing to learn from while the others have."""
        return self.rewards(collate([IDLE])).sum() * 0.0

    def save_head(self, folder: Path) -> None:
        """Write the head beside the backbone's files."""
        save_file({"weight": self.head.weight.detach().contiguous()}, folder / HEAD_FILE)


def load_reward_model(folder: str) -> tuple[ScalarHead, float, float]:
    """A reward model and the mean and deviation of its raw score on the start policy's samples.

    Raises:
        ConfigError: the folder is not a reward model.
    """
    path = Path(folder)
    for name in (HEAD_FILE, SCALE_FILE):
        if not (path / name).is_file():
            raise ConfigError(f"reward model {folder}: has no {name}; give the folder that `truing train` wrote")
    network = ScalarHead(load_causal(folder))
    network.head.weight.data.copy_(load_file(path / HEAD_FILE)["weight"])
    scale = json.loads((path / SCALE_FILE).read_text())
    return network, float(scale["mean"]), float(scale["deviation"])
