import math

import pytest

from tests.truing.report.example import contents
from truing.report import figures, notation
from truing.report.contents import CalibrationBin

FULL = contents()
THIN = "\u202f"


def test_rl_curves_are_the_steps() -> None:
    steps = FULL.steps
    reward, part = figures.reward_curves(steps).data
    assert list(reward.x) == [0, 1, 2]
    assert list(reward.y) == [0.0, 0.1, 0.2]
    assert (part.name, list(part.y)) == ("reward_model", [0.0, None, 0.4])
    assert list(figures.kl_curve(steps).data[0].y) == [0.0, 0.5, 1.0]
    assert list(figures.logprob_gap_curve(steps).data[0].y) == [0.0, 0.001, 0.002]
    assert list(figures.entropy_curve(steps).data[0].y) == [2.0, 1.9, 1.8]
    assert list(figures.length_curve(steps).data[0].y) == [50.0, 51.0, 52.0]
    assert list(figures.gradient_curve(steps).data[0].y) == [1.5, 1.5, None]


def test_calibration_leaves_empty_bins_out_and_draws_area_by_n() -> None:
    bins = (CalibrationBin(0.0, 0.5, 0, math.nan, math.nan), CalibrationBin(0.5, 0.6, 16, 0.55, 0.5))
    diagonal, points = figures.calibration((*bins, CalibrationBin(0.6, 0.7, 4, 0.65, 0.75))).data
    assert list(diagonal.x) == list(diagonal.y)
    assert list(points.x) == pytest.approx([55, 65])
    assert list(points.y) == pytest.approx([50, 75])
    assert points.marker.size[0] / points.marker.size[1] == pytest.approx(2)  # sqrt(16 / 4)


def test_reward_model_loss_is_drawn_beside_ln_2() -> None:
    loss, chance = figures.reward_model_loss((0.7, 0.6, 0.5)).data
    assert (list(loss.x), list(loss.y)) == ([1, 2, 3], [0.7, 0.6, 0.5])
    assert list(chance.y) == [math.log(2)] * 3


def test_stage_times_are_the_costs() -> None:
    [bars] = figures.stage_times((("sample", 74.2), ("policy", 402.7))).data
    assert (list(bars.y), list(bars.x)) == (["sample", "policy"], [74.2, 402.7])
    assert list(bars.text) == [f"1{THIN}min 14{THIN}s", f"6{THIN}min 43{THIN}s"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (-math.inf, "−∞"),
        (0.0, "0"),
        (-0.01234, "−0.0123"),
        (0.9996, "1.00"),
        (9.996, "10.0"),
        (52.25, "52.2"),
        (1234.5, f"1{THIN}234"),
        (0.00002, "2.0e−05"),
    ],
)
def test_decimal_keeps_three_significant_digits(value: float | None, text: str) -> None:
    assert notation.decimal(value) == text


def test_a_rounded_zero_has_no_sign() -> None:
    assert notation.fixed(3)(-0.0001) == "0.000"
    assert notation.percent(-0.00001) == f"0.0{THIN}%"


def test_a_column_shares_its_decimals() -> None:
    assert notation.column([0.5, None, -12.34]) == ["0.5", "–", "−12.3"]
    assert notation.column([3, "b", 0.25]) == ["3", "b", "0.250"]
    assert notation.numeric([1, None, 2.5])
    assert not notation.numeric([1, "b"])
    assert not notation.numeric([None])


def test_durations() -> None:
    assert [notation.duration(s) for s in (3.21, 59.97, 3599.6, None)] == [
        *(f"3.2{THIN}s", f"1{THIN}min 00{THIN}s", f"1{THIN}h 00{THIN}min", "–")
    ]
