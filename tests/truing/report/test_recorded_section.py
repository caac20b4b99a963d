import json
from dataclasses import replace

from tests.truing.report.example import EMPTY, HOSTILE
from tests.truing.report.reading import Page, section, shown
from tests.truing.report.recorded_example import comparisons, judges, outputs, preferences
from truing.report.page import render


def page(name: str = "TL;DR") -> Page:
    return Page(render(replace(EMPTY, recorded=(outputs(name), judges(), comparisons(), preferences()))))


def test_every_figure_stands_with_interval_and_n() -> None:
    text = section(page(), "recorded")
    assert "Outputs: 9 figures from 4 140 scores of TL;DR.jsonl." in text
    assert "23.9 [18.5, 30.3] n = 100" in text
    assert "– undefined 100 not counted" in text
    assert "0.170 [0.150, 0.190] n = 99 1 not counted" in text
    assert "80.0 % [70.0 %, 90.0 %] n = 66" in text
    assert "97 n = 200" in text  # a count has no interval
    assert "good has the highest win rate" in text


def test_the_section_is_there_only_where_something_was_recorded() -> None:
    bare = Page(render(EMPTY))
    assert not bare.of("section", id="recorded")
    assert shown(page().of("a")[0].text) == "Recorded"
    assert "Recorded" not in [shown(e.text) for e in bare.of("a")]


def test_every_plot_has_a_place() -> None:
    found = page()
    drawn = json.loads(found.of("script", type="application/json")[0].text)
    assert set(drawn) == {e.attributes["id"] for e in found.of("div", class_="plot")}
    # 3 + 3 of the outputs, 1 + 1 of the judge, 2 + 1 of the comparisons, 1 of the preferences.
    assert len(drawn) == 12


def test_hostile_text_stays_text() -> None:
    hostile, plain = page(HOSTILE), page()
    assert [e.tag for e in hostile.elements] == [e.tag for e in plain.elements]
    assert HOSTILE.split("\u2028")[0] in hostile.of("section", id="recorded")[0].text
    name = json.loads(hostile.of("script", type="application/json")[0].text)["plot-recorded-0-0-0"]["data"][0]["y"][1]
    assert name.startswith("&lt;/script&gt;")
