import pytest

from tests.truing.report.example import labeler
from truing.report import trust_figures
from truing.report.contents import LENGTHS, CalibrationBin, Estimate
from truing.report.drawing import PALETTE, SYMBOLS

ONE = labeler("judge", "base")


def test_reliability_is_agreement_over_confidence_beside_the_diagonal() -> None:
    diagonal, curve = trust_figures.reliability([("judge", (*ONE.bins, CalibrationBin(0.95, 1.0, 0, 0.0, 0.0)))]).data
    assert (list(diagonal.x), list(diagonal.y)) == ([50, 100], [50, 100])
    assert list(curve.x) == pytest.approx([60, 90])  # the empty bin is left out
    assert list(curve.y) == pytest.approx([50, 100])
    assert list(curve.text) == ["24", "16"]
    assert curve.mode.endswith("text")
    assert list(curve.textposition) == ["bottom center", "top center"]  # away from the diagonal
    assert (curve.marker.size[0] / curve.marker.size[1]) ** 2 == pytest.approx(24 / 16)


def test_several_labelers_share_one_scale_of_areas_and_are_told_apart() -> None:
    small = (CalibrationBin(0.55, 0.6, 6, 0.6, 0.5),)
    figure = trust_figures.reliability([("judge", ONE.bins), ("other", small)])
    _, one, other = figure.data
    assert (one.marker.size[0] / other.marker.size[0]) ** 2 == pytest.approx(24 / 6)
    assert [curve.marker.color for curve in (one, other)] == list(PALETTE[:2])
    assert [curve.marker.symbol for curve in (one, other)] == list(SYMBOLS[:2])
    assert not one.mode.endswith("text")
    assert figure.layout.showlegend
    assert not trust_figures.reliability([("judge", ONE.bins)]).layout.showlegend


def test_agreement_bars_have_intervals_n_and_the_line_of_a_coin_flip() -> None:
    figure = trust_figures.agreement_by([("judge", ONE.by_length)], LENGTHS, "length")
    [bars] = figure.data
    assert list(bars.x) == ["much<br>shorter", "longer", "much<br>longer"]
    assert list(bars.y) == pytest.approx([50, 68.75, 100 * 12 / 14])
    assert list(bars.error_y.array) == pytest.approx([80 - 50, 90 - 68.75, 100 - 100 * 12 / 14])
    assert list(bars.error_y.arrayminus) == pytest.approx([50 - 20, 68.75 - 45, 100 * 12 / 14 - 64])
    assert list(bars.customdata) == [10, 16, 14]
    assert list(figure.layout.xaxis.ticktext) == [
        *("much<br>shorter<br>n = 10", "longer<br>n = 16", "much<br>longer<br>n = 14")
    ]
    assert (figure.layout.shapes[0].y0, figure.layout.shapes[0].y1) == (50, 50)


def test_groups_stand_in_order_whoever_has_them() -> None:
    few = (("equally long", Estimate(0.5, 0.1, 0.9, 4)), ("much shorter", Estimate(0.25, 0.0, 0.6, 4)))
    figure = trust_figures.agreement_by([("few", few), ("judge", ONE.by_length)], LENGTHS, "length")
    wanted = ["much<br>shorter", "equally<br>long", "longer", "much<br>longer"]
    assert list(figure.layout.xaxis.categoryarray) == wanted
    assert list(figure.layout.xaxis.ticktext) == wanted  # n differs from bar to bar: it is in the table
    assert list(figure.data[0].x) == ["much<br>shorter", "equally<br>long"]


def test_long_names_are_wrapped_and_the_legend_has_room() -> None:
    long = "HuggingFaceTB/SmolLM2-135M-Instruct, detailed, 2 exemplars"
    one = trust_figures.agreement_by([("a", ONE.by_length), ("b", ONE.by_length)], LENGTHS, "length")
    two = trust_figures.agreement_by([("a", ONE.by_length), (long, ONE.by_length)], LENGTHS, "length")
    assert two.data[1].name == "HuggingFaceTB/SmolLM2-135M-Instruct,<br>detailed, 2 exemplars"
    assert two.layout.height == one.layout.height + 20
