import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.actors.examples import Here
from trainers.looks import Looks
from trainers.reward_model import (
    accuracy,
    batches,
    calibration,
    ece,
    gaps,
    held_out_loss,
    hits,
    train,
    updates,
)
from trainers.run import Run, read_metrics
from truing.config.training import RewardModel
from truing.data.judged import Comparisons, Judged, flattened
from truing.errors import TruingError


@pytest.mark.parametrize(("count", "batch"), [(12, 4), (13, 4), (15, 4), (4, 4), (3, 4), (1, 1)])
def test_an_epoch_has_every_pair_once(count: int, batch: int) -> None:
    found = batches(count, batch, 3, seed=0)
    per_epoch = max(1, count // batch)
    assert len(found) == 3 * per_epoch
    for epoch in range(3):
        seen = Counter(i for positions in found[epoch * per_epoch : (epoch + 1) * per_epoch] for i in positions)
        assert seen == dict.fromkeys(range(count), 1)


def test_a_short_last_batch_is_joined_to_the_one_before() -> None:
    assert [len(positions) for positions in batches(14, 4, 2, seed=0)] == [4, 4, 6, 4, 4, 6]
    # Fewer than one batch are one update.
    assert [len(positions) for positions in batches(3, 4, 1, seed=0)] == [3]


def test_the_order_is_the_seeds_and_every_epoch_has_its_own() -> None:
    first = batches(50, 10, 2, seed=1)
    assert batches(50, 10, 2, seed=1) == first
    assert batches(50, 10, 2, seed=2) != first
    assert first[:5] != first[5:]
    assert first[0] != list(range(10))
    # A longer run begins like a shorter one.
    assert batches(50, 10, 3, seed=1)[:10] == first


def test_accuracy_counts_signs_and_half_a_dead_heat() -> None:
    # right (labels above ½ want a gap above 0), wrong, right (a label below ½), dead heat: (1 + 0 + 1 + ½)/4
    found = accuracy([2.0, -1.0, -0.5, 0.0], [0.9, 0.7, 0.1, 1.0], ["a", "b", "c", "d"], seed=0)
    assert found.value == pytest.approx(0.625)
    assert found.n == 4
    assert found.low < 0.625 < found.high


def test_comparisons_of_one_prompt_are_drawn_together() -> None:
    # Prompt a has three wrong comparisons and b a right one: a resample of two prompts has 0, ¼ or 1.
    gaps, labels = [-1.0, -1.0, -1.0, 1.0], [1.0] * 4
    found = accuracy(gaps, labels, ["a", "a", "a", "b"], seed=0)
    assert (found.value, found.low, found.high, found.n) == (0.25, 0.0, 1.0, 4)
    assert accuracy(gaps, labels, ["a", "b", "c", "d"], seed=0).high < 1


@pytest.mark.parametrize("gap", [math.nan, math.inf, -math.inf])
def test_a_reward_that_is_no_number_is_neither_right_nor_wrong(gap: float) -> None:
    # NaN is not above 0, as a label below ½ wants it.
    with pytest.raises(TruingError) as error:
        hits([1.0, gap], [0.4, 0.4])
    assert str(error.value) == (
        "the model gave no number for 1 of 2 held-out comparisons: its training has diverged;"
        " train it anew with a lower learning rate"
    )


def test_a_label_of_a_half_is_neither_right_nor_wrong() -> None:
    assert hits([2.0, -2.0, 0.0, 1.0, -1.0], [0.5, 0.5, 0.5, 0.4, 0.4]) == [0.5, 0.5, 0.5, 0.0, 1.0]


def test_gaps_are_of_the_responses_that_each_comparison_names() -> None:
    # Rewards of three responses to one prompt and two to the next, numbered through.
    rewards = [(1.0, 4.0, -2.0), (0.5, 3.0)]
    one = Comparisons("a", ("x", "y", "z"), (Judged(0, 1, 0.9), Judged(1, 2, 0.6)))
    two = Comparisons("b", ("v", "w"), (Judged(1, 0, 1.0),))
    # 1 - 4, 4 + 2, 3 - 0.5
    assert gaps(rewards, flattened([one, two])) == [-3.0, 6.0, 2.5]


def test_the_held_out_loss_is_the_weighted_mean_of_the_training_loss() -> None:
    judged = [Judged(0, 1, 1.0), Judged(2, 3, 0.75, weight=3.0), Judged(4, 5, 1.0, weight=2.0, margin=1.0)]
    # Gaps 0, log 3 (σ = ¾) and 1 with a margin of 1 (σ(0) = ½):
    #   log 2;  -(¾ log ¾ + ¼ log ¼) = 0.562335;  log 2          (1·log 2 + 3·0.562335 + 2·log 2)/6
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    found = held_out_loss([0.0, math.log(3), 1.0], judged)
    assert found == pytest.approx((3 * math.log(2) + 3 * entropy) / 6)


def logit(p: float) -> float:
    return math.log(p / (1 - p))


GAPS = [logit(0.9), logit(0.7), logit(0.65), logit(0.1)]
LABELS = [1.0, 1.0, 0.0, 0.25]


def test_calibration_by_hand() -> None:
    # P(chosen) 0.9, 0.7, 0.65, 0.1 with labels 1, 1, 0, ¼: the preferred response has P 0.9, 0.7, 0.65, 0.9 and is the
    # better one with 1, 1, 0, ¾.
    #   (0.6, 0.7]: 0.7 (1), 0.65 (0): means 0.675, 0.5;   (0.8, 0.9]: 0.9 (1), 0.9 (¾): means 0.9, 0.875
    low, high = calibration(GAPS, LABELS)
    assert (low.low, low.high, low.n) == (pytest.approx(0.6), pytest.approx(0.7), 2)
    assert (low.confidence, low.accuracy) == pytest.approx((0.675, 0.5))
    assert (high.low, high.high, high.n) == (pytest.approx(0.8), pytest.approx(0.9), 2)
    assert (high.confidence, high.accuracy) == pytest.approx((0.9, 0.875))


def test_calibration_is_the_same_for_swapped_pairs() -> None:
    assert calibration([-g for g in GAPS], [1 - p for p in LABELS]) == calibration(GAPS, LABELS)


def test_calibration_error_is_the_weighted_mean_distance() -> None:
    # (2·|0.675 - 0.5| + 2·|0.9 - 0.875|) / 4 = (0.35 + 0.05) / 4
    found = ece(GAPS, LABELS, ["a", "b", "c", "d"], seed=0)
    assert found.value == pytest.approx(0.1)
    assert found.n == 4
    assert found.low <= 0.1 <= found.high
    # Prompt a alone: |0.675 - 0.5| and |0.9 - 1| to 2:1, 0.15; b alone: |0.9 - 0.75|. Two prompts have no other resample.
    found = ece([GAPS[1], GAPS[2], GAPS[0], GAPS[3]], [1.0, 0.0, 1.0, 0.25], ["a", "a", "a", "b"], seed=0)
    assert (found.low, found.high, found.n) == (pytest.approx(0.1), pytest.approx(0.15), 4)


def test_of_one_prompt_alone_comparisons_are_drawn() -> None:
    """The only resample of one prompt is itself: an interval of no width would look certain."""
    one = ["a"] * 4
    found = accuracy(GAPS, LABELS, one, seed=0)
    assert (found.low, found.high) == (accuracy(GAPS, LABELS, list("abcd"), seed=0).low, 1.0)
    error = ece(GAPS, LABELS, one, seed=0)
    assert error.low < error.value < error.high


def test_timid_predictions_that_come_true_have_an_error() -> None:
    # P = 0.51 and always right: |0.51 - 1|. (Entered in both orders, the middle bin would say 0.)
    gap = math.log(0.51 / 0.49)
    assert ece([gap, -gap], [1.0, 0.0], ["a", "b"], seed=0).value == pytest.approx(0.49)


def test_a_certain_prediction_lies_in_the_last_bin() -> None:
    # σ(40) is 1 in double precision: it has no bin above it.
    table = calibration([40.0, 0.0], [1.0, 1.0])
    assert [(row.low, row.n, row.accuracy) for row in table] == [(0.5, 1, 0.5), (0.9, 1, 1.0)]


class Ranks:
    """Stands in for two ranks of `RewardLearner`."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def update(self, positions: list[int]) -> list[tuple[float, float]]:
        self.seen.append(list(positions))
        return [(len(self.seen) / 4, 0.5)]

    def rewards(self, positions: list[int]) -> list[tuple[float, float]]:
        return [(float(i), float(i * i)) for i in positions]


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("trainers.reward_model.RewardLearner", Ranks)
    return Here(Ranks(), Ranks())


PROMPTS = [Comparisons(f"p{i}", ("a", "b"), (Judged(0, 1, 1.0),)) for i in range(12)]
"""The stand-in's reward of prompt i is i for `a` and i² for `b`: right for 0 and 1 by a half each, wrong for the others."""


def trained(folder: Path, ranks: Here, training: int, settings: RewardModel) -> list[dict[str, Any]]:
    run = Run(folder, every=10, groups={}, state={})
    looks = Looks(settings.evaluate_every, settings.patience)
    train(run, ranks, PROMPTS, training, updates(training, settings, 3), looks)
    return read_metrics(folder / "metrics.jsonl")


def test_training_updates_on_each_batch_and_reports_it(ranks: Here, tmp_path: Path) -> None:
    rows = trained(tmp_path, ranks, 10, RewardModel(batch=4, epochs=2))
    plan = batches(10, 4, 2, seed=3)
    # Each batch is shared between the two. None holds a prompt that is tested.
    assert [first + second for first, second in zip(*(r.seen for r in ranks.subjects), strict=True)] == plan
    assert {i for positions in plan for i in positions} == set(range(10))
    assert [(row["step"], row["loss"], row["grad_norm"], row["prompts"]) for row in rows] == [
        (0, 0.25, 0.5, 4), (1, 0.5, 0.5, 6), (2, 0.75, 0.5, 4), (3, 1.0, 0.5, 6),
    ]  # fmt: skip
    assert not any("held_out_loss" in row for row in rows)


def test_looks_are_at_the_held_out_prompts_alone(ranks: Here, tmp_path: Path) -> None:
    rows = trained(tmp_path, ranks, 10, RewardModel(batch=5, epochs=2, evaluate_every=2))
    looked = [row for row in rows if "held_out_loss" in row]
    assert [row["step"] for row in looked] == [1, 3]
    # Prompts 10 and 11: gaps 10 - 100 and 11 - 121, so the loss -log σ is 90 and 110
    assert looked[0]["held_out_loss"] == pytest.approx(100.0)
    assert looked[0]["held_out_accuracy"] == 0.0


def test_steps_cut_the_epochs_short(ranks: Here, tmp_path: Path) -> None:
    assert len(trained(tmp_path, ranks, 10, RewardModel(batch=5, epochs=9, steps=3))) == 3


def test_patience_ends_it(ranks: Here, tmp_path: Path) -> None:
    # The stand-in never improves: the first look is the best, the second and third are not better.
    rows = trained(tmp_path, ranks, 10, RewardModel(batch=5, epochs=9, evaluate_every=1, patience=2))
    assert len(rows) == 3
