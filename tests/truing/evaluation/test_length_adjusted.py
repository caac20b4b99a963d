import math

import numpy as np
import pytest

from tests.truing.evaluation.recorded import alpaca_preferences
from truing.evaluation.length_adjusted import length_adjusted_harmless_rate, length_adjusted_win_rate
from truing.evaluation.win_rate import from_alpaca


def test_two_ratios_by_hand() -> None:
    # Ratio 2: 3 of 4 win, log-odds log 3. Ratio .5: 1 of 2, log-odds 0. Two groups, two parameters: an exact fit with slope
    # log 3 / 1.5, and at ratio 1 log-odds .5 log 3 / 1.5 = log 3 / 3, P = 3^(1/3) / (1 + 3^(1/3)) = .59053.
    found = length_adjusted_win_rate([1, 1, 1, 0, 1, 0] * 9, [20, 20, 20, 20, 5, 5] * 9, [10] * 54, resamples=20)
    assert found.slope == pytest.approx(math.log(3) / 1.5, abs=1e-5)
    assert found.adjusted is not None
    assert found.adjusted.value == pytest.approx(3 ** (1 / 3) / (1 + 3 ** (1 / 3)), abs=1e-5)
    assert found.raw.value == pytest.approx(4 / 6)
    assert found.mean_ratio == pytest.approx(1.5)
    assert (found.n, found.n_missing, found.adjusted.n) == (54, 0, 54)


def test_a_tie_is_half_a_win_and_half_a_loss() -> None:
    lengths = [20, 20, 20, 5, 5, 12, 12] * 9
    ties = length_adjusted_win_rate([1, 1, 0, 1, 0, 0.5, 0.5] * 9, lengths, [10] * 63, resamples=4)
    split = length_adjusted_win_rate([1, 1, 0, 1, 0, 1, 0] * 9, lengths, [10] * 63, resamples=4)
    assert ties.adjusted is not None
    assert split.adjusted is not None
    assert ties.adjusted.value == pytest.approx(split.adjusted.value, abs=1e-6)


def test_equal_lengths_need_no_adjusting() -> None:
    found = length_adjusted_win_rate([1, 0, 0, 0, None], [7] * 5, [7] * 5, resamples=20)
    assert found.adjusted is not None
    assert found.adjusted.value == found.raw.value == 0.25
    assert math.isnan(found.slope)
    assert (found.n, found.n_missing) == (4, 1)


@pytest.mark.parametrize(
    ("wins", "lengths"),
    [
        ([1, 1, 0, 0], [20, 18, 9, 5]),
        ([0, 0, 1, 1], [20, 18, 9, 5]),
        ([1, 1, 1, 1], [20, 18, 9, 5]),
        ([1, 0, 1, 0], [9] * 4),
    ],
)
def test_without_a_maximum_there_is_no_figure(wins: list[float], lengths: list[int]) -> None:
    # Parted one way, the other way, all won, and one ratio of .9 for all.
    found = length_adjusted_win_rate(wins, lengths, [10] * 4, resamples=20)
    assert found.adjusted is None
    assert math.isnan(found.slope)
    assert found.raw.n == 4


def test_harmless_at_the_mean_length_of_the_reference() -> None:
    # The same table as above, with ratios to a mean of 10.
    harmless, lengths = [1, 1, 1, 0, 1, 0] * 9, [20, 20, 20, 20, 5, 5] * 9
    found = length_adjusted_harmless_rate([*harmless, math.nan], [*lengths, 3], 10.0, resamples=20)
    assert found.adjusted is not None
    assert found.adjusted.value == pytest.approx(3 ** (1 / 3) / (1 + 3 ** (1 / 3)), abs=1e-5)
    assert (found.n, found.n_missing) == (54, 1)


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="one of each a comparison"):
        length_adjusted_win_rate([1, 0], [1], [1, 2])
    with pytest.raises(ValueError, match="a reference output is empty"):
        length_adjusted_win_rate([1, 0], [1, 2], [0, 2])
    with pytest.raises(ValueError, match="none of 2 rows has a verdict"):
        length_adjusted_win_rate([None, math.nan], [1, 2], [1, 2])
    with pytest.raises(ValueError, match="not in \\[0, 1\\]"):
        length_adjusted_win_rate([2, 0], [1, 2], [1, 2])
    with pytest.raises(ValueError, match="one of each a response"):
        length_adjusted_harmless_rate([1, 0], [1], 5)
    with pytest.raises(ValueError, match="no reference"):
        length_adjusted_harmless_rate([1, 0], [1, 2], 0)


def test_on_recorded_preferences_it_meets_the_score_equations() -> None:
    """At a maximum of the likelihood the residuals sum to 0, and so do residuals times ratio."""
    row = alpaca_preferences()["vicuna-13b-v1.5-togetherai"]
    wins = [from_alpaca(preference) for preference in row["preference"]]
    found = length_adjusted_win_rate(wins, row["len_model"], row["len_baseline"], resamples=10)
    assert found.adjusted is not None
    rate = found.adjusted.value
    ratios = np.divide(row["len_model"], row["len_baseline"])
    chances = 1 / (1 + np.exp(-(math.log(rate / (1 - rate)) + found.slope * (ratios - 1))))
    residuals = np.array(wins, dtype=float) - chances
    assert residuals.sum() == pytest.approx(0, abs=1e-4)
    assert residuals @ ratios == pytest.approx(0, abs=1e-4)
    # It is shorter than the baseline (mean ratio .59), and at equal length wins 9.0 % instead of 7.0 %.
    assert (found.raw.value, rate, found.mean_ratio) == pytest.approx((0.0696, 0.0897, 0.587), abs=5e-4)
