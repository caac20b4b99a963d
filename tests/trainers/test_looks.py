"""When to look, which look was the best, when to give up; and that a resume changes none of it."""

import json
from pathlib import Path

import pytest

from tests.actors.examples import Here
from trainers.looks import Looks
from trainers.run import Run, read_metrics


class Weights:
    """A learner whose weight is the number of its updates."""

    def __init__(self) -> None:
        self.value = 0

    def save(self, folder: Path) -> None:
        (folder / "value").write_text(str(self.value))

    def load(self, folder: Path) -> None:
        self.value = int((folder / "value").read_text())


def train(
    folder: Path, losses: list[float], *, patience: int | None, stop_in: int | None = None, every: int = 100
) -> tuple[list[int], int]:
    """A look after each step, which finds these losses. Returns the steps that were done and the weight that stays."""
    learner, looks = Weights(), Looks(1, patience)
    run = Run(folder, every=every, groups={"learner": Here(learner)}, state={"looks": looks})
    done: list[int] = []
    for step in run.steps(len(losses)):
        learner.value = step + 1
        assert looks.due(step)
        looks.saw(run, losses[step])
        if step == stop_in:
            return done, learner.value
        run.report(loss=losses[step])
        done.append(step)
    run.take_best()
    return done, learner.value


def test_a_look_is_due_after_each_so_many_steps() -> None:
    assert [step for step in range(10) if Looks(3, None).due(step)] == [2, 5, 8]
    assert not any(Looks(None, None).due(step) for step in range(10))


def test_after_so_many_looks_without_a_lower_loss_it_stops_and_keeps_the_best(tmp_path: Path) -> None:
    # The lowest is step 2's; steps 3 and 4 are not lower (equal is not), so step 4 is the last.
    assert train(tmp_path, [3.0, 2.5, 1.0, 1.0, 2.0, 0.1], patience=2) == ([0, 1, 2, 3, 4], 3)


def test_a_lower_loss_renews_the_patience(tmp_path: Path) -> None:
    # Without a lower one: 0 at step 0, 1 at step 1, 0 at step 2, 1, then 2 at step 4.
    assert train(tmp_path, [3.0, 4.0, 2.0, 2.5, 2.5, 1.0], patience=2) == ([0, 1, 2, 3, 4], 3)


def test_without_patience_the_last_weights_stay(tmp_path: Path) -> None:
    assert train(tmp_path, [1.0, 2.0, 3.0], patience=None) == ([0, 1, 2], 3)
    assert not list(tmp_path.glob("best-*"))


def test_what_is_not_a_number_is_not_lower(tmp_path: Path) -> None:
    assert train(tmp_path, [1.0, float("nan"), float("nan"), 0.5], patience=2) == ([0, 1, 2], 1)


def test_the_state_goes_round_as_json() -> None:
    fresh = Looks(1, 2)
    assert fresh.state() == {"lowest": None, "since": 0}
    other = Looks(1, 2)
    other.restore(json.loads(json.dumps({"lowest": 1.5, "since": 1})))
    assert other.state() == {"lowest": 1.5, "since": 1}
    other.restore(json.loads(json.dumps(fresh.state())))
    assert other.state() == fresh.state()


LOSSES = [3.0, 2.5, 1.0, 1.5, 1.4, 1.3, 0.1]


@pytest.mark.parametrize("every", [1, 2, 3, 100])
@pytest.mark.parametrize("stop_in", [0, 1, 2, 3, 4, 5])
def test_an_interrupted_run_stops_where_the_uninterrupted_one_does(tmp_path: Path, stop_in: int, every: int) -> None:
    whole = train(tmp_path / "whole", LOSSES, patience=3, every=every)
    assert whole == ([0, 1, 2, 3, 4, 5], 3)
    train(tmp_path / "stopped", LOSSES, patience=3, stop_in=stop_in, every=every)
    done, weight = train(tmp_path / "stopped", LOSSES, patience=3, every=every)
    assert (done[-1], weight) == (5, 3)
    assert [row["step"] for row in read_metrics(tmp_path / "stopped" / "metrics.jsonl")] == whole[0]


def test_an_early_stop_is_final(tmp_path: Path) -> None:
    assert train(tmp_path, LOSSES, patience=3) == ([0, 1, 2, 3, 4, 5], 3)
    # The losses would have fallen further; a second run has nothing to do, and the same weights.
    assert train(tmp_path, LOSSES, patience=3) == ([], 3)
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 6
