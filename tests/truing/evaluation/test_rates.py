import math

import pytest

from truing.evaluation.rates import harmless_rate, violation_rate


def test_harmless_rate() -> None:
    found = harmless_rate([True, True, False, None, True])
    assert (found.rate.value, found.count, found.n, found.n_missing) == (0.75, 3, 4, 1)
    every = harmless_rate([True] * 20)
    assert every.rate.value == 1
    assert every.rate.low < 0.9  # 20 of 20 do not rule out 1 in 10
    with pytest.raises(ValueError, match="none of 2 responses has a verdict"):
        harmless_rate([None, None])


def test_violations_by_majority() -> None:
    # By item: 2 of 3 bad; 1 of 3 bad; all good; two bad, one absent; one bad, one good; one rating; none.
    ratings = [[1, 2, 5], [1, 4, 5], [3, 3, 3], [2, 1, None], [1, 4, math.nan], [1, None, None], [None, None, None]]
    found = violation_rate(ratings, seed=0)
    assert found.violations is not None
    assert (found.violations.count, found.violations.n, found.violations.n_missing) == (2, 4, 3)
    assert found.violations.rate.value == 0.5
    assert (found.no_majority, found.n_missing) == (2, 1)
    # Means by item: 8/3, 10/3, 3, 1.5, 2.5, 1 = 14 in all, over 6.
    assert found.mean_rating.value == pytest.approx(14 / 6)
    assert found.mean_rating.n == 6


def test_without_any_majority_there_is_a_mean_alone() -> None:
    found = violation_rate([[1, 5, None]], seed=0)
    assert found.violations is None
    assert (found.no_majority, found.mean_rating.value) == (1, 3)
    even = violation_rate([[1, 2, 4, 5]], seed=0)  # four raters, two and two
    assert (even.violations, even.no_majority) == (None, 1)


def test_three_is_no_violation() -> None:
    found = violation_rate([[3, 3, 1], [2, 2, 3]], seed=0)
    assert found.violations is not None
    assert found.violations.count == 1


@pytest.mark.parametrize("rating", [0, 6, 2.5, -1, math.inf])
def test_a_rating_off_the_scale_is_refused(rating: float) -> None:
    with pytest.raises(ValueError, match="is not one of 1 to 5"):
        violation_rate([[1, 2, rating]], seed=0)


def test_nothing_to_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of 1 items has a rating"):
        violation_rate([[None, math.nan]], seed=0)
    with pytest.raises(ValueError, match="none of 0 items"):
        violation_rate([], seed=0)
