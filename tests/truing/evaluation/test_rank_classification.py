import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vector
from truing.evaluation.rank_classification import SCORES, Ranked, pick, probabilities, rank_accuracy, scores

finite = st.floats(-500, 0)


def item(*loglikelihoods: float, correct: int = 0) -> Ranked:
    return Ranked(tuple("abcdefgh"[: len(loglikelihoods)]), loglikelihoods, frozenset({correct}))


def test_scores_and_picks_reproduce_the_vector() -> None:
    case = vector("rank_class")
    given_, expected, tolerance = case["input"], case["expected"], case["tolerance"]
    ranked = Ranked(tuple(given_["choices"]), tuple(given_["ll"]), frozenset({0}))
    assert scores(ranked, "acc_norm") == pytest.approx(expected["norm"], abs=tolerance)
    assert pick(scores(ranked, "acc")) == expected["pred_acc"]
    assert pick(scores(ranked, "acc_norm")) == expected["pred_acc_norm_char"]
    assert probabilities(ranked.loglikelihoods) == pytest.approx(expected["softmax"], abs=tolerance)


def test_each_normalisation_by_hand() -> None:
    # "é" is one character and two bytes, "ab" two of both.
    ranked = Ranked(("é", "ab"), (-3.0, -4.0), frozenset({0}), unconditional=(-1.0, -3.5))
    assert scores(ranked, "acc") == [-3.0, -4.0]
    assert scores(ranked, "acc_norm") == [-3.0, -2.0]
    assert scores(ranked, "acc_bytes") == [-1.5, -2.0]
    assert scores(ranked, "acc_mutual_info") == [-2.0, -0.5]
    # So the figures differ: right by likelihood and by bytes, wrong by the other two.
    found = {name: rank_accuracy([ranked], name, seed=0) for name in SCORES}
    assert {name: one.accuracy.value for name, one in found.items()} == {
        "acc": 1.0, "acc_norm": 0.0, "acc_bytes": 1.0, "acc_mutual_info": 0.0,
    }  # fmt: skip
    assert all(one.normalisation == name for name, one in found.items())


def test_of_equal_scores_the_first_wins_and_ties_are_counted() -> None:
    assert pick([-2.0, -1.0, -1.0]) == 1
    found = rank_accuracy([item(-1, -1, correct=0), item(-1, -1, correct=1), item(-1, -2)], "acc", seed=0)
    assert (found.accuracy.value, found.ties, found.missing) == (2 / 3, 2, 0)


def test_accuracy_with_its_error_by_hand() -> None:
    # Hits 1, 1, 0, 0: mean 1/2, sample variance 4 · 1/4 / 3 = 1/3, error √(1/3)/√4 = √(1/12).
    found = rank_accuracy([item(-1, -2), item(-1, -3), item(-2, -1), item(-3, -1)], "acc", seed=0)
    assert (found.accuracy.value, found.accuracy.n) == (0.5, 4)
    assert found.standard_error == pytest.approx(math.sqrt(1 / 12))
    assert found.accuracy.low < 0.5 < found.accuracy.high
    assert math.isnan(rank_accuracy([item(-1, -2)], "acc", seed=0).standard_error)


def test_an_item_may_have_several_correct_choices() -> None:
    ranked = Ranked(("a", "b", "c"), (-3.0, -1.0, -2.0), frozenset({1, 2}))
    assert rank_accuracy([ranked], "acc", seed=0).accuracy.value == 1.0


def test_what_is_no_number_is_missing_and_never_an_answer() -> None:
    for bad in ((math.nan, -1.0), (-1.0, math.nan), (math.inf, -1.0), (-math.inf, -math.inf)):
        assert pick(bad) is None
        assert all(map(math.isnan, probabilities(bad)))
        assert rank_accuracy([item(*bad), item(-1, -2)], "acc", seed=0).missing == 1
        with pytest.raises(ValueError, match="none of 1 items can be ranked by acc"):
            rank_accuracy([item(*bad)], "acc", seed=0)
    assert pick([]) is None
    assert pick([-math.inf, -900.0]) == 1


@given(st.lists(finite, min_size=1, max_size=6))
def test_probabilities_sum_to_one_and_keep_the_order(loglikelihoods: list[float]) -> None:
    found = probabilities(loglikelihoods)
    assert math.fsum(found) == pytest.approx(1)
    assert found[loglikelihoods.index(max(loglikelihoods))] == max(found)


def test_likelihoods_far_below_what_exp_can_hold() -> None:
    # ln 3 apart: 3 to 1.
    assert probabilities([-1e5, -1e5 - math.log(3)]) == pytest.approx([0.75, 0.25])


def test_bad_items_are_refused() -> None:
    with pytest.raises(ValueError, match="name one or more, counted from 0"):
        Ranked(("a",), (-1.0,), frozenset({1}))
    with pytest.raises(ValueError, match="name one or more"):
        Ranked(("a",), (-1.0,), frozenset())
    with pytest.raises(ValueError, match="a log-likelihood for each"):
        Ranked(("a", "b"), (-1.0,), frozenset({0}))
    with pytest.raises(ValueError, match="a log-likelihood for each"):
        Ranked(("a",), (-1.0,), frozenset({0}), unconditional=(-1.0, -2.0))
    with pytest.raises(ValueError, match="is empty: it has no length; use acc"):
        scores(Ranked(("a", ""), (-1.0, -2.0), frozenset({0})), "acc_norm")
    with pytest.raises(ValueError, match="without the question"):
        scores(item(-1, -2), "acc_mutual_info")
