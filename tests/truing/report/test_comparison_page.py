"""The page of two runs, as text: what it says, how figures are written, and that nothing in it can run or load."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.truing.report.example import HOSTILE
from tests.truing.report.reading import Page, shown
from tests.truing.report.recorded_example import figure
from truing.report.comparison import Change, Pair, compare
from truing.report.comparison_page import ComparedRun, by_metric, difference, headline, place, render, write

WORDS = figure("sft", "words", 20.0, ends=(18.0, 22.0), unit="words")
RATE = figure("sft", "win rate", 0.5, ends=(0.4, 0.6), unit="share", n=40)
LEFT = [WORDS, RATE, figure("sft", "gone", 1.0)]
# 31 - 20 = 11 words more, [29, 33] above [18, 22]; 0.55 - 0.5 = 5 points, [0.45, 0.65] across [0.4, 0.6].
RIGHT = [replace(WORDS, value=31.0, low=29.0, high=33.0), replace(RATE, value=0.55, low=0.45, high=0.65)]


def run(name: str, figures: list, path: str = "runs/x", **study: object) -> ComparedRun:
    return ComparedRun(name, path, study, {"Recorded files": figures})


def page(name: str = "a", other: str = "b") -> Page:
    parts = {"Recorded files": compare(LEFT, RIGHT)}
    return Page(render(run(name, LEFT, "runs/a"), run(other, RIGHT, "runs/b"), parts, [Change("seed", 0, name)]))


def test_rows_have_both_values_their_difference_and_what_the_intervals_say() -> None:
    rows = [shown(row.text) for row in page().of("tr")]
    assert "sft TL;DR, in distribution 20.0 [18.0, 22.0] n = 100 31.0 [29.0, 33.0] n = 100 +11.0 apart" in rows
    assert (
        "sft TL;DR, in distribution 50.0 % [40.0 %, 60.0 %] n = 40 55.0 % [45.0 %, 65.0 %] n = 40 +5.0 points overlap"
    ) in rows
    assert "gone sft TL;DR, in distribution 1.00 n = 100" in rows
    assert "seed 0 a" in rows


def test_the_headline_counts() -> None:
    assert shown(page().of("h1")[0].text) == "Figures that lie apart with their whole 95 % intervals: 1 of 2."
    pairs = compare(LEFT, RIGHT)
    assert headline([pairs, compare([WORDS], [WORDS])]).endswith(": 1 of 3; 1 of them equal.")
    assert headline([compare(LEFT, [])]) == "The two runs have no figure in common."
    without = replace(WORDS, low=None, high=None)
    assert headline([compare([without], [replace(without, value=3.0)])]).startswith("Figures in common: 1, none with")


def test_intervals_share_the_scale_of_their_metric() -> None:
    [words, rate] = by_metric(compare(LEFT, RIGHT).pairs)
    assert words.scale is not None
    # From 18 to 33, and 4 % of those 15 at both ends: 17.4 to 33.6.
    assert (words.scale.low, words.scale.high) == pytest.approx((17.4, 33.6))
    assert words.scale.at(25.5) == pytest.approx(50)
    assert rate.column.number(0.5) == "50.0\u202f%"
    [row] = [e for e in page().of("rect", class_="range s1") if float(e.attributes["width"] or 0) < 30]
    assert float(row.attributes["x"] or 0) == pytest.approx(100 * (29 - 17.4) / 16.2)
    assert float(row.attributes["width"] or 0) == pytest.approx(100 * 4 / 16.2)


def test_differences_keep_their_sign_and_a_zero_has_none() -> None:
    [words, rate] = by_metric(compare(LEFT, RIGHT).pairs)
    assert difference(Pair(RIGHT[0], WORDS), words.column) == "−11.0"
    assert difference(Pair(WORDS, WORDS), words.column) == "0.0"
    assert difference(Pair(RATE, replace(RATE, value=0.5001)), rate.column) == "0.0\u202fpoints"
    assert difference(Pair(WORDS, replace(WORDS, value=None, note="none")), words.column) == "–"


def test_an_undefined_metric_has_no_scale() -> None:
    nothing = figure("sft", "ROUGE-1 F1", None, note="no reference")
    [one] = by_metric(compare([nothing], [nothing]).pairs)
    assert one.scale is None
    parts = {"Recorded files": compare([nothing], [nothing])}
    text = render(run("a", []), run("b", []), parts, [])
    assert "undefined" in text
    assert "the two studies have the same settings" in text


def test_a_place_says_what_is_known() -> None:
    assert place(replace(WORDS, shift="", data="")) == ""
    assert place(replace(WORDS, shift="ood_style", temperature=0.7, variant="b")) == (
        "TL;DR, other style, temperature 0.7, b"
    )
    assert place(replace(WORDS, shift="longer prompts")) == "TL;DR, longer prompts"


def test_runs_of_one_name_go_by_their_folders() -> None:
    text = shown(page("same", "same").of("title")[0].text)
    assert text == "runs/a and runs/b · Truing comparison"


def test_hostile_text_stays_text_and_nothing_runs_or_loads() -> None:
    found, plain = page(HOSTILE), page()
    assert [e.tag for e in found.elements] == [e.tag for e in plain.elements]
    assert not found.of("script")
    assert not found.of("img")
    [policy] = found.of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert (policy.attributes["content"] or "").startswith("default-src 'none'; style-src")
    assert "<script>alert(1)</script>" in found.of("td")[-1].text


def test_a_page_is_written_whole_and_says_its_headline(tmp_path: Path) -> None:
    path = tmp_path / "comparison.html"
    said = write(run("a", LEFT, seed=0), run("b", RIGHT, seed=1), path)
    assert said.endswith("1 of 2.")
    assert said in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="No such file"):
        write(run("a", LEFT), run("b", RIGHT), tmp_path / "nowhere" / "comparison.html")
