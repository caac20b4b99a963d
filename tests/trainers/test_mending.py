"""A run whose actors die, and whose successors die while they start: it is gone on with as if nobody had died."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actors.group import ActorGroup, Needs
from actors.learner import Seat
from tests.local_ray import local_ray
from tests.trainers.counter import Counter
from trainers.mending import LOSSES, persist
from trainers.metrics import read_metrics
from trainers.run import UPDATE, Run
from truing.errors import ActorLost

NEEDS = Needs(cpus=0, gpus=0, environment={"OMP_NUM_THREADS": "1"}, start_deadline=120, call_deadline=120)
STEPS = 6


class Frail(Counter):
    """While it is made it dies as often as a file of its role has bytes."""

    def __init__(self, deaths: Path, _: Seat | None = None) -> None:
        super().__init__()
        if deaths.exists() and (left := deaths.read_bytes()):
            deaths.write_bytes(left[1:])
            os.kill(os.getpid(), signal.SIGKILL)


def die(_: Counter) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(_: Counter) -> None:
    time.sleep(600)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with local_ray(2):
        yield


class Story:
    """Six steps with a checkpoint after each third. At a step some roles are killed; of their successors so many die too.

    Or a role `hangs` at step 4, with a deadline of ten seconds.
    """

    def __init__(
        self, folder: Path, killed: dict[int, list[str]], deaths: dict[str, int], mends: int, hangs: str = ""
    ) -> None:
        make = {role: partial(Frail, folder / role) for role in ("learner", "rollout")}
        needs = replace(NEEDS, call_deadline=10) if hangs else NEEDS
        learner = ActorGroup.ranks("learner", 1, make["learner"], NEEDS).ready()
        rollout = ActorGroup.elastic("rollout", 1, 1, make["rollout"], needs).ready()
        groups: dict[str, ActorGroup[Any]] = {"learner": learner, "rollout": rollout}
        if hangs == "reference":
            groups[hangs] = ActorGroup.stateless(hangs, 1, Counter, replace(needs, restarts=2)).ready()
        others = [group for role, group in groups.items() if role != "learner"]
        self.hangs = hangs
        for role, count in deaths.items():
            (folder / role).write_bytes(b"x" * count)
        self.run = Run(folder / "run", every=3, groups={"learner": learner}, state={})
        self.said: list[str] = []
        self.killed = dict(killed)
        try:
            persist(self.run, partial(self.train, groups), others, mends=mends, say=self.said.append)
        finally:
            for group in groups.values():
                group.close()

    def train(self, groups: dict[str, ActorGroup[Any]]) -> None:
        for step in self.run.steps(STEPS):
            for role in self.killed.pop(step, []):
                with pytest.raises(ActorLost):
                    groups[role].broadcast(die)
            if step == 4 and self.hangs:
                hanging, self.hangs = self.hangs, ""
                groups[hanging].broadcast(hang)
            for role in groups.keys() - {"learner"}:
                groups[role].broadcast(Counter.update)
            with self.run.time(UPDATE):
                self.run.report(value=groups["learner"].first(Counter.update))

    @property
    def values(self) -> list[float]:
        return [row["value"] for row in read_metrics(self.run.folder / "metrics.jsonl")]

    @property
    def losses(self) -> list[tuple[list[str], str]]:
        rows = map(json.loads, (self.run.folder / LOSSES).read_text().splitlines())
        return [(row["lost"], row["from"]) for row in rows]


def undisturbed() -> list[int]:
    """1 -> 38 -> 176 (38 * 31 + 7 = 1185, less 1009) and so on: what a learner's value is after each step."""
    values = [1]
    for _ in range(STEPS):
        values.append((values[-1] * 31 + 7) % 1009)
    return values[1:]


@pytest.mark.parametrize(
    ("killed", "deaths", "losses"),
    [
        ({4: ["rollout"]}, {"rollout": 1}, [(["rollout"], "step")] * 2),
        ({4: ["learner"]}, {"learner": 1}, [(["learner"], "checkpoint")] * 2),
        ({1: ["learner"]}, {"learner": 1}, [(["learner"], "beginning")] * 2),
        # The learner's successor knows nothing of step 3, though it is there and well when the engine's dies.
        ({4: ["learner", "rollout"]}, {"rollout": 1}, [(["learner", "rollout"], "checkpoint")] * 2),
    ],
)
def test_a_successor_that_dies_while_it_starts_is_mended_too(
    tmp_path: Path, killed: dict[int, list[str]], deaths: dict[str, int], losses: list[tuple[list[str], str]]
) -> None:
    story = Story(tmp_path, killed, deaths, mends=2)
    assert story.values == undisturbed()
    assert story.losses == losses
    # Both are mended at once, with the second of two mends.
    assert [line.rpartition("(")[2] for line in story.said] == ["0 mends left)"] * 2


@pytest.mark.parametrize("role", ["rollout", "reference"])
def test_who_hangs_is_replaced_like_one_that_died(tmp_path: Path, role: str) -> None:
    """One mend is enough: the next call does not queue behind the one that hangs."""
    story = Story(tmp_path, {}, {}, mends=1, hangs=role)
    assert story.values == undisturbed()
    assert story.losses == [([role], "step")]
    assert story.said[0].startswith(f"lost: {role}: hang did not answer within 10 s (actor 0 of 1)")


def test_more_deaths_than_mends_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(ActorLost, match="rollout: start: the process died"):
        Story(tmp_path, {4: ["rollout"]}, {"rollout": 2}, mends=2)
