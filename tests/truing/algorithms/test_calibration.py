import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss
from sklearn.metrics import log_loss as sklearn_log_loss

from truing.algorithms.calibration import (
    FLOOR,
    Bin,
    brier,
    calibration,
    calibration_error,
    equal_mass,
    equal_width,
    log_loss,
    reliability,
)

pairs = st.lists(st.tuples(st.floats(0.001, 0.999), st.integers(0, 1)), min_size=2, max_size=30)


def test_figures_by_hand() -> None:
    # Bins of 1/2: (.2 → 0), (.4 → 1) give mean .3, share .5, gap .2; (.9 → 1), (.7 → 1) give .8, 1, .2. ECE = .2.
    predicted, outcomes = [0.2, 0.4, 0.9, 0.7], [0, 1, 1, 1]
    found = calibration(predicted, outcomes, bins=2, seed=0)
    assert found.ece.value == pytest.approx(0.2)
    low, high = found.curve
    assert (low.low, low.high, low.n, low.accuracy, high.n, high.accuracy) == (0, 0.5, 2, 0.5, 2, 1.0)
    assert (low.confidence, high.confidence) == pytest.approx((0.3, 0.8))
    # Brier: (.04 + .36 + .01 + .09) / 4; log loss: -(ln .8 + ln .4 + ln .9 + ln .7) / 4.
    assert found.brier.value == pytest.approx(0.125)
    assert found.log_loss.value == pytest.approx(-math.log(0.8 * 0.4 * 0.9 * 0.7) / 4)
    assert (found.ece.n, found.missing, found.clipped) == (4, 0, 0)


def test_bins_hold_their_upper_edge() -> None:
    edges = equal_width(2)
    assert reliability([0.0, 0.5, 0.51, 1.0], [0, 0, 1, 1], edges) == (
        Bin(0.0, 0.5, 2, 0.25, 0.0),
        Bin(0.5, 1.0, 2, 0.755, 1.0),
    )
    assert len(reliability([0.1, 0.2], [0, 1], equal_width(10))) == 2  # bins that hold nothing are left out


def test_equal_mass_parts_by_number_and_keeps_equal_predictions_together() -> None:
    # Width puts three of four into the first half; mass two and two.
    predicted = [0.1, 0.2, 0.3, 0.9]
    assert [one.n for one in reliability(predicted, [0, 0, 0, 1], equal_mass(predicted, 2))] == [2, 2]
    assert [one.n for one in reliability([0.3] * 5, [0, 1, 0, 1, 0], equal_mass([0.3] * 5, 4))] == [5]
    some = [0.3, 0.3, 0.3, 0.8]
    assert sum(one.n for one in reliability(some, [0, 0, 1, 1], equal_mass(some, 3))) == 4


def test_the_lowest_prediction_has_a_bin_of_its_own_where_it_fills_one() -> None:
    # 0 comes true always and 1 never: each bin is wrong by 1. In one bin together they would average to 1/2 and 1/2.
    predicted, outcomes = [0.0] * 50 + [1.0] * 50, [1] * 50 + [0] * 50
    found = calibration(predicted, outcomes, seed=0)
    assert (found.ece.value, found.ece_equal_mass.value) == (1.0, 1.0)
    assert reliability(predicted, outcomes, equal_mass(predicted, 10)) == (
        Bin(0.0, 0.0, 50, 0.0, 1.0),
        Bin(0.0, 1.0, 50, 1.0, 0.0),
    )
    # Quantiles 0.1, 0.1, 0.4: two and two. Where the lowest value fills no bin, it shares the first.
    some = [0.1, 0.1, 0.3, 0.4]
    assert [one.n for one in reliability(some, [0, 0, 1, 1], equal_mass(some, 2))] == [2, 2]
    some = [0.1, 0.2, 0.3, 0.4]
    assert equal_mass(some, 2).tolist() == [0.1, 0.2, 0.4]


def test_bins_take_soft_outcomes() -> None:
    # (.2 → 1/2), (.4 → 1/4): mean .3 against 3/8; (.9 → 3/4): .15. ECE (2 · .075 + .15) / 3 = .1
    p, y = np.array([0.2, 0.4, 0.9]), np.array([0.5, 0.25, 0.75])
    assert [(one.n, one.accuracy) for one in reliability(p, y, equal_width(2))] == [(2, 0.375), (1, 0.75)]
    assert calibration_error(p, y, equal_width(2)) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="an outcome is not in"):
        reliability([0.5], [1.5], equal_width(2))


def test_constant_predictions_err_by_their_distance_from_the_share() -> None:
    found = calibration([0.3] * 4, [1, 1, 1, 0], seed=0)
    assert found.ece.value == pytest.approx(0.45)
    assert found.ece_equal_mass.value == pytest.approx(0.45)


@given(pairs)
def test_losses_are_scikit_learns(some: list[tuple[float, int]]) -> None:
    predicted, outcomes = [p for p, _ in some], [y for _, y in some]
    assert brier(predicted, outcomes).mean() == pytest.approx(brier_score_loss(outcomes, predicted))
    assert log_loss(predicted, outcomes).mean() == pytest.approx(sklearn_log_loss(outcomes, predicted, labels=[0, 1]))


@given(pairs, st.integers(1, 12))
def test_the_error_is_at_least_that_of_a_single_bin(some: list[tuple[float, int]], bins: int) -> None:
    p, y = np.array([p for p, _ in some]), np.array([float(y) for _, y in some])
    whole = abs(p.mean() - y.mean())
    for edges in (equal_width(bins), equal_mass(p, bins)):
        assert whole - 1e-9 <= calibration_error(p, y, edges) <= 1


def test_a_certain_error_costs_twenty_nats_and_is_counted() -> None:
    found = calibration([0.0, 1.0], [1, 1], seed=0)
    assert found.log_loss.value == pytest.approx(10)
    assert found.clipped == 2
    assert -math.log(FLOOR) == pytest.approx(20)


def test_missing_predictions_are_counted() -> None:
    found = calibration([None, math.nan, 0.5], [1, 0, 1], seed=0)
    assert (found.missing, found.brier.n, found.brier.value) == (2, 1, 0.25)
    for bad in ([None], []):
        with pytest.raises(ValueError, match="at least one"):
            calibration(bad, [1] * len(bad), seed=0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="no probability"):
        calibration([1.2], [1], seed=0)
    with pytest.raises(ValueError, match="neither 0 nor 1"):
        calibration([0.5], [0.5], seed=0)
    with pytest.raises(ValueError, match="1 predictions of 2 outcomes"):
        calibration([0.5], [0, 1], seed=0)
    with pytest.raises(ValueError, match="0 bins"):
        calibration([0.5], [1], bins=0, seed=0)


def test_confidences_start_at_a_half() -> None:
    # Ten bins of 1/20: .5 and .55 in the first one, .56 in the second, 1 in the last.
    found = reliability([0.5, 0.55, 0.56, 1.0], [1, 0, 1, 1], equal_width(10, low=0.5))
    assert [(round(one.low, 2), round(one.high, 2), one.n) for one in found] == [
        (0.5, 0.55, 2),
        (0.55, 0.6, 1),
        (0.95, 1, 1),
    ]
