import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors import vector
from truing.evaluation.generalisation import (
    Split,
    SplitScores,
    difference,
    generalisation,
    split_by_distance,
    split_by_label,
    split_by_length,
)

scores = st.lists(st.floats(0, 100), min_size=1, max_size=12)


def test_the_gap_reproduces_the_vector() -> None:
    case = vector("id_ood_gap")
    pairs = zip(case["input"]["id"], case["input"]["ood"], case["expected"], strict=True)
    for in_it, out_of_it, gap in pairs:
        found = generalisation(SplitScores([in_it], [out_of_it]))
        assert found.gap.value == pytest.approx(gap, abs=case["tolerance"])
        assert (found.id.value, found.ood.value, found.gap.n) == (in_it, out_of_it, 2)


def test_each_figure_has_its_interval_and_n() -> None:
    # 0 and 1 in equal parts, 400 and 100 of them: standard errors .025 and .05; of the gap sqrt(.025^2 + .05^2) = .0559,
    # so 0 -+ 1.96 * .0559 = .1096.
    found = generalisation(SplitScores([0.0, 1.0] * 200, [0.0, 1.0] * 50), seed=1)
    assert (found.id.n, found.ood.n, found.gap.n) == (400, 100, 500)
    assert found.id.low == pytest.approx(0.451, abs=0.006)
    assert found.ood.low == pytest.approx(0.402, abs=0.012)
    assert (found.gap.value, found.gap.low, found.gap.high) == (
        0.0,
        pytest.approx(-0.11, abs=0.012),
        pytest.approx(0.11, abs=0.012),
    )


def test_items_without_a_score_are_counted_and_in_no_figure() -> None:
    found = generalisation(SplitScores([1.0, None, 0.0, math.nan], [0.25, None]))
    assert (found.id.value, found.ood.value, found.gap.value) == (0.5, 0.25, 0.25)
    assert (found.missing_id, found.missing_ood, found.gap.n) == (2, 1, 3)


@given(scores, scores)
@settings(max_examples=6)
def test_swapping_the_splits_mirrors_the_gap(a: list[float], b: list[float]) -> None:
    there, back = generalisation(SplitScores(a, b)), generalisation(SplitScores(b, a))
    assert there.gap.value == pytest.approx(-back.gap.value, abs=1e-9)
    assert there.gap.low <= there.gap.value + 1e-9
    assert there.gap.value <= there.gap.high + 1e-9


def test_a_paired_difference_leaves_out_what_is_hard_for_both() -> None:
    # One policy is .1 better on every item in distribution and .3 out of it; items differ from 0 to 100.
    hard = [float(i) for i in range(101)]
    ours = SplitScores([x + 0.1 for x in hard], [x + 0.3 for x in hard])
    theirs = SplitScores(hard, hard)
    found = difference(ours, theirs)
    for figure, expected in ((found.id, 0.1), (found.ood, 0.3), (found.gap, -0.2)):
        assert (figure.low, figure.value, figure.high) == pytest.approx((expected,) * 3)
    # Unpaired, the means of 101 such items are uncertain by several points.
    assert generalisation(ours).id.high - generalisation(ours).id.low > 8


def test_a_difference_needs_both_scores_of_an_item() -> None:
    found = difference(SplitScores([3.0, None, 5.0], [1.0]), SplitScores([1.0, 2.0, math.nan], [2.0]))
    # In distribution only the first item has both: 3 - 1; out of it 1 - 2.
    assert (found.id.value, found.ood.value, found.gap.value) == (2.0, -1.0, 3.0)
    assert (found.missing_id, found.missing_ood) == (2, 0)
    with pytest.raises(ValueError, match="2 and 1 items"):
        difference(SplitScores([1.0, 2.0], [1.0]), SplitScores([1.0], [1.0]))


def test_a_split_without_a_score_is_refused() -> None:
    with pytest.raises(ValueError, match="none of 2 items out of distribution has a score"):
        generalisation(SplitScores([1.0], [None, math.nan]))
    with pytest.raises(ValueError, match="none of 0 items in distribution"):
        generalisation(SplitScores([], [1.0]))


def test_labels_that_training_saw_are_in_distribution() -> None:
    split = split_by_label(["cats", "dogs", None, "tax", "cats"], {"cats", "dogs"})
    assert split == Split((0, 1, 4), (3,), 1)
    assert split.scores([0.1, 0.2, 0.3, 0.4, 0.5]) == SplitScores([0.1, 0.2, 0.5], [0.4])
    with pytest.raises(ValueError, match="4 scores for the 5 items"):
        split.scores([0.0] * 4)


def test_a_label_that_no_item_has_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no item has the label \['cat'\]: the labels are \['cats', 'tax'\]"):
        split_by_label(["cats", "tax", None], ["cats", "cat"])
    with pytest.raises(ValueError, match="no item has the label"):
        split_by_label(["a", "b"], "ab")


def test_length_counts_the_pieces_between_single_spaces() -> None:
    texts = ["a b", "a b c", "a  b", "a\nb c", "", "今天下雨", "x " * 50_000]
    # 2, 3, 3 (an empty piece), 2 (a newline parts nothing), 1, 1, 50,001 (100,000 characters)
    split = split_by_length(texts, limit=2)
    assert split == Split((0, 3, 4, 5), (1, 2, 6), 0, 2.0)


def test_the_paper_s_limit_is_in_distribution() -> None:
    assert split_by_length([" ".join("w" * 245), " ".join("w" * 246)]) == Split((0,), (1,), 0, 245.0)


def test_distance_to_the_mean_of_training() -> None:
    # Mean (10, -3); distances of training 1, 1, 2, 2: the median is 1.5. Items at 1.4, 1.6 and 1.5, and one that failed.
    training = np.array([[11.0, -3.0], [9.0, -3.0], [10.0, -1.0], [10.0, -5.0]])
    items = np.array([[11.4, -3.0], [10.0, -1.4], [math.nan, 0.0], [8.5, -3.0]])
    assert split_by_distance(items, training, quantile=0.5) == Split((0, 3), (1,), 1, 1.5)


def test_the_quantile_is_the_share_of_training_that_is_in() -> None:
    rng = np.random.default_rng(0)
    training, same, shifted = rng.normal(size=(2000, 4)), rng.normal(size=(1000, 4)), rng.normal(loc=5, size=(1000, 4))
    # 1000 items of the same distribution: 50 out, sd = sqrt(1000 * .05 * .95) = 6.9, and as much of the threshold.
    assert abs(len(split_by_distance(same, training).ood) - 50) < 4 * 10
    assert len(split_by_distance(shifted, training).ood) > 990


@pytest.mark.parametrize(
    ("items", "training", "quantile", "message"),
    [
        (np.ones((1, 2)), np.empty((0, 2)), 0.9, "give finite rows"),
        (np.ones((1, 2)), np.array([[math.nan, 1.0]]), 0.9, "give finite rows"),
        (np.ones((1, 3)), np.ones((2, 2)), 0.9, "embed both with one model"),
        (np.ones((1, 2)), np.ones((2, 2)), 95, "quantile in"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(items, training, quantile: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_by_distance(items, training, quantile=quantile)
