"""What a batch is before an algorithm sees it: what is trained on, who is in which minibatch, and what is ahead."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.scoring import Reward
from tests.actors.examples import Here
from tests.trainers.samples import floats
from trainers import rollouts
from trainers.rollouts import Sampler, Scored, dealt, pretraining, trained_on
from trainers.run import Run
from truing.config.policy import Policy as Settings
from truing.config.policy import Pretraining as Mix
from truing.config.policy import Rloo
from truing.data.stream import PromptStream
from truing.records import Failed, Rollout


def reward(total: float | None) -> Reward:
    return Reward({"r": Failed("too long") if total is None else total}, total)


def rewards(*groups: Sequence[float | None]) -> list[list[Reward]]:
    return [[reward(total) for total in group] for group in groups]


# --- what is trained on ----------------------------------------------------------------------------------------------


def test_without_switches_totals_are_the_raw_rewards_and_failed_ones_stay_failed() -> None:
    assert trained_on(rewards([1, None], [2, 2]), whiten=False, drop_equal=False) == [[1, None], [2, 2]]


def test_whitened_rewards_by_hand() -> None:
    # Of 1, 3, 2, 2: mean 2, squares 1 + 1 + 0 + 0, deviation √½; (1 - 2)/√½ = -√2
    found = trained_on(rewards([1, 3], [2, None, 2]), whiten=True, drop_equal=False)
    root = math.sqrt(2)
    assert found == [[pytest.approx(-root), pytest.approx(root)], [0, None, 0]]


def test_a_prompt_whose_rewards_are_equal_is_left_out() -> None:
    assert trained_on(rewards([1, 3], [2, 2], [5, None]), whiten=False, drop_equal=True) == [
        [1, 3], [None, None], [None, None],
    ]  # fmt: skip


def test_equal_is_said_of_the_raw_rewards_and_what_is_left_out_is_not_in_the_mean() -> None:
    # 1e9 and 1e9 + 64 differ in float64; whitening comes after, over these two: -1 and 1. The others are not in it.
    found = trained_on(rewards([1e9, 1e9 + 64], [0, 0]), whiten=True, drop_equal=True)
    assert found == [[pytest.approx(-1), pytest.approx(1)], [None, None]]


def test_a_batch_that_is_all_equal_stays() -> None:
    assert trained_on(rewards([2, 2], [3, 3]), whiten=False, drop_equal=True) == [[2, 2], [3, 3]]
    # 2, 2, 3, 3: mean 2½, deviation ½
    assert trained_on(rewards([2, 2], [3, 3]), whiten=True, drop_equal=True) == [
        [pytest.approx(-1)] * 2, [pytest.approx(1)] * 2,
    ]  # fmt: skip


def test_one_value_for_all_whitens_to_nothing() -> None:
    assert trained_on(rewards([4, 4], [None, 4]), whiten=True, drop_equal=False) == [[0, 0], [None, 0]]


def test_where_all_failed_nothing_is_trained_on() -> None:
    for whiten in (False, True):
        assert trained_on(rewards([None, None]), whiten=whiten, drop_equal=True) == [[None, None]]


def test_left_out_counts_what_is_scored_and_not_trained_on() -> None:
    given = rewards([1, 3], [2, 2], [None, 5])
    logprobs = [[floats(-1), floats(-1)]] * 3
    totals = trained_on(given, whiten=False, drop_equal=True)
    figures = Scored(given, totals, logprobs, logprobs, []).figures()
    # The second prompt's two, and the third's 5, which has nothing to differ from; the failed one is counted as failed.
    assert (figures["left_out"], figures["failed"]) == (3, 1)
    # The reward that is reported is of all that have one: (1 + 3 + 2 + 2 + 5)/5
    assert figures["reward"] == pytest.approx(2.6)


# --- minibatches ------------------------------------------------------------------------------------------------------


def test_prompts_are_dealt_out_in_turn_and_anew_each_epoch() -> None:
    groups = [[1.0], [None, 2.0], [3.0], [4.0]]
    assert dealt(groups, 2, 0) == ([0, 1, 0, 1], 2)
    assert dealt(groups, 2, 1) == ([1, 0, 1, 0], 2)


def test_prompts_that_are_left_out_leave_no_minibatch_empty() -> None:
    # Dealt out by their places alone, the second minibatch of the first batch would hold prompts 1 and 3 and nothing else.
    assert dealt([[1.0], [None], [3.0], [None]], 2, 0) == ([0, 0, 1, 0], 2)
    # One prompt is one update.
    assert dealt([[None], [None], [3.0], [None]], 2, 1) == ([0, 0, 0, 0], 1)
    assert dealt([[None], [None]], 2, 0) == ([0, 0], 1)


# --- sampling ---------------------------------------------------------------------------------------------------------


class Writer:
    """Stands in for an engine: it says with which weights, in which step and of which prompt it wrote."""

    def __init__(self) -> None:
        self.version = -1
        self.begun: list[tuple[int, int]] = []

    def complete(self, asked: Sequence[tuple[str, int]], *, seed: int, step: int) -> list[Rollout]:
        self.begun.append((step, self.version))
        return [Rollout(key, "?", [1], [step], [-0.1 * number], "", True, self.version) for key, number in asked]


class Stage:
    """A sampler with all that it needs, made anew as after a kill."""

    def __init__(self, folder: Path, ahead: int, steps: int = 4) -> None:
        self.engine = Writer()
        settings = Settings.model_validate({
            "algorithm": {"kind": "rloo", "completions": 2}, "prompts": 2, "steps": steps, "ahead": ahead,
            "pretraining": {"path": "x", "texts": 2, "length": 9, "weight": 0.5},
        })  # fmt: skip
        assert isinstance(settings.algorithm, Rloo)
        roles: Any = SimpleNamespace(engines=Here(self.engine), policy=None, probe=None)
        stream = PromptStream(["a", "b", "c"], 0)
        self.sampler = Sampler(roles, stream, settings, seed=0, texts=("one", "two", "three"))
        self.run = Run(folder, every=1, groups={}, state={"sampler": self.sampler})
        self.drawn: list[Any] = []

    def train(self, steps: int, stop_in: int | None = None) -> "Stage":
        for step in self.run.steps(steps):
            drawn = self.sampler.draw(self.run, step)
            found = [(r.prompt_id, r.version, r.tokens) for group in drawn.samples.get() for r in group]
            self.drawn.append((step, drawn.checksum, found, drawn.texts))
            if step == stop_in:
                break
        return self


@pytest.fixture(autouse=True)
def pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A push gives the engine its version, and nothing else."""

    def push(_: object, engines: Here, version: int, *__: object, **___: object) -> tuple[int, float]:
        engines.subjects[0].version = version
        return version, 0.0

    monkeypatch.setattr(rollouts, "push_weights", push)


def test_on_policy_each_batch_is_written_with_the_weights_of_its_step(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ahead=0).train(4)
    assert stage.engine.begun == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_ahead_is_one_version_old_and_never_more_and_the_last_batch_has_none_after_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ahead=1).train(4)
    # The first two are begun in step 0, with its weights; each later one in the step before its own.
    assert stage.engine.begun == [(0, 0), (1, 0), (2, 1), (3, 2)]
    assert [(step, {version for _, version, _ in found}) for step, _, found, _ in stage.drawn] == [
        (0, {0}), (1, {0}), (2, {1}), (3, {2}),
    ]  # fmt: skip
    # Each step pushes all the same.
    assert [checksum for _, checksum, _, _ in stage.drawn] == [0, 1, 2, 3]


@pytest.mark.parametrize("ahead", [0, 1])
@pytest.mark.parametrize("stop_in", [1, 2, 3])
def test_a_sampler_goes_on_where_it_was(tmp_path: Path, ahead: int, stop_in: int) -> None:
    """Three prompts, two a step: the stream's epoch ends inside the second batch, and with the third."""
    whole = Stage(tmp_path / "whole", ahead).train(4).drawn
    first = Stage(tmp_path / "stopped", ahead).train(4, stop_in=stop_in)
    again = Stage(tmp_path / "stopped", ahead).train(4)
    # The checkpoint is that of the step before; what is done again is the same.
    assert first.drawn[:stop_in] + again.drawn == whole
    if ahead:
        # The batch that was ahead is the one that was written before the stop: it is not drawn again.
        assert again.engine.begun == [(step, step - 1) for step in range(stop_in + 1, 4)]


def test_what_a_checkpoint_keeps_is_json(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ahead=1).train(4, stop_in=1)
    state = stage.sampler.state()
    assert json.loads(json.dumps(state)) == state
    assert [one["step" if "step" in one else "prompt_id"] for group in state["ahead"] for one in group]
    assert stage.sampler.state() == state


def test_texts_of_the_pretraining_mix_come_round(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ahead=0).train(3)
    taken = [text for *_, texts in stage.drawn for text in texts]
    # Two a step, of three: each is there twice.
    assert sorted(taken) == ["one", "one", "three", "three", "two", "two"]


def test_without_a_mix_nothing_is_remembered() -> None:
    drawn: Any = SimpleNamespace(texts=["one"])
    assert pretraining(drawn, Settings()) is None
    found = pretraining(drawn, Settings(pretraining=Mix(path="x", weight=0.5, length=9)))
    assert found is not None
    assert (found.texts, found.length, found.weight) == (["one"], 9, 0.5)
