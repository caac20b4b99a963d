"""Figures of a grid, with numbers counted by hand."""

import pytest

from truing.evaluation.figure import Figure, Score
from truing.evaluation.grid_figures import (
    QUALITY,
    SHARE,
    by_wording,
    gaps,
    grid_figures,
    is_quality,
    quality_rank,
    unit_of,
)

SHIFTS = {"home": "id", "near": "id", "far": "topic"}


def scores(policy: str, data: str, metric: str, values: list[float | None], *, variant: str = "") -> list[Score]:
    return [
        Score(policy, data, variant, f"{data}-{i}", "", metric, value, "" if value is not None else "lost", 1.0)
        for i, value in enumerate(values)
    ]


def one(figures: list[Figure], metric: str, policy: str, data: str) -> Figure:
    (found,) = [f for f in figures if (f.metric, f.policy, f.data) == (metric, policy, data)]
    return found


def test_the_gap_is_in_distribution_minus_the_shift_over_items() -> None:
    # In distribution are both such sets together: (1 + 0 + 1 + 1) / 4 = 0.75; out of it (0 + 1) / 2 = 0.5.
    every = [
        *scores("p", "home", "win rate", [1.0, 0.0]),
        *scores("p", "near", "win rate", [1.0, 1.0]),
        *scores("p", "far", "win rate", [0.0, 1.0, None]),
    ]
    (gap,) = gaps(every, SHIFTS, seed=0)
    assert (gap.metric, gap.data, gap.shift, gap.temperature, gap.n) == ("gap: win rate", "far", "topic", 1.0, 6)
    assert gap.value == pytest.approx(0.25)


def test_several_outputs_of_an_item_are_one_item_of_the_gap() -> None:
    # Item home-0 has two outputs, of mean 0.5; a mean over outputs would be (1 + 0 + 1) / 3.
    every = [
        *scores("p", "home", "reward", [1.0, 1.0]),
        Score("p", "home", "", "home-0", "", "reward", 0.0, "", 1.0),
        *scores("p", "far", "reward", [0.0]),
    ]
    (gap,) = gaps(every, SHIFTS, seed=0)
    assert gap.value == pytest.approx((0.5 + 1.0) / 2)


def test_a_length_or_a_divergence_has_no_gap() -> None:
    every = [
        s for m in ("words", "KL", "EAD per input") for d in ("home", "far") for s in scores("p", d, m, [1.0, 2.0])
    ]
    assert gaps(every, SHIFTS, seed=0) == []
    assert not is_quality("words")


@pytest.mark.parametrize(
    "metric",
    [
        *QUALITY,
        "pass@1",
        "pass@16",
        "G-Eval coherence",
        "score of the judge",
        "accuracy: mean over wordings",
        "accuracy, mutual information: mean over wordings",
    ],
)
def test_quality(metric: str) -> None:
    assert is_quality(metric)


@pytest.mark.parametrize(
    "metric",
    [
        "KL",
        "words",
        "EAD per input",
        "reward: length",
        "feedback used: first output again",
        "accuracy: worst wording",
        "accuracy, per character: deviation over wordings",
        "gap: right answer",
        "Δ right answer",
        "toxicity",
    ],
)
def test_what_is_no_quality(metric: str) -> None:
    assert not is_quality(metric)


def test_an_answer_decides_before_an_overlap_and_an_overlap_before_a_form() -> None:
    order = ("accuracy, per byte", "right answer", "pass@4", "instructions followed", "ROUGE-L F1", "valid JSON")
    ranks = [quality_rank(metric) or 0 for metric in order]
    assert ranks == sorted(ranks)
    # What a program checks is a share, and so is every accuracy.
    assert {unit_of(metric) for metric in (*order[:4], order[-1])} == {SHARE}


def test_temperatures_are_apart() -> None:
    warm = scores("p", "home", "reward", [1.0, 3.0])
    cold = [Score("p", "home", "", "home-0", "", "reward", 7.0, "", 0.0)]
    found = grid_figures([*warm, *cold], SHIFTS, {}, {}, seed=0)
    assert {(f.temperature, f.value, f.n) for f in found} == {(1.0, 2.0, 2), (0.0, 7.0, 1)}


def test_spread_over_wordings_by_hand() -> None:
    # Wording 1 is right on 3 of 4 items, wording 2 on 1 of 4: mean 0.5, deviation 0.25, worst tenth 0.25; one of two reaches 0.5.
    every = [
        *scores("p", "home", "accuracy", [1.0, 1.0, 1.0, 0.0], variant="1"),
        *scores("p", "home", "accuracy", [1.0, 0.0, 0.0, 0.0], variant="2"),
    ]
    found = grid_figures(every, SHIFTS, {}, {"home": 0.5}, seed=0)
    values = {f.metric: f.value for f in found if f.metric.startswith("accuracy: ")}
    assert values == {
        "accuracy: mean over wordings": pytest.approx(0.5),
        "accuracy: deviation over wordings": pytest.approx(0.25),
        "accuracy: worst tenth of wordings": pytest.approx(0.25),
        "accuracy: wordings at 50 % or above": pytest.approx(0.5),
        "accuracy: worst wording": 0.25,
        "accuracy: best wording": 0.75,
    }
    assert one(found, "accuracy: mean over wordings", "p", "home").n == 4


def test_an_item_without_a_score_in_one_wording_is_in_none() -> None:
    every = [
        *scores("p", "home", "accuracy", [1.0, None, 1.0], variant="1"),
        *scores("p", "home", "accuracy", [0.0, 1.0, 1.0], variant="2"),
    ]
    assert by_wording(every, "p", "accuracy") == {"1": [1.0, 1.0], "2": [0.0, 1.0]}


def test_differences_are_paired_with_the_baseline() -> None:
    every = [*scores("start", "home", "reward", [0.0, 1.0, 2.0]), *scores("p", "home", "reward", [1.0, 1.0, None])]
    found = grid_figures(every, SHIFTS, {"p": "start"}, {}, seed=0)
    # Over the two items that both have: (1 - 0 + 1 - 1) / 2.
    delta = one(found, "Δ reward", "p − start", "home")
    assert (delta.value, delta.n, delta.missing) == (pytest.approx(0.5), 2, 1)


def test_a_set_of_two_outputs_counts_two_and_has_no_interval() -> None:
    left = [
        Score("p", "home", "", f"home-{i}", "", "EAD across inputs, left out", None, "undefined without it", 1.0)
        for i in range(2)
    ]
    every = [Score("p", "home", "", "", "", "EAD across inputs", 0.5, "", 1.0), *left]
    (found,) = grid_figures(every, SHIFTS, {}, {}, seed=0)
    assert (found.value, found.n, found.missing, found.low) == (0.5, 2, 0, None)
    assert "no interval" in found.note
