"""What a batch is before an algorithm sees it: what is trained on, who is in which minibatch, and what is ahead."""

import json
import math
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.rollout import RolloutEngine
from actors.scoring import Reward
from actors.writing import Draft
from tests.actors.examples import Done, Here
from tests.trainers.samples import floats
from trainers import rollouts
from trainers.rollouts import Sampler, Scored, ages, dealt, pretraining, trained_on
from trainers.run import Run
from truing.config.policy import Policy as Settings
from truing.config.policy import Pretraining as Mix
from truing.config.policy import Rloo
from truing.config.stages import Sampling
from truing.data.stream import PromptStream
from truing.records import Failed, Rollout


def reward(total: float | None) -> Reward:
    return Reward({"r": Failed("too long") if total is None else total}, total, total)


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
    samples: Any = Done([])
    figures = Scored(samples, given, totals, logprobs, logprobs, [], [(0.5, 1.0), (0.0, 0.0), (1.0, 3.0)]).figures()
    # The second prompt's two, and the third's 5, which has nothing to differ from; the failed one is counted as failed.
    assert (figures["left_out"], figures["failed"]) == (3, 1)
    # The reward that is reported is of all that have one: (1 + 3 + 2 + 2 + 5)/5
    assert figures["reward"] == pytest.approx(2.6)
    # (½ + 0 + 1)/3, and the largest of the three.
    assert (figures["staleness"], figures["stalest"]) == (0.5, 3)


def test_ages_are_counted_from_the_version_that_wrote_a_token() -> None:
    def written(*versions: int) -> Rollout:
        return Rollout("a", "?", [1], [5] * len(versions), [-1.0] * len(versions), "", True, list(versions))

    # Version 7: ages 2, 2, 0 and 1 have the mean 5/4; no token has no age.
    assert ages(None, [[written(5, 5, 7), written(6)], [written()]], version=7) == [(1.25, 2), (0, 0)]


# --- minibatches ------------------------------------------------------------------------------------------------------


def dealings(credited: Sequence[Sequence[float | None]], minibatches: int, **place: int) -> list[tuple[list[int], int]]:
    """Those of the first 20 epochs of a step."""
    return [dealt(credited, minibatches, **{"seed": 3, "step": 5, "epoch": epoch} | place) for epoch in range(20)]


@pytest.mark.parametrize(("prompts", "minibatches"), [(8, 2), (7, 3), (5, 5), (9, 1), (16, 4)])
def test_prompts_are_dealt_out_evenly(prompts: int, minibatches: int) -> None:
    for order, parts in dealings([[None, 1.0]] * prompts, minibatches):
        assert (len(order), parts) == (prompts, minibatches)
        sizes = [order.count(part) for part in range(minibatches)]
        assert sum(sizes) == prompts
        assert max(sizes) - min(sizes) <= 1
        # Neighbours are the same rank's: it has as much to do in each minibatch.
        whole = prompts - prompts % minibatches
        assert all(
            sorted(order[at : at + minibatches]) == list(range(minibatches)) for at in range(0, whole, minibatches)
        )


def test_each_epoch_and_step_and_run_deals_anew() -> None:
    # 16 prompts fall into two minibatches in 2^8 ways, of which two and two are the same sets: 20 epochs that were all of one
    # or two sets would be dealt in turn.
    credited = [[1.0]] * 16
    sets = {frozenset((tuple(order), tuple(1 - part for part in order))) for order, _ in dealings(credited, 2)}
    assert len(sets) > 10
    # Said again it is the same; of another step or run it is not.
    assert dealings(credited, 2) == dealings(credited, 2)
    assert dealings(credited, 2) != dealings(credited, 2, step=6)
    assert dealings(credited, 2) != dealings(credited, 2, seed=4)


def test_prompts_that_are_left_out_leave_no_minibatch_empty() -> None:
    # Two of the four are learned from: one each, whoever comes first.
    assert {tuple(order[::2]) for order, _ in dealings([[1.0], [None], [3.0], [None]], 2)} == {(0, 1), (1, 0)}
    assert all(order[1::2] == [0, 0] for order, _ in dealings([[1.0], [None], [3.0], [None]], 2))
    # One prompt is one update.
    for credited in ([[None], [None], [3.0], [None]], [[None], [None]]):
        assert dealt(credited, 2, seed=0, step=0, epoch=1) == ([0] * len(credited), 1)


# --- sampling ---------------------------------------------------------------------------------------------------------


LENGTHS = {"a": 1, "b": 4, "c": 2}
"""Tokens of an answer to each prompt."""


class Writer(RolloutEngine):
    """An engine without a model: it says with which weights, in which step and of which prompt it wrote."""

    def __init__(self) -> None:
        self._sampling, self._interrupted, self.version = Sampling(max_tokens=9), threading.Event(), -1
        self._texts, self._prompts = dict.fromkeys(LENGTHS, "?"), {key: [1] for key in LENGTHS}
        self._tokenizer = SimpleNamespace(decode=lambda *_, **__: "")
        self.begun: list[tuple[int, int]] = []

    def _advance(
        self, drafts: Sequence[Draft], seed: int, step: int | str, temperature: float
    ) -> Generator[list[Draft]]:
        assert isinstance(step, int)
        self.begun.append((step, self.version))
        yield [draft for draft in drafts if draft.done]
        under_way = [draft for draft in drafts if not draft.done]
        while under_way:
            for draft in under_way:
                draft.tokens.append(step)
                draft.logprobs.append(-0.1 * draft.number)
                draft.versions.append(self.version)
                draft.finished = len(draft.tokens) == LENGTHS[draft.prompt_id]
            yield [draft for draft in under_way if draft.done]
            under_way = [draft for draft in under_way if not draft.done]


class Stage:
    """A sampler with all that it needs, made anew as after a kill."""

    def __init__(self, folder: Path, steps: int = 4, engines: int = 1, **written: Any) -> None:
        every = [Writer() for _ in range(engines)]
        self.engine = every[0]
        settings = Settings.model_validate({
            "algorithm": {"kind": "rloo", "completions": 2}, "prompts": 2, "steps": steps, "rollouts": written,
            "pretraining": {"path": "x", "texts": 2, "length": 9, "weight": 0.5},
        })  # fmt: skip
        assert isinstance(settings.algorithm, Rloo)
        roles: Any = SimpleNamespace(engines=Here(*every), policy=None, probe=None, push=None)
        stream = PromptStream(["a", "b", "c"], 0)
        self.sampler = Sampler(roles, stream, settings, seed=0, texts=("one", "two", "three"))
        self.run = Run(folder, every=1, groups={}, state={"sampler": self.sampler})
        self.drawn: list[Any] = []

    def train(self, steps: int, stop_in: int | None = None) -> "Stage":
        for step in self.run.steps(steps):
            drawn = self.sampler.draw(self.run, step)
            found = [(r.prompt_id, r.versions, r.tokens) for group in drawn.arriving.all().get() for r in group]
            self.drawn.append((step, drawn.checksum, found, drawn.texts))
            if step == stop_in:
                break
        return self


@pytest.fixture(autouse=True)
def pushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A push gives the engine its version, and nothing else."""

    def push(_: object, engines: Here, version: int, *__: object, **___: object) -> tuple[int, float]:
        for engine in engines.subjects:
            engine.version = version
        return version, 0.0

    monkeypatch.setattr(rollouts, "push_weights", push)


def test_on_policy_each_batch_is_written_with_the_weights_of_its_step(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ahead=0).train(4)
    assert stage.engine.begun == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_ahead_is_one_version_old_and_never_more_and_the_last_batch_has_none_after_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ahead=1).train(4)
    # The first two are begun in step 0, with its weights; each later one in the step before its own.
    assert stage.engine.begun == [(0, 0), (1, 0), (2, 1), (3, 2)]
    assert [(step, {v for _, versions, _ in found for v in versions}) for step, _, found, _ in stage.drawn] == [
        (0, {0}), (1, {0}), (2, {1}), (3, {2}),
    ]  # fmt: skip
    # Each step pushes all the same.
    assert [checksum for _, checksum, _, _ in stage.drawn] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "written", [{}, {"ahead": 1}, {"spare": 1}, {"spare": 1, "ahead": 1, "slice_size": 1}], ids=str
)
@pytest.mark.parametrize("stop_in", [1, 2, 3])
def test_a_sampler_goes_on_where_it_was(tmp_path: Path, written: dict[str, int], stop_in: int) -> None:
    """Three prompts, two a step: the stream's epoch ends inside the second batch, and with the third."""
    whole = Stage(tmp_path / "whole", **written).train(4).drawn
    first = Stage(tmp_path / "stopped", **written).train(4, stop_in=stop_in)
    again = Stage(tmp_path / "stopped", **written).train(4)
    # The checkpoint is that of the step before; what is done again is the same.
    assert first.drawn[:stop_in] + again.drawn == whole
    if written.get("ahead"):
        # The batch that was ahead is the one that was written before the stop: it is not drawn again.
        assert again.engine.begun == [(step, step - 1) for step in range(stop_in + 1, 4)]


def test_with_spare_prompts_those_done_first_make_the_batch_and_the_others_go_on(tmp_path: Path) -> None:
    """The stream (seed 0) is read in the order that the engine says; a needs 1 token, c 2, b 4."""
    stage = Stage(tmp_path, steps=3, spare=1).train(3)
    batches = [{(key, tuple(versions)) for key, versions, _ in found} for _, _, found, _ in stage.drawn]
    # All three are begun. a and c are done after two tokens; b has two of its four then.
    assert batches[0] == {("a", (0,)), ("c", (0, 0))}
    # b goes on beside two new ones with the weights of version 1. Whichever of them comes first, b has its two tokens
    # of each version when it is done.
    put_off = {versions for batch in batches[1:] for key, versions in batch if key == "b"}
    assert (0, 0, 1, 1) in put_off
    # Both completions of a prompt are written, and with what the engine was told of each.
    assert all(
        len([key for key, *_ in found if key == name]) % 2 == 0 for _, _, found, _ in stage.drawn for name in "abc"
    )


def test_engines_that_swap_go_on_with_what_they_have(tmp_path: Path) -> None:
    """Nothing runs at the same time here: what is ahead is whole when it is interrupted, and passes through as it is."""
    stage = Stage(tmp_path, ahead=1, swap="token").train(4)
    batch = Stage(tmp_path / "batch", ahead=1).train(4)
    assert stage.drawn == batch.drawn


@pytest.mark.parametrize("swap", ["batch", "token"])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_batch_that_was_ahead_is_as_it_was_with_another_number_of_engines(
    tmp_path: Path, before: int, after: int, swap: str
) -> None:
    """Each engine has a spare prompt, so that another number of them has another number of prompts in hand."""
    written: dict[str, Any] = {"ahead": 1, "spare": 1, "swap": swap}
    first = Stage(tmp_path, engines=before, **written).train(4, stop_in=1)
    again = Stage(tmp_path, engines=after, **written)
    again.train(4)
    # The stop was in step 1, before its checkpoint: it is the batch of step 1 that is handed out again.
    assert again.drawn[0][2] == first.drawn[1][2]
    # Two prompts, twice each, in every step.
    assert [(step, len(found)) for step, _, found, _ in again.drawn] == [(1, 4), (2, 4), (3, 4)]


def test_what_a_checkpoint_keeps_is_json(tmp_path: Path) -> None:
    stage = Stage(tmp_path, ahead=1, spare=1).train(4, stop_in=1)
    state = stage.sampler.state()
    assert json.loads(json.dumps(state)) == state
    # The two prompts of the batch, twice each, and the spare one.
    assert [[len(group) for group in state["ahead"][part]] for part in ("batch", "left")] == [[2, 2], [2]]
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
