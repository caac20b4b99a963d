"""A labeling job on a cluster without a labeler node: Ray's autoscaler brings some, and takes them away again."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.store import Table
from tests.jobs.cluster.growing import growing
from tests.jobs.drive import ROOT, Command, Outcome, write_lines

pytestmark = pytest.mark.timeout(1200)

SMOKE = ROOT / "configs" / "smoke" / "label.yaml"
PAIRS, MOST, DEADLINE = 100, 3, 180


@dataclass(frozen=True)
class Labelled:
    """A finished job, what the cluster could have, and how many labeler nodes it had: (seconds, nodes)."""

    outcome: Outcome
    run: Path
    could_have: list[str]
    counts: list[tuple[float, int]]


def lines(file: Path) -> list[Any]:
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not reached():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Labelled:
    """`truing label` with one engine or up to three, each on a labeler node, of which there are none; a pair is a batch."""
    folder = tmp_path_factory.mktemp("growing")
    pairs = [{"prompt": f"Name {i}.", "first": f"It is {i}.", "second": f"{i}, perhaps?"} for i in range(PAIRS)]
    file, seen = write_lines(folder / "pairs.jsonl", pairs), folder / "seen"
    with growing(folder, MOST) as (address, autoscaling):
        watching = subprocess.Popen(
            [sys.executable, "-m", "tests.jobs.cluster.watch", address, str(autoscaling), str(seen)], cwd=ROOT
        )
        try:
            until(lambda: len(lines(seen)) > 1)
            command = Command(
                folder, "label", str(SMOKE), f"storage={folder}", "name=growing", f"label.pairs.path={file}",
                f"model.path={tiny}", f"labeler.model.path={tiny}", f"labeler.engine.max_count={MOST}", "label.batch=1",
                "label.marked=null",
                f"cluster.address={address}", f"cluster.autoscaling={autoscaling}", "cluster.nodes={labeler: labeler}",
            )  # fmt: skip
            try:
                outcome = command.wait(600).expect(0)
            finally:
                command.end()
            until(lambda: lines(seen)[-1][1] == 0)
        finally:
            watching.kill()
            watching.wait()
    could_have, *counts = lines(seen)
    return Labelled(outcome, folder / "growing", could_have, [(seconds, nodes) for seconds, nodes in counts])


def test_nodes_come_with_the_work_and_go_after_it(labelled: Labelled):
    print(labelled.counts)
    numbers = [number for _, number in labelled.counts]
    assert numbers[0] == 0
    assert 2 <= max(numbers) <= MOST
    assert numbers[-1] == 0


def test_every_label_is_there_once(labelled: Labelled):
    labelled.outcome.expect(0)
    rows = list(Table(labelled.run / "preferences").read(["prompt"]))
    assert len(rows) == len({row["prompt"] for row in rows}) == PAIRS


def test_preflight_counts_the_nodes_that_may_come(labelled: Labelled):
    assert labelled.could_have == ["1 x node (2 CPUs)", f"{MOST} x labeler (1 CPUs, 1 labeler)"]
