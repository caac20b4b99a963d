"""Actors that are killed in the middle of RL: the run mends itself, and its figures are those of a run that nobody disturbed."""

import json
import os
import signal
from pathlib import Path

import pytest

from actors.exporting import ROLE
from tests.jobs.conftest import LEARN, Trained
from tests.jobs.drive import Command, metrics
from trainers.mending import LOSSES

pytestmark = pytest.mark.timeout(3600)

KILLS = {2: "rollout", 6: "reference", 11: "policy", 18: "rollout"}
"""After so many steps, who. Each 8th step has a checkpoint."""


def kill(command: Command, role: str) -> None:
    """SIGKILL to a role's process."""
    there = [process for process in command.descendants() if process.environ().get(ROLE) == role]
    assert there, f"no process of role {role}"
    os.kill(there[0].pid, signal.SIGKILL)


@pytest.fixture(scope="module", params=["object_store", "native"])
def mended(tmp_path_factory: pytest.TempPathFactory, small: list[str], request: pytest.FixtureRequest) -> Trained:
    """configs/smoke/learn.yaml, with the kills in between; the weights take either way to the engines."""
    folder = tmp_path_factory.mktemp("mended")
    file = folder / "learn" / "policy" / "metrics.jsonl"
    command = Command(folder, "train", str(LEARN), f"storage={folder}", *small, f"policy.push.route={request.param}")
    try:
        for steps, role in KILLS.items():
            command.until(lambda steps=steps: len(metrics(file)) >= steps)
            kill(command, role)
        return Trained(command.wait().expect(0), folder / "learn")
    finally:
        command.end()


def losses(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "policy" / LOSSES).read_text().splitlines()]


def test_the_figures_are_those_of_a_run_that_nobody_disturbed(mended: Trained, learned: Trained):
    assert mended.rows == learned.rows


def test_what_was_lost_is_written_down_and_what_it_cost(mended: Trained):
    """The reference is Ray's to start again; an engine costs the step that was under way, a learner those since the checkpoint."""
    found = [(row["lost"], row["from"]) for row in losses(mended.folder)]
    assert found == [(["rollout"], "step"), (["policy"], "checkpoint"), (["rollout"], "step")]
    for row in losses(mended.folder):
        assert "the process died" in row["cause"]
    assert "going on from the last checkpoint" in mended.outcome.out


def test_one_loss_too_many_ends_the_run_with_one_line(tmp_path: Path, small: list[str]):
    command = Command(tmp_path, "train", str(LEARN), f"storage={tmp_path}", *small, "cluster.mends=0")
    try:
        command.until(lambda: len(metrics(tmp_path / "learn" / "policy" / "metrics.jsonl")) >= 2)
        kill(command, "policy")
        done = command.wait().expect(4)
    finally:
        command.end()
    assert len(done.err.splitlines()) == 1
    assert done.err.endswith("run the same command again to go on from what is stored\n")
