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
from truing.report.contents import Estimate, PolicyResult, Table
from truing.report.drawing import PALETTE
from truing.report.page import render, script_safe, write

SECTIONS = ["results", "win", "diversity", "rl", "labeler", "model", "samples", "stages", "time", "config"]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(contents()))


@pytest.fixture(scope="module")
def hostile() -> Page:
    return Page(render(contents(HOSTILE)))


def test_results_show_value_interval_and_n(page: Page) -> None:
    text = section(page, "results")
    assert "68.0 % [58.0 %, 77.0 %] n = 40" in text  # win rate
    assert "0.250 [0.125, 0.375] n = 160" in text  # reward
    assert "9.50 [9.00, 10.50] n = 160" in text  # KL
    assert "52.2 [50.5, 54.0] n = 160" in text  # length: 52.25 rounds to even
    assert "0.450 no interval n = 40" in text  # Sentence-BERT per input
    assert "40 × 4" in text


def test_a_missing_figure_is_an_en_dash_and_never_zero(page: Page) -> None:
    cells = [shown(e.text) for e in page.of("td", class_="num none")]
    # Win rate and KL of start, Sentence-BERT across of all four rows; flips and positions of the judge asked in one
    # order; flips after and changed verdicts before each of three calibrations; alpha of all and of the couple.
    assert cells == ["–"] * (8 + 2 + 3 * 2 + 2)
    assert "nan" not in section(page, "rl").lower()
    steps = [shown(e.text) for e in page.of("td", class_="num")]
    assert "–" in steps  # the part of step 1 and the gradient norm of step 2


def test_nan_is_missing_too() -> None:
    nothing = Estimate(math.nan, math.nan, math.nan, 0)
    results = tuple(replace(r, reward=nothing, kl=nothing, win_rate=r.win_rate and nothing) for r in contents().results)
    text = section(Page(render(replace(contents(), results=results))), "results")
    assert "nan" not in text.lower()
    assert "start baseline 40 × 4 – – –" in text  # win rate, reward, KL


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


def test_samples_stand_side_by_side_with_filters(page: Page) -> None:
    first, second = page.of("article")
    assert shown(first.text) == "plain In distribution plain start reward 0.125 fine plain reward – plain"
    assert shown(second.text) == "question Another domain Why? start reward – empty"
    assert [e.attributes["data-split"] for e in (first, second)] == ["id", "ood_domain"]
    assert [e.attributes["value"] for e in page.of("option")] == [
        *("", "plain", "question"),
        *("", "id", "ood_domain", "ood_style"),
    ]


def test_headline_cards_say_who_wins_where_it_fails_and_what_it_cost(page: Page) -> None:
    cards = [shown(e.text) for e in page.elements if (e.attributes.get("class") or "").split(" ")[0] == "card"]
    assert cards[0].startswith("plain wins against start 68.0 % better In distribution 68.0 % [58.0 %, 77.0 %], n = 40")
    assert "Another domain 35.0 %, worse" in cards[0]
    assert cards[1].startswith("Where it fails 1 of 2 clearly worse than start plain, another domain 35.0 %")
    assert cards[2].startswith("Cost in diversity: EAD across inputs, in distribution −20.0 %")  # 0.4 / 0.5 - 1
    assert cards[3].startswith("Labeler agrees with humans 62.5 % gate: would stop")
    assert cards[4].startswith("Agreement with people: plain 70.0 % plain 70.0 % [55.0 %, 82.5 %], n = 40")
    assert cards[5].startswith("Reward model, held-out accuracy 71.2 %")
    assert cards[6].startswith("Time, all stages 7 min 57 s")  # 74.2 + 402.7 = 476.9 s


def test_hostile_text_stays_text(hostile: Page, page: Page) -> None:
    assert [e.tag for e in hostile.elements] == [e.tag for e in page.elements]
    assert not hostile.of("img")
    assert HOSTILE in hostile.of("article")[0].text
    assert hostile.of("article")[0].attributes["data-domain"] == HOSTILE
    assert HOSTILE in hostile.of("h1")[0].text
    assert "{{ 7 * 7 }}" in hostile.of("h1")[0].text  # no template inside a text is run


def test_figures_json_cannot_leave_its_script_element(hostile: Page) -> None:
    [script] = hostile.of("script", type="application/json")
    assert not re.search(r"[<>&\u2028\u2029]", script.text)
    drawn = json.loads(script.text)
    assert len(drawn) == 19
    # plotly.js reads pseudo-HTML in names, so markup reaches it as entities.
    name = drawn["plot-win"]["data"][0]["name"]
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
    for name in ("trust", "gate", "measured", "steps", "results", "samples", "stages", "costs", "reward_model"):
        alone = Page(render(replace(EMPTY, **{name: vars(full)[name]})))
        assert sum("Not run." in section(alone, s) for s in SECTIONS) in {7, 9}, name  # results fill three sections


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


def test_contents_refuse_what_cannot_be_shown() -> None:
    with pytest.raises(ValueError, match="2 columns, but row 1 has 1 cells"):
        Table("label", ("a", "b"), (("x", 1), ("y",)))
    first = contents().results[2]
    with pytest.raises(ValueError, match=r"68\.0, not a share in \[0, 1\]: divide percents by 100"):
        replace(first, win_rate=Estimate(68.0, 58.0, 77.0, 40))
    with pytest.raises(ValueError, match="unknown split 'test': it is one of id, ood_domain, ood_style"):
        PolicyResult(**{**vars(first), "split": "test"})


def test_importing_the_page_imports_no_heavy_library() -> None:
    code = (
        "import sys, truing.report.page; print([m for m in ('plotly', 'jinja2', 'torch', 'ray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
