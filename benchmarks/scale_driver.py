"""What the driver of reinforcement learning does in a step: the real trainer, its groups of Ray actors, and roles that sleep."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import ray

from actors.group import ActorGroup, Needs
from actors.rollout import Probe
from actors.scoring import Part, RewardGraph, rule_scores
from benchmarks.scale_labeling import Figures
from benchmarks.scale_roles import Pace, SleepingEngine, SleepingPolicy, SleepingReference
from benchmarks.scale_usage import Spent, resident, shares, slope, spent
from jobs.cluster.connect import connect, session
from jobs.policy import TRAINERS, controller
from trainers.rollouts import Sampler
from trainers.run import Run
from trainers.sync import ObjectStore
from truing.config.policy import Policy, Rloo
from truing.config.rewards import FinishedPart
from truing.config.stages import Sampling
from truing.config.study import Study
from truing.data.stream import PromptStream

WARM = 2
"""Steps that are not counted: processes import what they are asked for in the first."""
COMPLETIONS = 4
"""Of a prompt."""


@dataclass(frozen=True, slots=True)
class Task:
    """One run. `sharing`: engines for each reference; a learner's rank serves twice as many. `pace`: times of a step."""

    engines: int
    steps: int = 8
    sharing: int = 4
    tokens: int = 40
    pace: Pace = field(default_factory=Pace)

    @property
    def references(self) -> int:
        """How many there are."""
        return max(1, self.engines // self.sharing)

    @property
    def ranks(self) -> int:
        """How many the learner has."""
        return max(1, self.engines // (2 * self.sharing))

    @property
    def completions(self) -> int:
        """Of a step."""
        return self.engines * self.pace.completions


@dataclass(frozen=True, slots=True)
class Mark:
    """The beginning of a step: what has been spent and waited, and memory in MB."""

    spent: Spent
    waited: float
    resident: float


@dataclass
class Waiting:
    """Seconds that this process has spent in `ray.wait`, where the trainers wait; fetching what has come is work."""

    seconds: float = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """A block in which they are counted."""
        wait = ray.wait

        def timed(*args: Any, **options: Any) -> Any:
            begun = time.perf_counter()
            try:
                return wait(*args, **options)
            finally:
                self.seconds += time.perf_counter() - begun

        ray.wait = timed
        try:
            yield
        finally:
            ray.wait = wait


@dataclass
class Marks:
    """Noted by a run at the beginning of each step and at the end of the last."""

    waiting: Waiting
    every: list[Mark] = field(default_factory=list[Mark])

    def note(self) -> None:
        """Now."""
        self.every.append(Mark(spent(), self.waiting.seconds, resident()))


class MarkedRun(Run):
    """A run without checkpoints that notes when its steps begin."""

    def __init__(self, folder: Path, steps: int, marks: Marks) -> None:
        super().__init__(folder, every=steps, groups={}, state={})
        self._marks = marks

    def steps(self, total: int) -> Iterator[int]:
        """As any run's."""
        for step in super().steps(total):
            self._marks.note()
            yield step
        self._marks.note()


def roles(task: Task, keys: list[str]) -> Any:
    """Groups of actors as `trainers.roles.Roles` has them; all of them load at the same time."""
    needs = Needs(0, 0, {"OMP_NUM_THREADS": "1"}, 1800, 600)
    # What all of a role's actors read together is read in the time of the phase.
    reading = task.pace.score / task.completions
    engines = ActorGroup.elastic(
        "rollout", task.engines, task.engines, partial(SleepingEngine, keys, task.tokens, task.pace), needs
    )
    reference = partial(SleepingReference, reading * task.references)
    references = ActorGroup.stateless("reference", task.references, reference, needs)
    rank = partial(SleepingPolicy, reading * task.ranks, task.pace)
    policy = ActorGroup.ranks("policy", task.ranks, rank, needs)
    groups = (engines, references, policy)
    for group in groups:
        group.ready()
    graph = RewardGraph([Part("finished", 1.0, references, rule_scores, {"rule": FinishedPart()})])
    probe = Probe(list(range(1000, 1030)), list(range(1000, 1020)))
    return SimpleNamespace(
        engines=engines, references=references, policy=policy, critic=None, graph=graph, probe=probe, groups=groups,
        push=ObjectStore(),
    )  # fmt: skip


def steps(task: Task) -> Figures:
    """One run, in a process of its own with a Ray of its own. See `benchmarks.scale` for what the figures are."""
    study = Study(name="bench")
    prompts = task.completions // COMPLETIONS
    settings = Policy(
        algorithm=Rloo(completions=COMPLETIONS), rewards=(FinishedPart(),), steps=task.steps, prompts=prompts,
        sampling=Sampling(max_tokens=task.tokens),
    )  # fmt: skip
    keys = [f"{i:06d}" for i in range(2 * prompts)]
    waiting = Waiting()
    marks = Marks(waiting)
    with tempfile.TemporaryDirectory() as scratch, session(study):
        connect(study)
        begun = time.monotonic()
        sleeping = roles(task, keys)
        started = time.monotonic() - begun
        weights = shares("ray::Host") + shares("ray::Interruptible")
        try:
            run = MarkedRun(Path(scratch), task.steps, marks)
            sampler = Sampler(sleeping, PromptStream(keys, 0), settings, 0)
            with waiting.counted():
                TRAINERS["rloo"](run, sleeping, sampler, controller(settings.kl), settings)
        finally:
            for group in sleeping.groups:
                group.close()
    return figures(marks.every[WARM:]) | {
        "start seconds": started,
        "actors": float(sum((task.engines, task.references, task.ranks))),
        "actor MB": sum(weights) / max(len(weights), 1),
    }


def figures(marks: list[Mark]) -> Figures:
    """Medians over the steps. `driver`: what is not spent waiting, as a share of the step. Memory: after a third of them."""
    pairs = list(pairwise(marks))
    wall = [after.spent.at - before.spent.at for before, after in pairs]
    working = [seconds - (after.waited - before.waited) for seconds, (before, after) in zip(wall, pairs, strict=True)]
    memory = [mark.resident for mark in marks]
    return {
        "steps": float(len(pairs)),
        "step seconds": median(wall),
        "driver seconds": median(working),
        "driver": median(work / seconds for work, seconds in zip(working, wall, strict=True)),
        "driver CPU seconds": median(after.spent.driver - before.spent.driver for before, after in pairs),
        "ray CPU seconds": median(after.spent.ray - before.spent.ray for before, after in pairs),
        "driver MB": memory[-1],
        "driver MB a step": slope(memory[len(memory) // 3 :]),
    }
