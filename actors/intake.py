"""How an engine takes the learner's weights: all of them, in place of its own, or adapters beside them.

Either way those of a version come in buckets, between `open` and `close`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from safetensors.torch import save_file
from torch import Tensor

from actors.adapters import offered_width
from actors.engine import Engine
from truing.config.roles import Lora

Named = Sequence[tuple[str, Tensor]]
"""Some of the weights, by name."""


class Intake(Protocol):
    """What a rollout engine does with new weights."""

    def open(self) -> None:
        """Those of another version are about to come."""
        ...

    def take(self, weights: Named) -> None:
        """Some have come."""
        ...

    def close(self) -> None:
        """All have come: use them."""
        ...


class WholeModel:
    """All weights of the model, by their Hugging Face names."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self) -> None:
        """Let the layers wait until all that they are made of is there."""
        self._engine.open_weights()

    def take(self, weights: Named) -> None:
        """Give them to the layers."""
        self._engine.take_weights(weights)

    def close(self) -> None:
        """Use them, and forget what was computed with the old ones."""
        self._engine.close_weights()


class AdaptersAlone:
    """A and B of each adapted layer, by PEFT's names; the engine's own weights stay the start policy's."""

    def __init__(self, engine: Engine, lora: Lora) -> None:
        """The engine must have been started with `options`."""
        self._engine, self._lora = engine, lora
        self._come: dict[str, Tensor] = {}

    @staticmethod
    def options(lora: Lora) -> dict[str, Any]:
        """What vLLM is told, so that the engine can wear them."""
        return {"enable_lora": True, "max_loras": 1, "max_lora_rank": offered_width(lora.rank)}

    def open(self) -> None:
        """Nothing has come yet."""
        self._come = {}

    def take(self, weights: Named) -> None:
        """Keep them until all are here."""
        self._come |= dict(weights)

    def close(self) -> None:
        """Write them as PEFT would, for the engine reads adapters from a folder, once, and put them on."""
        modules = sorted({name.partition(".lora_")[0].rpartition(".")[2] for name in self._come})
        config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none", "target_modules": modules}
        described = config | {"r": self._lora.rank, "lora_alpha": self._lora.alpha}
        with TemporaryDirectory(prefix="truing-adapter-") as folder:
            (Path(folder) / "adapter_config.json").write_text(json.dumps(described), encoding="utf-8")
            save_file(self._come, Path(folder) / "adapter_model.safetensors")
            self._engine.wear(folder)
        self._come = {}
