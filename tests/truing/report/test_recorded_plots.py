import pytest

from tests.truing.report.recorded_example import comparisons, judges, outputs, preferences
from truing.report.drawing import INK, NEUTRAL, PALETTE
from truing.report.recorded_contents import Recorded
from truing.report.recorded_plots import plots, points
from truing.report.recorded_tables import tables


def titles(one: Recorded) -> list[list[str]]:
    return [[title for title, _, _ in beside] for beside in plots(one)]


def test_a_metric_has_a_plot_where_an_interval_is_known() -> None:
    assert titles(outputs()) == [
        ["words", "EAD across inputs", "ROUGE-1 F1"],
        ["Δ words", "Δ EAD across inputs", "Δ ROUGE-1 F1"],
    ]
    assert titles(preferences()) == [["win rate"]]  # counts have none
    assert titles(judges()) == [["gpt: Spearman’s ρ by level"], ["system ordering"]]
    assert titles(comparisons()) == [
        ["same place wins twice", "first among places that won twice"],
        ["Bradley-Terry rating"],
    ]


def test_points_stand_at_their_values_in_percent() -> None:
    [_, order] = tables(judges().figures)
    drawn = points(order, 0)
    assert [trace.name for trace in drawn.data] == ["fluency", "relevance", "all criteria"]
    assert [list(trace.x) for trace in drawn.data] == [[80], [90], [85]]
    assert drawn.data[0].error_x.array[0] == 100 * (0.9 - 0.8)
    # From 70 to 95, and 6 % of that on both sides.
    assert list(drawn.layout.xaxis.range) == pytest.approx([70 - 1.5, 95 + 1.5])


def test_an_undefined_figure_is_no_point() -> None:
    [first, gaps] = tables(outputs().figures)
    drawn = points(first, 2)
    assert list(drawn.data[0].y) == ["TL;DR"]
    assert list(drawn.layout.yaxis.categoryarray) == ["TL;DR", "sft"]  # from below
    assert points(gaps, 0).layout.shapes[0].x0 == 0
    assert points(tables(preferences().figures)[0], 0).layout.shapes[0].x0 == 50


def test_correlations_by_level_a_colour_for_each_criterion() -> None:
    _, _, drawn = plots(judges())[0][0]
    assert [trace.name for trace in drawn.data] == ["fluency", "relevance"]
    assert list(drawn.data[0].x) == ["summary", "sample", "system"]
    assert list(drawn.data[0].y) == [0.4, 0.45, 0.85]


def test_every_colour_is_one_that_both_themes_know() -> None:
    known = {*PALETTE, NEUTRAL, INK}
    for one in (outputs(), judges(), comparisons(), preferences()):
        for _, _, drawn in (plot for beside in plots(one) for plot in beside):
            assert {trace.marker.color for trace in drawn.data} <= known
            assert {shape.line.color for shape in drawn.layout.shapes} <= known
