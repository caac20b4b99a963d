from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.truing.evaluation.recorded import DIMENSIONS, challenge_pairs, experts, judged, systems
from tests.vectors import vector
from truing.evaluation.system_ordering import system_ordering

tables = arrays(np.float64, (5, 4), elements=st.sampled_from([1.0, 2.0, 3.0]))


def test_by_hand_a_mean_score_would_say_otherwise() -> None:
    # System 0 wins two of three documents by a hair and loses the third by far: better by documents, worse by mean.
    judge = np.array([[3.0, 2.9], [3, 2.9], [1, 5]])
    human = np.array([[2.0, 1], [2, 1], [2, 1]])
    found = system_ordering(judge, human, seed=0)
    assert (found.correct, found.pairs, found.undecided, found.missing) == (1, 1, 0, 0)


def test_an_even_pair_is_correct_only_where_both_call_it_even() -> None:
    even, first = np.array([[1.0, 2], [2, 1], [2, 2]]), np.array([[2.0, 1], [1, 1], [1, 1]])
    assert system_ordering(even, even, seed=0).correct == 1
    # 1 + .5 + .5 of 3 documents is more than half: the first one is better.
    assert system_ordering(first, first, seed=0).correct == 1
    assert system_ordering(even, first, seed=0).correct == 0
    assert system_ordering(np.ones((3, 2)), np.ones((3, 2)), seed=0).correct == 1


def test_pairs_without_a_common_document_are_undecided() -> None:
    judge = np.array([[1.0, 2, np.nan], [1, 2, np.nan]])
    found = system_ordering(judge, np.array([[1.0, 2, 3], [1, 2, 3]]), seed=0)
    assert (found.correct, found.pairs, found.undecided, found.missing) == (1, 1, 2, 2)
    nothing = system_ordering(np.full((2, 2), np.nan), np.ones((2, 2)), seed=0)
    assert (nothing.correct, nothing.pairs, nothing.undecided, nothing.rate) == (0, 0, 1, None)


def test_an_undecided_pair_is_no_agreement() -> None:
    found = system_ordering(np.array([[2.0, 1, np.nan]]), np.array([[1.0, 2, 3]]), seed=0)
    assert (found.correct, found.pairs, found.undecided) == (0, 1, 2)
    assert found.rate is not None
    assert found.rate.value == 0


def test_a_resample_without_a_document_of_a_pair_says_nothing_of_it() -> None:
    # One document is known, and the judge is wrong on it: every resample that holds it is wrong, the others are no 0 = 0.
    found = system_ordering(np.array([[2.0, 1], [np.nan, np.nan]]), np.array([[1.0, 2], [1, 2]]), seed=0)
    assert found.rate is not None
    assert (found.rate.value, found.rate.low, found.rate.high) == (0, 0, 0)
    # A second pair that is known on both, and right: 1/2 where the document is drawn, 1 where it is not.
    judge, human = np.array([[2.0, 1, 5], [np.nan, 1, 5]]), np.array([[1.0, 2, 5], [1, 2, 5]])
    found = system_ordering(judge, human, seed=0, pairs=[(0, 1), (1, 2)])
    assert found.rate is not None
    assert (found.rate.value, found.rate.low, found.rate.high) == (0.5, 0.5, 1)


def test_people_are_heard_on_the_documents_that_the_judge_has_too() -> None:
    # On all three documents people prefer the first system, on the one that both know the second, as the judge does.
    judge = np.array([[1.0, 2], [np.nan, 1], [1, np.nan]])
    human = np.array([[1.0, 2], [2, 1], [2, 1]])
    found = system_ordering(judge, human, seed=0)
    assert (found.correct, found.pairs, found.missing) == (1, 1, 2)


def test_one_system_has_no_pair() -> None:
    with pytest.raises(ValueError, match="no pair of systems"):
        system_ordering(np.ones((2, 1)), np.ones((2, 1)), seed=0)


@given(tables, tables)
@settings(max_examples=4)
def test_symmetric_and_perfect_on_itself(judge: NDArray[np.float64], human: NDArray[np.float64]) -> None:
    assert system_ordering(judge, human, seed=0).correct == system_ordering(human, judge, seed=0).correct
    assert system_ordering(judge, judge, seed=0).correct == 6
    assert system_ordering(-judge, -human, seed=0).correct == system_ordering(judge, human, seed=0).correct


def test_chatgpt_orders_summarisers_as_published() -> None:
    """Shen et al., reason-then-score. Their parser reads two replies on relevance that ours leaves out."""
    expected, tolerance = vector("damo_pairs_published")["expected"], 1e-9
    found = [system_ordering(judged(dimension), experts(dimension), seed=0) for dimension in DIMENSIONS]
    assert [one.pairs for one in found] == [66] * 4
    assert [one.missing for one in found] == [0, 0, 0, 2]
    assert [one.correct for one in found] == expected["correct_pairs"]
    assert np.mean([one.correct for one in found]) == pytest.approx(expected["mean"], abs=tolerance)
    rates = [one.rate.value for one in found if one.rate]
    assert np.mean(rates) == pytest.approx(expected["rate"], abs=tolerance)
    assert all(one.rate and one.rate.low < one.rate.value < one.rate.high for one in found)


def test_challenge_pairs_as_published() -> None:
    pairs = challenge_pairs()
    found = [system_ordering(judged(one), experts(one), seed=0, pairs=pairs) for one in DIMENSIONS]
    # 6 + 6 + 9 + 7 of 4 * 11 = 28/44.
    assert [one.correct for one in found] == [6, 6, 9, 7]
    rate = sum(one.correct for one in found) / sum(one.pairs for one in found)
    assert rate == pytest.approx(vector("damo_pairs_published")["expected"]["challenge_rate"], abs=1e-9)


def test_challenge_pairs_are_neighbours_in_the_experts_order() -> None:
    order = np.argsort(-np.sum([experts(one).mean(axis=0) for one in DIMENSIONS], axis=0))
    neighbours = {frozenset((int(a), int(b))) for a, b in pairwise(order)}
    assert neighbours == {frozenset(pair) for pair in challenge_pairs()}
    assert len(systems()) == 12
