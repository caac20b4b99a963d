import itertools
import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vector
from truing.algorithms.best_of_n import best_index, expected_maximum, kl_best_of_n

rewards = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=7)


def test_expected_maximum_reproduces_the_vector() -> None:
    # Ascending -1.2 .3 .7 1.1 2.0; n=2 of C(5,2)=10: (.3*1 + .7*2 + 1.1*3 + 2.0*4) / 10 = 13/10.
    case = vector("bon_expected_max")
    for n in (2, 3, 5):
        expected = case["expected"][f"n={n}"]
        assert expected_maximum(case["input"]["rewards"], n) == pytest.approx(expected, abs=case["tolerance"])


@given(rewards, st.data())
def test_expected_maximum_is_the_mean_over_all_subsets(sampled: list[float], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(sampled)))
    by_enumeration = fmean(max(subset) for subset in itertools.combinations(sampled, n))
    assert expected_maximum(sampled, n) == pytest.approx(by_enumeration, rel=1e-9, abs=1e-6)


def test_expected_maximum_of_many_rewards_does_not_overflow() -> None:
    # Of 0..K-1 the expected maximum of n is n (K+1)/(n+1) - 1: the German tank problem, 1-based maximum less 1.
    assert expected_maximum(range(4000), 2000) == pytest.approx(2000 * 4001 / 2001 - 1, rel=1e-12)


@pytest.mark.parametrize(("sampled", "n"), [([1.0, 2.0], 0), ([1.0, 2.0], 3), ([], 1)])
def test_expected_maximum_refuses_n_outside_the_sample(sampled: list[float], n: int) -> None:
    with pytest.raises(ValueError, match="between 1 and the number of rewards"):
        expected_maximum(sampled, n)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_expected_maximum_refuses_unscored_completions(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        expected_maximum([1.0, bad, 0.0], 2)


def test_kl_reproduces_the_vector() -> None:
    # ln 4 - 3/4 = 1.386294 - .75 = .636294
    case = vector("bon_kl")
    assert [kl_best_of_n(n) for n in case["input"]] == pytest.approx(case["expected"], abs=case["tolerance"])


def test_kl_of_a_single_draw_is_zero() -> None:
    assert kl_best_of_n(1) == 0.0
    with pytest.raises(ValueError, match="at least one"):
        kl_best_of_n(0)


def test_best_index_keeps_the_earliest_of_equals() -> None:
    assert best_index([0.5, 2.0, 1.0, 2.0]) == 1
    assert best_index([-math.inf, -math.inf]) == 0


@given(rewards)
def test_best_index_is_the_first_maximum(sampled: list[float]) -> None:
    assert best_index(sampled) == sampled.index(max(sampled))


@pytest.mark.parametrize("unscored", [[math.nan], [1.0, math.nan], [math.nan, 1.0]])
def test_best_index_refuses_nan(unscored: list[float]) -> None:
    with pytest.raises(ValueError, match="NaN"):
        best_index(unscored)


def test_best_index_refuses_nothing_to_choose_from() -> None:
    with pytest.raises(ValueError, match="at least one"):
        best_index([])
