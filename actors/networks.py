"""The networks that learners train and scorers run: a causal model read as token log-probs, and one with a scalar head.

Only the backbone of the Hugging Face model is called; the LM head meets response positions alone, in chunks.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from truing.algorithms.logprobs import chunked_logprobs
from truing.data.batches import Padded
from truing.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEAD_FILE = "scalar_head.safetensors"
SCALE_FILE = "scale.json"


def load_causal(folder: str, revision: str | None = None) -> "PreTrainedModel":
    """A causal language model with float32 master weights.

    Raises:
        ConfigError: the folder or Hub name holds no such model.
    """
    # Seconds to import: not for a driver, which loads no model.
    from transformers import AutoModelForCausalLM

    try:
        model = AutoModelForCausalLM.from_pretrained(folder, revision=revision, dtype=torch.float32)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"model {folder}: is not a causal language model that can be loaded ({reason})") from None
    return cast("PreTrainedModel", model)


def backbone(model: "PreTrainedModel") -> nn.Module:
    """The model below its LM head."""
    return model.get_submodule(model.base_model_prefix)


def _hidden(body: nn.Module, batch: Padded) -> Tensor:
    output = body(input_ids=batch.ids, attention_mask=batch.attention.long(), use_cache=False)
    return output.last_hidden_state


class TokenLogprobs(nn.Module):
    """Log-probs and entropies of the response tokens of a batch, flat, row by row."""

    def __init__(self, model: "PreTrainedModel", temperature: float) -> None:
        super().__init__()
        self.model = model
        self.temperature = temperature

    def forward(self, batch: Padded) -> tuple[Tensor, Tensor]:
        """Float32 `[response tokens]` twice, in nats."""
        hidden = _hidden(backbone(self.model), batch)
        # The state at position t predicts token t + 1.
        states = hidden[:, :-1][batch.response[:, 1:]]
        head = cast("nn.Linear", self.model.get_output_embeddings()).weight
        return chunked_logprobs(states, head, batch.ids[batch.response], self.temperature)


class ScalarHead(nn.Module):
    """A scalar for each position: reward at the last token, or value before each response token."""

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        self.body = backbone(model)
        self.head = nn.Linear(model.config.hidden_size, 1, bias=False)
        # Zero: before training every response is worth the same, and nothing depends on a random head.
        nn.init.zeros_(self.head.weight)

    def forward(self, batch: Padded) -> Tensor:
        """Float32 `[rows, length]`."""
        hidden = _hidden(self.body, batch)
        return nn.functional.linear(hidden, self.head.weight).float()[..., 0]

    def rewards(self, batch: Padded) -> Tensor:
        """The scalar at each row's last token: `[rows]`."""
        last = batch.attention.sum(-1) - 1
        return self(batch).gather(-1, last[:, None])[:, 0]

    def values(self, batch: Padded) -> Tensor:
        """The scalar at the position before each response token, flat: V of the state in which it was chosen."""
        return self(batch)[:, :-1][batch.response[:, 1:]]

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
