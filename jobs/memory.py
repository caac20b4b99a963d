"""What each role of a study needs of memory, before anything is started: an estimate from the model's shape.

Learner (bytes a parameter, float32 masters; w ranks share what the ZeRO stage shards):
    weights 4 (stage 3: /w), gradients 4 (stages 2, 3: /w), AdamW: a float32 copy 4 and two moments 8 (stages 1-3: /w; stage 0
    has no copy); with LoRA the last three are of the adapters alone.
Activations a token and layer, kept for the backward pass, with what the allocator cannot give back where batches differ in
shape: 110 bytes a hidden unit and 8 an intermediate one in bfloat16 autocast, half as much again in float32; with gradient
checkpointing one hidden state a layer, and one layer's rest.
The constants below were fitted to runs on this project's demo model (docs/performance.md names the commands).
"""

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

from safetensors import safe_open

from truing.algorithms.logprobs import CHUNK
from truing.config.roles import Engine, Learner, Scorer

GB = 1e9
DRIVER = 1.9
"""The driver, and Ray's own processes on one node."""
PROCESS = {"engine": 1.3, "learner": 0.75, "scorer": 0.55}
"""A worker before it holds a model: interpreter and libraries."""


@dataclass(frozen=True)
class Shape:
    """What the estimate needs to know of a model."""

    parameters: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int

    @classmethod
    def of(cls, folder: str) -> "Shape | None":
        """From config.json and the headers of the weight files; None for a Hub name that is not on this machine."""
        path = Path(folder)
        if not (path / "config.json").is_file():
            return None
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        count = 0
        for file in path.glob("*.safetensors"):
            with safe_open(file, "np") as tensors:
                count += sum(prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
        hidden = config["hidden_size"]
        return cls(
            count,
            config["num_hidden_layers"],
            hidden,
            config.get("intermediate_size", 4 * hidden),
            config["vocab_size"],
        )


@dataclass(frozen=True)
class Need:
    """Memory of one actor of a role, in GB, in parts; `lower` is the key to change where it does not fit."""

    key: str
    count: int
    parts: dict[str, float]
    gpu: bool
    lower: str

    @property
    def each(self) -> float:
        """One actor's."""
        return sum(self.parts.values())

    @property
    def total(self) -> float:
        """The role's."""
        return self.count * self.each


def learner_need(key: str, shape: Shape, settings: Learner) -> Need:
    """One rank of a learner."""
    n, stage, ranks = shape.parameters / GB, settings.zero_stage, settings.ranks
    trained = n if settings.lora is None else _adapters(shape, settings.lora.rank) / GB
    weights = 4 * n / (ranks if stage == 3 else 1)
    gradients = 4 * trained / (ranks if stage >= 2 else 1)
    # ZeRO sums gradients into a buffer of its own beside those of autograd, and keeps a float32 copy.
    optimizer = 8 * trained if stage == 0 else (4 + 4 + 8) * trained / ranks
    parts = {
        "process": PROCESS["learner"], "weights": weights, "gradients": gradients, "optimizer": optimizer,
        "activations": _activations(shape, settings), "LM head": _head(shape),
    }  # fmt: skip
    on_gpu = bool(settings.gpus)
    return Need(key, ranks, parts, on_gpu, f"{key}.token_budget or {key}.zero_stage, or train {key}.lora")


def scorer_need(key: str, shape: Shape, settings: Scorer, models: int = 1) -> Need:
    """A stateless forward pass: float32 weights, and one layer's activations."""
    layer = settings.token_budget * (20 * shape.hidden + 8 * shape.intermediate) / GB
    parts = {"process": PROCESS["scorer"], "weights": models * 4 * shape.parameters / GB, "activations": 4 * layer}
    parts["LM head"] = _head(shape) / 2
    return Need(key, settings.count, parts, bool(settings.gpus), f"{key}.token_budget or {key}.count")


def engine_need(key: str, shape: Shape, settings: Engine) -> Need:
    """A vLLM engine: its weights (the CPU build keeps a packed copy of the LM head), and the KV cache that it is given."""
    size = 2 if settings.dtype == "bfloat16" else 4
    weights = size * (shape.parameters + shape.vocabulary * shape.hidden) / GB
    logits = settings.max_sequences * shape.vocabulary * 4 * 4 / GB
    parts = {"process": PROCESS["engine"], "weights": weights, "KV cache": settings.cache_gb * 1.074, "logits": logits}
    return Need(key, settings.count, parts, bool(settings.gpus), f"{key}.cache_gb or {key}.max_sequences")


def _activations(shape: Shape, settings: Learner) -> float:
    wide = 1.0 if settings.precision == "bfloat16" else 1.5
    layer = wide * (110 * shape.hidden + 8 * shape.intermediate)
    if settings.gradient_checkpointing:
        return settings.token_budget * (shape.layers * 4 * shape.hidden + layer) / GB
    cast = 2 * shape.parameters / GB if settings.precision == "bfloat16" else 0.0
    return settings.token_budget * shape.layers * layer / GB + cast


def _head(shape: Shape) -> float:
    """Logits of one chunk of positions, with what softmax and its gradient keep beside them."""
    return 4 * CHUNK * shape.vocabulary * 4 / GB


def _adapters(shape: Shape, rank: int) -> int:
    """Parameters of adapters on the seven linear layers of a block."""
    attention = 4 * 2 * shape.hidden * rank
    mlp = 3 * (shape.hidden + shape.intermediate) * rank
    return shape.layers * (attention + mlp)
