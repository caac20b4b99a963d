"""One batch and the updates that tests of learners make with it, over groups of any number of ranks."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from actors import sharded
from actors.learner import Seat
from actors.policy import Policy, PolicyLoss, Pretraining, UpdateStats
from tests.actors.examples import LEARNER, plain_groups, plain_model, random_floats, random_rollouts
from tests.actors.losses import surrogate
from tests.actors.ranks import Room
from truing.config.roles import Learner

LOSS = 1e-5
"""Largest difference of a loss, norm or mean (all are of the order of 1): float32 sums in another order."""
MOVED = 0.05
"""Largest difference of a parameter, in learning rates. AdamW moves each by about one: it divides by the gradient's own
size, which for gradients near 0 makes much of the order of a sum."""

Batch = dict[str, Any]


def six_prompts(folder: str) -> Batch:
    """Six prompts, two completions each, one of which has no advantage: arguments of `Policy.update`."""
    groups = random_rollouts(1, prompts=6)
    advantages: list[list[Any]] = [list(group) for group in random_floats(2, groups)]
    advantages[1][0] = None
    return {"groups": groups, "old": plain_groups(plain_model(folder), groups, 1.0), "advantages": advantages}


def policy(folder: str, settings: Learner = LEARNER) -> Callable[[Seat], Policy]:
    return partial(Policy, folder, settings, 1.0)


def small_parts_too(folder: str, settings: Learner, seat: Seat, *, kind: type[Policy] = Policy) -> Policy:
    """A policy whose every parameter is sharded. DeepSpeed keeps those below 100,000 whole: all of a tiny model's."""
    whole = sharded.zero_settings
    sharded.zero_settings = lambda some: whole(some) | {"stage3_param_persistence_threshold": 0}
    try:
        return kind(folder, settings, 1.0, seat)
    finally:
        sharded.zero_settings = whole


def update(
    group: Any, batch: Batch, prompts: int = 6, pretraining: Pretraining | None = None, loss: PolicyLoss = surrogate
) -> UpdateStats:
    """One update over the first prompts of the batch; what every rank says must be the same."""
    columns = [batch[name][:prompts] for name in ("groups", "old", "old", "advantages")]
    common = {"minibatches": 1, "loss": loss, "importance_cap": 1000.0, "pretraining": pretraining}
    first, *others = group.scatter(Room.update, *columns, [0] * prompts, **common).get()
    assert others == [first] * len(others)
    return first


def parameters(group: Any, folder: Path) -> dict[str, Tensor]:
    folder.mkdir()
    group.broadcast(Room.save, folder)
    return load_file(folder / "parameters.safetensors")


def largest_move(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert found.keys() == expected.keys()
    return max(float((found[name] - expected[name]).abs().max()) for name in expected)


def figures(stats: UpdateStats) -> list[float]:
    return [stats.loss, stats.grad_norm, stats.entropy, stats.ratio, stats.logprob_gap]
