import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from tests.truing.report.example import EMPTY, HOSTILE, contents
from tests.truing.report.reading import Page, section, shown
from truing.report.contents import Estimate, Table
from truing.report.drawing import PALETTE
from truing.report.page import render, script_safe, write

SECTIONS = ["grid", "rl", "labeler", "model", "samples", "stages", "time", "config"]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(contents()))


@pytest.fixture(scope="module")
def hostile() -> Page:
    return Page(render(contents(HOSTILE)))


def test_a_missing_figure_is_an_en_dash_and_never_zero(page: Page) -> None:
    without = Page(render(replace(contents(), grid=None)))
    cells = [shown(e.text) for e in without.of("td", class_="num none")]
    # Flips and positions of the judge asked in one order; flips after and changed verdicts before each of three
    # calibrations; alpha of all and of the couple.
    assert cells == ["–"] * (2 + 3 * 2 + 2)
    assert "nan" not in section(page, "rl").lower()
    steps = [shown(e.text) for e in page.of("td", class_="num")]
    assert "–" in steps  # the part of step 1 and the gradient norm of step 2


def test_nan_is_missing_too() -> None:
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    model = replace(contents().reward_model, accuracy=(("hh", nothing), ("tldr", Estimate(0.75, None, None, 8))))
    page = Page(render(replace(contents(), reward_model=model)))
    text = section(page, "model")
    assert "nan" not in text.lower()
    assert "hh – tldr 75.0 % no interval n = 8" in text
    [card] = [shown(e.text) for e in page.of("div", class_="card") if shown(e.text).startswith("Reward model")]
    assert card == "Reward model, held-out accuracy – hh –"


def test_labeler_section_states_gate_and_trust(page: Page) -> None:
    text = section(page, "labeler")
    assert "The gate would stop a real run. Alignment is too low" in text
    assert "62.5 % [50.0 %, 75.0 %] n = 72" in text
    assert "0.25 [0.00, 0.50] n = 72" in text  # kappa
    assert "first p < 0.001 93.4 % [90.0 %, 96.0 %] n = 72 0.610 [0.580, 0.640] n = 72 8.3 % [5.0 %, 15.0 %]" in text
    passed = section(Page(render(replace(contents(), gate=()))), "labeler")
    assert passed.startswith("Can the labeler be trusted? The gate is passed.")


def test_stage_tables_align_numbers_and_keep_text(page: Page) -> None:
    text = section(page, "stages")
    assert "1 200 0.612" in text  # thousands apart, three significant digits
    assert "b – –" in text


def test_nodes_stand_with_the_times(page: Page) -> None:
    nodes = Table("Nodes", ("kind", "most at once", "node-hours", "cost"), (("<b>", 3, 1.5, None),), "whole nodes")
    text = section(Page(render(replace(contents(), nodes=nodes))), "time")
    assert "Nodes kind most at once node-hours cost <b> 3 1.50 – whole nodes" in text
    assert "Nodes" not in section(page, "time")


def test_samples_stand_side_by_side(page: Page) -> None:
    first = shown(page.of("article")[0].text)
    assert first.startswith("tldr in distribution temperature 0.3 Summarise post 0: my cat stopped eating")
    assert "start reward 0.100 · words 8.00 My cat will not eat the new food. SFT reward 0.200" in first
    assert "best of 4 reward 0.400 · words 0 empty plain reward" in shown(page.of("article")[3].text)


def test_headline_cards_say_who_wins_where_it_fails_and_what_it_cost(page: Page) -> None:
    cards = [shown(e.text) for e in page.of("div", class_="card")]
    assert cards[2].startswith(
        "plain: win rate against start 75.2 % better tldr, in distribution 75.2 % [69.2 %, 81.2 %]"
    )
    assert "cnn, another domain 45.2 %, no clear difference" in cards[2]
    assert cards[3].startswith("Where it fails: win rate 2 of 27 clearly worse than start plain, cnn")
    assert cards[4].startswith("Alarms: length, gamed reward, collapse 7 look below")
    assert cards[5].startswith("Time to write the outputs 2 min 56 s")  # 24 + 24 + 96 + 31.5 = 175.5 s
    assert cards[6].startswith("Labeler agrees with humans 62.5 % gate: would stop")
    assert cards[7].startswith("Agreement with people: plain 70.0 % plain 70.0 % [55.0 %, 82.5 %], n = 40")
    assert cards[8].startswith("Reward model, held-out accuracy 71.2 %")
    assert cards[9].startswith("Time, all stages 7 min 57 s")  # 74.2 + 402.7 = 476.9 s
    assert len(cards) == 10


def test_hostile_text_stays_text(hostile: Page, page: Page) -> None:
    assert [e.tag for e in hostile.elements] == [e.tag for e in page.elements]
    assert not hostile.of("img")
    assert HOSTILE in hostile.of("article")[0].text
    assert HOSTILE in hostile.of("h1")[0].text
    assert "{{ 7 * 7 }}" in hostile.of("h1")[0].text  # no template inside a text is run


def test_figures_json_cannot_leave_its_script_element(hostile: Page) -> None:
    [script] = hostile.of("script", type="application/json")
    assert not re.search(r"[<>&\u2028\u2029]", script.text)
    drawn = json.loads(script.text)
    assert len(drawn) == 46 + 6 + 2 + 1 + 3 + 3  # grid, RL, reward model, time, labeler, agreement
    # plotly.js reads pseudo-HTML in names, so markup reaches it as entities.
    name = drawn["plot-grid-shifts-0"]["data"][-1]["name"]
    assert "<" not in name
    assert name.startswith("&lt;/script&gt;")
    assert drawn["plot-time"]["data"][0]["x"] == [74.2, 402.7]


def test_script_safe_changes_spelling_not_value() -> None:
    value = {"a": "</script><!-- & \u2028\u2029", "b": [1.5, None]}
    safe = script_safe(json.dumps(value, ensure_ascii=False))
    assert json.loads(safe) == value
    assert not set(safe) & set("<>&\u2028\u2029")


def test_page_loads_nothing(hostile: Page) -> None:
    for element in hostile.elements:
        assert "src" not in element.attributes
        assert (element.attributes.get("href") or "#").startswith("#")
        assert "url(" not in (element.attributes.get("style") or "")
    assert not hostile.of("link")
    assert "url(" not in hostile.of("style")[0].text
    assert "@import" not in hostile.of("style")[0].text
    [policy] = hostile.of("meta", **{"http-equiv": "Content-Security-Policy"})
    assert (policy.attributes["content"] or "").startswith("default-src 'none'; ")
    assert "http" not in (policy.attributes["content"] or "")


def test_plotly_is_inlined_once(page: Page) -> None:
    assert page.html.count(get_plotlyjs()) == 1
    assert [bool(e.attributes) for e in page.of("script")] == [False, True, False, False]


def test_every_plot_has_a_place_and_every_palette_colour_both_themes(page: Page) -> None:
    drawn = json.loads(page.of("script", type="application/json")[0].text)
    assert set(drawn) == {e.attributes["id"] for e in page.of("div", class_="plot")}
    for i, colour in enumerate(PALETTE):
        assert page.of("style")[0].text.count(f"--series-{i}:") == 2
        assert f"--series-{i}: {colour}" in page.of("style")[0].text
    for role in ("ink", "neutral", "grid"):
        assert page.of("style")[0].text.count(f"--{role}:") == 2


def test_empty_contents_say_not_run() -> None:
    page = Page(render(EMPTY))
    for name in SECTIONS:
        assert section(page, name).endswith("Not run."), name
    assert not page.of("script")
    assert shown(page.of("h1")[0].text) == "No verdict: nothing was evaluated."


def test_parts_alone_render() -> None:
    full = contents()
    for name in ("trust", "gate", "measured", "steps", "grid", "stages", "costs", "reward_model"):
        alone = Page(render(replace(EMPTY, **{name: vars(full)[name]})))
        filled = 2 if name == "grid" else 1  # its samples stand in a section of their own
        assert sum("Not run." not in section(alone, s) for s in SECTIONS) == filled, name


def test_write_replaces_whole_pages_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "report.html"
    write(replace(EMPTY, name="lone \ud800 surrogate"), path)
    assert "lone ? surrogate" in path.read_text(encoding="utf-8")
    before = path.read_bytes()

    def full_disk(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left"):
        write(EMPTY, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_table_refuses_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match="2 columns, but row 1 has 1 cells"):
        Table("label", ("a", "b"), (("x", 1), ("y",)))


def test_importing_the_page_imports_no_heavy_library() -> None:
    code = (
        "import sys, truing.report.page; print([m for m in ('plotly', 'jinja2', 'torch', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
