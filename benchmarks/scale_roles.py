"""The roles of reinforcement learning as actors that compute nothing and take as long as measured ones.

What the trainers call is called here too: the classes are the real ones, their models are not there. A module of its own: the
actors' processes import it.
"""

import threading
import time
from collections.abc import Generator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from actors.forward import Floats
from actors.learner import Seat
from actors.policy import Policy, UpdateStats
from actors.reference import Reference
from actors.rollout import RolloutEngine
from actors.writing import Draft
from truing.config.roles import Learner, Lora
from truing.config.stages import Sampling
from truing.data.batches import Tree
from truing.records import derived_seed

PROMPT = 60
"""Tokens of a prompt."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that each phase of a step takes, and the completions of an engine that they were measured with."""

    push: float = 0.73
    sample: float = 2.42
    score: float = 6.2
    update: float = 5.66
    completions: int = 16

    def times(self, factor: float) -> "Pace":
        """Each phase so many times as long."""
        return Pace(
            factor * self.push, factor * self.sample, factor * self.score, factor * self.update, self.completions
        )


class SleepingEngine(RolloutEngine):
    """An engine whose completions are all as long as they may be, and done at the same time."""

    def __init__(self, keys: Sequence[str], tokens: int, pace: Pace) -> None:
        self._sampling, self._pace = Sampling(max_tokens=tokens), pace
        self._interrupted, self.version = threading.Event(), 0
        self._texts = dict.fromkeys(keys, "p " * PROMPT)
        self._prompts = {key: list(range(1000, 1000 + PROMPT)) for key in keys}
        self._engine: Any = self
        self._intake: Any = self
        self._tokenizer: Any = self

    def _advance(
        self,
        drafts: Sequence[Draft],
        seed: int,
        step: int | str,
        temperature: float,  # noqa: ARG002 - as an engine is called
    ) -> Generator[list[Draft]]:
        begun = time.monotonic()
        for draft in drafts:
            draw = np.random.default_rng(derived_seed(seed, step, draft.prompt_id, draft.number))
            draft.tokens += draw.integers(5, 30_000, draft.full).tolist()
            draft.logprobs += [0.0] * draft.full
            draft.versions += [self.version] * draft.full
        _sleep(begun, self._pace.sample * len(drafts) / self._pace.completions)
        yield list(drafts)

    def decode(self, tokens: Sequence[int], **_: object) -> str:
        """As a tokenizer's: four characters a token."""
        return "".join(f"{token % 1000:03d} " for token in tokens)

    def sequence_logprobs(self, _: list[int], response: list[int]) -> list[float]:
        """As an engine's: every token is certain."""
        return [0.0] * len(response)

    def open(self) -> None:
        """As an intake's."""

    def take(self, _: object) -> None:
        """As an intake's: what a push takes, it takes here."""
        time.sleep(self._pace.push)

    def close(self) -> None:
        """As an intake's."""


def _sleep(begun: float, seconds: float) -> None:
    """What has been done meanwhile is part of what it takes."""
    time.sleep(max(0.0, begun + seconds - time.monotonic()))


def _certain(trees: Sequence[Tree], seconds: float) -> list[list[Floats]]:
    """Log-probs of 0, after so many seconds for each response."""
    begun = time.monotonic()
    found = [[np.zeros(len(response), np.float32) for response in tree.responses] for tree in trees]
    _sleep(begun, seconds * sum(len(tree.responses) for tree in trees))
    return found


class SleepingReference(Reference):
    """`each`: seconds for a completion."""

    def __init__(self, each: float) -> None:
        self._each = each

    def read(self, trees: Sequence[Tree]) -> list[list[Floats]]:
        """As a reference's."""
        return _certain(trees, self._each)


class SleepingPolicy(Policy):
    """A rank that holds a few weights. `each`: seconds to read a completion; an update takes as long, whatever is in it."""

    def __init__(self, each: float, pace: Pace, seat: Seat) -> None:
        self._each, self._pace = each, pace
        self.network: Any = SimpleNamespace(untempered=nullcontext, model=None)
        self.learner: Any = SimpleNamespace(settings=Learner(lora=Lora(push="adapter")), seat=seat, whole=nullcontext)
        self._few = {"weight": [nn.Parameter(torch.zeros(1 << 16))]}

    def read(self, trees: Sequence[Tree]) -> list[list[Floats]]:
        """As a learner's."""
        return _certain(trees, self._each)

    def _pushed(self) -> dict[str, list[nn.Parameter]]:
        return self._few

    def _one_update(self, *_: object) -> UpdateStats:
        time.sleep(self._pace.update)
        return UpdateStats(0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0)
