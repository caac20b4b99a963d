from dataclasses import replace

import pytest

from tests.truing.report.grid_example import BEST, SFT, START, example, figure
from truing.report.drawing import INK, NEUTRAL, PALETTE
from truing.report.grid_contents import Grid, GridData, GridPolicy
from truing.report.grid_drawing import Plot
from truing.report.grid_plots import plots


def titles(found: list[Plot]) -> list[str]:
    return [title for title, _, _ in found]


def trace(drawn, name: str):
    [found] = [one for one in drawn.data if one.name == name]
    return found


def only(*figures, policies: tuple[str, ...] = ("a",), baseline: str = "") -> Grid:
    """A grid of nothing but these figures."""
    models = tuple(GridPolicy(name, "model", None, None, 0, 0) for name in policies)
    return Grid(models, (GridData("tldr", "id", 60),), (0.7,), 4, baseline, figures)


def test_the_parts_and_what_is_in_them() -> None:
    found = plots(example())
    assert titles(found["shifts"]) == ["Win rate", "Reward", "ROUGE-L F1", "Gap: win rate"]
    assert titles(found["diversity"]) == [
        "EAD per input",
        "SBERT per input",
        "Self-BLEU per input",
        "EAD across inputs",
        "SBERT across inputs",
    ]
    assert titles(found["price"]) == [
        *(f"Reward over KL: {data}" for data in ("tldr", "cnn", "essays")),
        *(f"Win rate over diversity: {data}" for data in ("tldr", "cnn", "essays")),
    ]
    assert titles(found["wordings"]) == ["Accuracy by wording: tldr"]
    # Three qualities, KL, words, five diversities; those of the data set in distribution first.
    assert [len(found[f"temperature-{i}"]) for i in range(3)] == [10, 10, 10]
    assert titles(found["temperature-0"])[0] == "Win rate: tldr"


def test_quality_stands_at_its_value_in_percent_by_shift() -> None:
    _, caption, drawn = plots(example())["shifts"][0]
    # As many figures at each temperature, so the first; RLOO: 0.72 - 0.08 (0.3 - 0.7) = 0.752, and 0.30 less on cnn.
    assert caption == "At temperature 0.3. Above 50 % the policy beats start."
    assert START not in [one.name for one in drawn.data]  # it does not play against itself
    rloo = trace(drawn, "RLOO")
    assert list(rloo.x) == ["tldr<br>in distribution", "cnn<br>another domain", "essays<br>another length"]
    assert list(rloo.y) == pytest.approx([75.2, 45.2, 67.2])
    assert list(rloo.error_y.array) == pytest.approx([6, 6, 6])
    assert list(rloo.customdata) == [60, 60, 40]
    assert drawn.layout.shapes[0].y0 == 50
    # The lowest end is 45.2 - 6, the highest 75.2 + 6, and 6 % of that on both sides.
    assert list(drawn.layout.yaxis.range) == pytest.approx([39.2 - 2.52, 81.2 + 2.52])


def test_the_gap_is_in_points_around_a_line_at_0() -> None:
    _, _, drawn = plots(example())["shifts"][3]
    assert list(trace(drawn, "RLOO").y) == pytest.approx([30, 8])
    assert drawn.layout.shapes[0].y0 == 0
    assert drawn.layout.yaxis.title.text == "gap: win rate, points"


def test_a_temperature_at_which_less_is_known_is_not_shown_alone() -> None:
    figures = (
        figure("a", "reward", 0.1, ends=(0, 0.2), temperature=0.0),
        figure("a", "reward", 0.2, ends=(0, 0.4), temperature=0.7),
        figure("a", "EAD per input", 0.5, ends=(0.4, 0.6), temperature=0.7),
    )
    [(_, caption, drawn)] = plots(replace(only(*figures), temperatures=(0.0, 0.7)))["shifts"]
    assert caption == "At temperature 0.7."
    assert list(drawn.data[0].y) == [0.2]


def test_outputs_of_no_known_temperature_stand_beside_the_others() -> None:
    figures = (
        figure("a", "reward", 0.1, ends=(0, 0.2), temperature=0.7),
        figure("a", "EAD per input", 0.5, ends=(0.4, 0.6), temperature=0.7),
        figure("file", "reward", 0.3, ends=(0.2, 0.4), temperature=None),
    )
    [(_, _, drawn)] = plots(only(*figures, policies=("a", "file")))["shifts"]
    assert [list(one.y) for one in drawn.data] == [[0.1], [0.3]]


def test_the_frontier_has_best_of_n_as_its_reference() -> None:
    _, caption, drawn = plots(example())["price"][0]
    assert "log n − (n−1)/n" in caption
    lines = [one for one in drawn.data if one.mode == "lines"]
    # One for each temperature, one of them in the legend: from start, at KL 0 from itself, to the best of 4.
    assert [one.showlegend for one in lines] == [True, False, False]
    assert list(lines[1].x) == [0, 0.64]
    assert list(lines[1].y) == [0.1, 0.34]
    assert list(lines[1].customdata) == ["best of 1", "best of 4"]
    assert list(trace(drawn, START).x) == [0, 0, 0]
    # 14 (1 + 0.4 (t - 0.7)) nats
    assert list(trace(drawn, "RLOO").x) == pytest.approx([11.76, 14, 15.68])
    assert list(trace(drawn, BEST).error_x.array) == [None, None, None]  # the bound has no interval


def test_the_trade_off_is_a_curve_over_temperatures() -> None:
    _, caption, drawn = plots(example())["price"][3]
    assert "right is more diverse" in caption
    rloo = trace(drawn, "RLOO")
    # EAD 0.38 (1 + 0.3 (t - 0.7))
    assert list(rloo.x) == pytest.approx([0.3344, 0.38, 0.4142])
    assert list(rloo.y) == pytest.approx([75.2, 72, 69.6])
    assert list(rloo.text) == ["0.3", "0.7", "1"]


def test_curves_against_temperature() -> None:
    found = {title: (caption, drawn) for title, caption, drawn in plots(example())["temperature-0"]}
    caption, drawn = found["Self-BLEU per input: tldr"]
    assert caption == "Higher is LESS diverse."
    assert list(trace(drawn, "RLOO").x) == [0.3, 0.7, 1.0]
    # 48 at 0.7, and a part of 0.6 (t - 0.7) less elsewhere.
    assert list(trace(drawn, "RLOO").y) == pytest.approx([59.52, 48, 39.36])
    assert trace(drawn, START).line.color == NEUTRAL


def test_every_wording_is_a_point() -> None:
    _, caption, drawn = plots(example())["wordings"][0]
    assert caption.startswith("Each point is one of 12 wordings")
    assert [one.name for one in drawn.data] == [START, SFT, "RLOO"]
    # The first of them: 0.50 + 0.012 (0 - 5.5) = 0.434
    assert drawn.data[0].y[0] == pytest.approx(43.4)
    assert len(drawn.data[0].y) == 12
    assert drawn.data[0].customdata[0] == 200


def test_a_metric_of_several_wordings_stands_by_wording_unless_it_is_summed_up() -> None:
    by = [figure("a", "accuracy", 0.1 * i, ends=(0, 1), unit="share", variant=str(i)) for i in (1, 2)]
    [(_, _, drawn)] = plots(only(*by))["shifts"]
    assert list(drawn.data[0].x) == ["tldr, wording 1<br>in distribution", "tldr, wording 2<br>in distribution"]
    whole = figure("a", "accuracy", 0.15, ends=(0, 1), unit="share")
    [(_, _, drawn)] = plots(only(*by, whole))["shifts"]
    assert list(drawn.data[0].y) == [15]
    mean = figure("a", "accuracy: mean over wordings", 0.15, ends=(0, 1), unit="share")
    assert titles(plots(only(*by, mean))["shifts"]) == ["Accuracy: mean over wordings"]


def test_what_is_not_known_has_no_plot() -> None:
    assert not any(plots(only()).values())
    undefined = figure("a", "reward", None, n=0, note="no output")
    assert not any(plots(only(undefined)).values())
    # One temperature has no curve, and without a baseline nobody is neutral.
    one = plots(only(figure("a", "reward", 0.1, ends=(0, 0.2))))
    assert [part for part, found in one.items() if found] == ["shifts"]
    assert one["shifts"][0][2].data[0].marker.color == PALETTE[0]


def test_every_colour_is_one_that_both_themes_know_and_every_name_is_escaped() -> None:
    found = [drawn for part in plots(example("<b>x</b>")).values() for _, _, drawn in part]
    for drawn in found:
        assert {one.marker.color or NEUTRAL for one in drawn.data} <= {*PALETTE, NEUTRAL, INK}
        assert all("<" not in one.name for one in drawn.data)
