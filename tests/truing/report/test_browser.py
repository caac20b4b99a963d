"""The pages in a real browser: they draw, filter and change with the theme, fit a telephone, load nothing, and say no error."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.truing.report import recorded_example as recorded
from tests.truing.report.browsing import chromium, opened
from tests.truing.report.example import EMPTY, HOSTILE, contents
from truing.report.comparison_page import ComparedRun
from truing.report.comparison_page import write as write_comparison
from truing.report.contents import Contents
from truing.report.page import write

WIDTHS = (1280, 390)
DARK, LIGHT = "rgb(232, 236, 241)", "rgb(22, 27, 34)"
"""--ink of each theme."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def of_records(name: str = "TL;DR") -> Contents:
    kinds = (recorded.outputs(name), recorded.judges(), recorded.comparisons(), recorded.preferences())
    return replace(EMPTY, name=name, recorded=kinds)


PAGES = {"run": contents(), "hostile run": contents(HOSTILE), "records": of_records(), "hostile": of_records(HOSTILE)}


BAD = """<!doctype html><body><div style="width: 3000px">wide</div><img src="http://localhost:1/x.png">
<script>console.error("said"); alert("asked"); setTimeout(() => { throw new Error("thrown") });</script>"""


def test_a_bad_page_is_seen_to_be_bad(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(BAD)
    with opened(browser, tmp_path / "bad.html", 1280) as found:
        found.page.wait_for_function("() => document.images[0].complete")
        for complaint in ("said", "asked", "thrown", "http://localhost:1/x.png"):
            assert complaint in found.complaints
        assert found.too_wide() == ["DIV  3008"]  # a body has a margin of 8 pixels


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_draws_all_its_plots_fits_its_window_and_loads_nothing(
    browser: Browser, tmp_path: Path, name: str, width: int
) -> None:
    write(PAGES[name], tmp_path / "report.html")
    with opened(browser, tmp_path / "report.html", width) as found:
        assert found.page.locator(".plot .main-svg").count() > 0
        assert found.too_wide() == []
        found.unfold()
        # A plot with axes and nothing between them is a plot of nothing.
        empty = "plots => plots.filter(one => !one.querySelector('.trace, .point, .points path')).map(one => one.id)"
        assert found.page.locator(".plot").evaluate_all(empty) == []
        assert found.too_wide() == []
        assert found.complaints == []


def test_filters_show_the_samples_that_they_name(browser: Browser, tmp_path: Path) -> None:
    write(contents(), tmp_path / "report.html")
    with opened(browser, tmp_path / "report.html", 1280) as found:
        data, temperature = (found.page.locator("#samples select[data-filter]").nth(i) for i in range(2))
        samples, count = "#samples article", "#samples [role=status]"
        assert (len(found.shown(samples)), found.shown(count)) == (9, ["9 of 9 shown"])
        data.select_option("cnn")
        assert all("another domain" in one for one in found.shown(samples))
        assert found.shown(count) == ["3 of 9 shown"]
        temperature.select_option("temperature 0.7")
        [one] = found.shown(samples)
        assert "Summarise post 4" in one
        found.page.locator("#samples [type=search]").fill("post 7")  # of another data set: nothing is left
        assert (found.shown(samples), found.shown(count)) == ([], ["0 of 9 shown"])
        data.select_option("")
        assert "Summarise post 7" in "".join(found.shown(samples))
        assert found.shown(count) == ["1 of 9 shown"]
        assert found.complaints == []


@pytest.mark.parametrize("dark", [False, True])
def test_page_and_plots_take_the_theme_and_change_with_it(browser: Browser, tmp_path: Path, dark: bool) -> None:
    write(contents(), tmp_path / "report.html")
    with opened(browser, tmp_path / "report.html", 1280, dark=dark) as found:
        for theme in (dark, not dark):
            found.page.emulate_media(color_scheme="dark" if theme else "light")
            ink = DARK if theme else LIGHT
            assert found.colour("body", "color") == ink
            found.page.wait_for_function(
                "ink => getComputedStyle(document.querySelector('#plot-grid-shifts-0 .xtick text')).fill === ink",
                arg=ink,
            )
        assert found.complaints == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_comparison_fits_its_window_and_shows_alone_what_lies_apart(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    one = recorded.figure("sft", "words", 20.0, ends=(18.0, 22.0), unit="words")
    same = recorded.figure("sft", "EAD across inputs", 0.8, ends=(0.7, 0.9))
    left = ComparedRun(f"a {HOSTILE}", "runs/a", {"seed": 0}, {"Recorded files": [one, same]})
    right = ComparedRun(
        "b", "runs/b", {"seed": HOSTILE}, {"Recorded files": [replace(one, value=26.0, low=23.0, high=29.0), same]}
    )
    write_comparison(left, right, tmp_path / "comparison.html")
    with opened(browser, tmp_path / "comparison.html", width, dark=True) as found:
        assert found.colour("body", "color") == DARK
        assert len(found.shown(".badge")) == 2
        found.page.locator("#apart").check()
        assert found.shown(".badge") == ["apart"]
        assert found.too_wide() == []
        assert found.complaints == []
