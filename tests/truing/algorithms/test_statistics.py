import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binomtest

from truing.algorithms.statistics import (
    Interval,
    binomial_two_sided,
    bootstrap,
    bootstrap_mean,
    bootstrap_unpaired,
    clustered_mean,
    ratio_of_sums,
    wilson,
)


def test_mean_interval_agrees_with_the_normal_approximation() -> None:
    # 400 values, half 0 and half 1: mean .5, standard error .5/sqrt(400) = .025, so .5 -+ 1.96 * .025 = .451, .549.
    interval = bootstrap_mean([0.0, 1.0] * 200, seed=1)
    assert interval.value == 0.5
    assert interval.n == 400
    assert interval.low == pytest.approx(0.451, abs=0.005)
    assert interval.high == pytest.approx(0.549, abs=0.005)


def test_interval_covers_the_true_mean_as_often_as_it_says() -> None:
    # 200 samples of 50 standard normals: a 90 % interval should hold 0 about 180 times; sd = sqrt(200*.9*.1) = 4.2.
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(200, 50))
    intervals = [bootstrap_mean(row, seed=i, resamples=200, level=0.9) for i, row in enumerate(samples)]
    assert 162 <= sum(interval.low <= 0 <= interval.high for interval in intervals) <= 196


def test_the_seed_decides_the_interval() -> None:
    values = [0.1, 0.4, 0.7, 0.2, 0.9]
    assert bootstrap_mean(values, seed=3) == bootstrap_mean(values, seed=3)
    assert bootstrap_mean(values, seed=3) != bootstrap_mean([*values, 5.0], seed=3)
    assert bootstrap_mean(values, seed=3, level=0.5).high < bootstrap_mean(values, seed=3, level=0.99).high


def test_rows_of_a_group_are_drawn_together_and_n_counts_groups() -> None:
    # Groups a (0, 0, 0) and b (1). Of four draws of two, one is a twice (mean 0), one b twice (1), two are both (1/4).
    # Drawn row by row the mean would be 1/2 at times, and 1 in one resample of 256.
    interval = bootstrap_mean([0.0, 1.0, 0.0, 0.0], seed=0, groups=["a", "b", "a", "a"])
    assert interval == Interval(value=0.25, low=0.0, high=1.0, n=2)
    seen: set[float] = set()

    def noted(values: NDArray[np.float64]) -> float:
        seen.add(float(values.mean()))
        return float(values.mean())

    bootstrap(noted, [0.0, 1.0, 0.0, 0.0], seed=0, groups=["a", "b", "a", "a"])
    assert seen == {0.0, 0.25, 1.0}


def test_a_row_in_a_group_of_its_own_is_drawn_as_without_groups() -> None:
    values = [0.1, 0.4, 0.7, 0.2, 0.9]
    assert bootstrap_mean(values, seed=3, groups="edcab") == bootstrap_mean(values, seed=3)


def test_copies_of_every_row_add_no_certainty() -> None:
    values = [float(i % 3 == 0) for i in range(60)]
    one, five = bootstrap_mean(values, seed=1), bootstrap_mean(values * 5, seed=1, groups=[*range(60)] * 5)
    assert five.n == 60
    assert (five.value, five.low, five.high) == pytest.approx((one.value, one.low, one.high))
    assert bootstrap_mean(values * 5, seed=1).high < five.high
    with pytest.raises(ValueError, match="2 groups for 3 rows"):
        bootstrap_mean([1.0, 2.0, 3.0], seed=0, groups=["a", "b"])


def test_one_value_has_an_interval_without_width() -> None:
    assert bootstrap_mean([0.25], seed=0) == Interval(value=0.25, low=0.25, high=0.25, n=1)


def test_no_values_and_missing_values_are_errors() -> None:
    with pytest.raises(ValueError, match="nothing to resample"):
        bootstrap_mean([], seed=0)
    with pytest.raises(ValueError, match="2 of 3 values are not finite"):
        bootstrap_mean([math.nan, 1.0, math.inf], seed=0)


def test_groups_of_a_row_each_and_a_single_group_draw_rows() -> None:
    # A group each is rows; all of one group too.
    for groups in ([1, 2, 3, 4], [1, 1, 1, 1]):
        assert clustered_mean([1.0, 0.0, 1.0, 1.0], groups, seed=3) == bootstrap_mean([1.0, 0.0, 1.0, 1.0], seed=3)


def test_a_ratio_of_sums_is_no_mean_of_ratios() -> None:
    # (1 + 0) / (1 + 3) = 1/4, where the mean of 1 and 0 would be 1/2.
    assert ratio_of_sums(np.array([1.0, 0.0]), np.array([1.0, 3.0])) == 0.25
    assert math.isnan(ratio_of_sums(np.array([1.0]), np.array([0.0])))


def test_rows_stay_paired() -> None:
    # y = 2x row by row: any resample has the ratio 2, which columns resampled apart would not.
    x = [1.0, 5.0, 2.0, 9.0]
    interval = bootstrap(ratio_of_sums, [2 * value for value in x], x, seed=0)
    assert (interval.low, interval.value, interval.high) == pytest.approx((2.0, 2.0, 2.0))


def test_resamples_without_a_figure_are_left_out() -> None:
    # A quarter ((3/4)^4 = .316) of the resamples misses the one row with a denominator; on all others the ratio is 3.
    interval = bootstrap(ratio_of_sums, [0.0, 0.0, 0.0, 3.0], [0.0, 0.0, 0.0, 1.0], seed=0)
    assert interval == Interval(value=3.0, low=3.0, high=3.0, n=4)


def test_an_undefined_statistic_is_an_error() -> None:
    with pytest.raises(ValueError, match="the statistic is nan on the 2 rows"):
        bootstrap(ratio_of_sums, [1.0, 1.0], [0.0, 0.0], seed=0)
    with pytest.raises(ValueError, match="lengths are \\[2, 1\\]"):
        bootstrap(ratio_of_sums, [1.0, 1.0], [0.0], seed=0)


def test_a_statistic_defined_on_few_resamples_is_an_error() -> None:
    def if_all_differ(values: NDArray[np.float64]) -> float:
        return 1.0 if len(set(values)) == len(values) else math.nan

    # 4!/4^4 = 9 % of the resamples of four rows hold each row once.
    with pytest.raises(ValueError, match="undefined on most resamples"):
        bootstrap(if_all_differ, [1.0, 2.0, 3.0, 4.0], seed=0)


def test_wilson_by_hand() -> None:
    # 8 of 10, z = 1.959964, z^2 = 3.841459: centre (.8 + z^2/20) / (1 + z^2/10) = .71672; half-width
    # z sqrt(.16/10 + z^2/400) / (1 + z^2/10) = .22659.
    interval = wilson(8, 10)
    assert (interval.value, interval.n) == (0.8, 10)
    assert (interval.low, interval.high) == pytest.approx((0.49016, 0.94332), abs=1e-4)
    # 0 of n: [0, z^2 / (n + z^2)].
    assert (wilson(0, 10).low, wilson(0, 10).high) == pytest.approx((0, 3.841459 / 13.841459), abs=1e-6)
    with pytest.raises(ValueError, match="0 of 0 is no share"):
        wilson(0, 0)
    with pytest.raises(ValueError, match="3 of 2"):
        wilson(3, 2)


@given(st.integers(1, 200), st.data())
def test_wilson_mirrors_and_holds_the_share(n: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, n))
    one, other = wilson(count, n), wilson(n - count, n)
    assert 0 <= one.low <= one.value + 1e-12
    assert one.value - 1e-12 <= one.high <= 1
    assert one.low + other.high == pytest.approx(1)


def test_binomial_by_hand() -> None:
    # 9 or 10 heads of 10, and as many tails: 2 * (10 + 1) / 1024
    assert binomial_two_sided(9, 10) == pytest.approx(22 / 1024)
    assert binomial_two_sided(5, 10) == 1.0
    assert binomial_two_sided(0, 0) == 1.0
    with pytest.raises(ValueError, match="between 0 and n"):
        binomial_two_sided(3, 2)


@given(st.integers(1, 3000), st.data())
def test_binomial_agrees_with_scipy(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    # SciPy rounds some of less than 1e-299 to 0.
    assert binomial_two_sided(k, n) == pytest.approx(float(binomtest(k, n).pvalue), rel=1e-9, abs=1e-290)


def gap(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    return float(first.mean() - second.mean())


def test_samples_of_different_items_are_resampled_apart() -> None:
    # 300 and 150 values, half 0 and half 1: standard errors .5/sqrt(300) = .0289 and .5/sqrt(150) = .0408; of the
    # difference .05, so 0 -+ 1.96 * .05 = .098.
    interval = bootstrap_unpaired(gap, [0.0, 1.0] * 150, [0.0, 1.0] * 75, seed=1)
    assert (interval.value, interval.n) == (0.0, 450)
    assert interval.low == pytest.approx(-0.098, abs=0.01)
    assert interval.high == pytest.approx(0.098, abs=0.01)
    # Equal samples in step would differ by nothing: `bootstrap` keeps rows together, this one must not.
    assert bootstrap(gap, [0.0, 1.0] * 50, [0.0, 1.0] * 50, seed=1).high == 0.0
    assert bootstrap_unpaired(gap, [0.0, 1.0] * 50, [0.0, 1.0] * 50, seed=1).high > 0.1


def test_unpaired_samples_that_say_nothing_are_errors() -> None:
    with pytest.raises(ValueError, match="nothing to resample"):
        bootstrap_unpaired(gap, [1.0], [], seed=0)
    with pytest.raises(ValueError, match="at least one column"):
        bootstrap_unpaired(gap, seed=0)
    with pytest.raises(ValueError, match="the statistic is nan on the 2 items"):
        bootstrap_unpaired(ratio_of_sums, [1.0], [0.0], seed=0)
    # All five items are in 5!/5^5 = 4 % of resamples.
    with pytest.raises(ValueError, match="undefined on most resamples of the 5 items"):
        bootstrap_unpaired(lambda x: math.nan if len(np.unique(x)) < 5 else 1.0, [1.0, 2.0, 3.0, 4.0, 5.0], seed=0)
