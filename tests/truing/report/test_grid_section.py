import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.truing.report.example import EMPTY, HOSTILE
from tests.truing.report.grid_example import example, figure
from tests.truing.report.reading import Page, section, shown
from tests.truing.report.recorded_example import outputs
from truing.evaluation.grid_figures import QUALITY
from truing.report.grid_cards import cards
from truing.report.grid_contents import Grid, GridData
from truing.report.grid_samples import sample_cards, spread
from truing.report.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def page(grid: Grid) -> Page:
    return Page(render(replace(EMPTY, grid=grid)))


@pytest.fixture(scope="module")
def whole() -> Page:
    return page(example())


def test_the_section_says_who_what_and_where_the_rows_are(whole: Page) -> None:
    text = section(whole, "grid")
    assert "4 policies on 3 data sets (tldr: in distribution, 60 prompts; cnn: another domain, 60 prompts;" in text
    assert "up to 4 outputs to a prompt" in text
    assert "evaluation/grid/scores.parquet" in text
    assert "evaluation/grid/figures.csv" in text
    assert "RLOO is clearly better than start on tldr" in text
    assert "7 alarms: this may be reward hacking or collapse." in text
    assert "75.2 % [69.2 %, 81.2 %] n = 60" in text
    assert "start baseline – 0.124 [0.074, 0.174] n = 60" in text  # no win rate of its own
    assert "best of 4 best of 4 of start 96.0 640 24 300 38.0 253 " in text


def test_it_stands_first_and_without_a_grid_it_was_not_run(whole: Page) -> None:
    assert shown(whole.of("a")[0].text) == "Grid"
    assert whole.of("section")[0].attributes["id"] == "grid"
    assert section(Page(render(EMPTY)), "grid") == "Evaluation grid Not run."


def test_what_was_measured_stands_above_what_was_not() -> None:
    both = [Page(render(replace(EMPTY, recorded=(outputs(),), grid=grid))) for grid in (example(), None)]
    assert [[e.attributes["id"] for e in one.of("section")[:2]] for one in both] == [
        ["grid", "recorded"],
        ["recorded", "grid"],
    ]
    assert [[shown(e.text) for e in one.of("a")[:2]] for one in both] == [["Grid", "Recorded"], ["Recorded", "Grid"]]


def test_the_projects_own_shifts_stand_in_words_and_others_as_they_are_named() -> None:
    words = {"id": "in distribution", "ood_domain": "other domain", "ood_style": "other style", "longer": "longer"}
    data = tuple(GridData(shift, shift, 8) for shift in words)
    sample = replace(example().samples[0], reference=None)
    rewards = tuple(
        replace(figure("start", "reward", 0.1, ends=(0.0, 0.2)), data=shift, shift=shift) for shift in words
    )
    samples = tuple(replace(sample, data=shift, shift=shift) for shift in words)
    found = page(replace(example(), data=data, figures=rewards, wordings=(), alarms=(), samples=samples))
    text = section(found, "grid")
    for shift, name in words.items():
        assert f"{shift}: {name}, 8 prompts" in text
        assert f"{shift} ({name})" in text
    assert [shown(e.text).split(" temperature")[0] for e in found.of("article")] == [
        f"{s} {n}" for s, n in words.items()
    ]
    drawn = json.loads(found.of("script", type="application/json")[0].text)
    assert drawn["plot-grid-shifts-0"]["data"][0]["x"] == [f"{shift}<br>{name}" for shift, name in words.items()]


def test_every_plot_has_a_place(whole: Page) -> None:
    drawn = json.loads(whole.of("script", type="application/json")[0].text)
    assert set(drawn) == {e.attributes["id"] for e in whole.of("div", class_="plot")}
    # 4 by shift, 5 of diversity, 3 + 3 of what quality costs, 1 by wording, 10 of each data set by temperature.
    assert len(drawn) == 4 + 5 + 6 + 1 + 30


def test_samples_have_the_filters_by_which_they_differ(whole: Page) -> None:
    assert [e.attributes["data-filter"] for e in whole.of("select") if "data-filter" in e.attributes] == [
        "data",
        "temperature",
    ]
    assert len(whole.of("input", type="search")) == 1
    first = whole.of("article")[0]
    assert first.attributes["data-data"] == "tldr"
    assert first.attributes["data-temperature"] == "temperature 0.3"
    assert first.attributes["data-spread"] == "0.4"  # 0.5 - 0.1
    assert "reference Cat rejects new food." in shown(first.text)
    assert "start reward 0.100 · words 8.00" in shown(first.text)


def test_how_far_policies_are_apart() -> None:
    first = example().samples[0]
    assert spread(first) == 0.4
    assert spread(replace(first, scores={"a": {"win rate": 1.0}, "b": {"win rate": 0.0}})) == 1
    assert spread(replace(first, scores={"a": {"reward": 1.0}})) is None
    worded = replace(example(), samples=(first, replace(first, variant="2")))
    assert [card.tags["wording"] for card in sample_cards(worded)] == ["as the data have it", "wording 2"]


@pytest.mark.parametrize("metric", [m for m in QUALITY if m != "win rate"])
def test_a_grid_of_any_quality_alone_has_its_verdict_cards_and_plots(metric: str) -> None:
    grid = example()
    figures = (
        figure("start", metric, 0.4, ends=(0.3, 0.5), unit="share"),
        figure("RLOO", metric, 0.6, ends=(0.5, 0.7), unit="share"),
        figure("RLOO − start", f"Δ {metric}", 0.2, ends=(0.1, 0.3), unit="share", n=59),
        figure("RLOO", f"gap: {metric}", 0.1, ends=(0.0, 0.2), unit="share", data="cnn"),
    )
    policies = tuple(one for one in grid.policies if one.name in ("start", "RLOO"))
    alone = replace(grid, policies=policies, figures=figures, wordings=(), alarms=(), samples=())
    found = page(alone)
    verdict = (
        f"RLOO is clearly better than start on tldr (in distribution) at temperature 0.7: {metric} 60.0 % [50.0 %, 70.0 %],"
        " n = 60, 20.0 % [10.0 %, 30.0 %], n = 59 more than start."
    )
    assert verdict in section(found, "grid")
    assert f"RLOO: {metric}" in [card.title for card in cards(alone)]
    drawn = json.loads(found.of("script", type="application/json")[0].text)
    assert {"plot-grid-shifts-0", "plot-grid-shifts-1"} <= set(drawn)


def test_hostile_text_stays_text(whole: Page) -> None:
    hostile = page(example(HOSTILE))
    assert [e.tag for e in hostile.elements] == [e.tag for e in whole.elements]
    assert not hostile.of("img")
    assert HOSTILE in hostile.of("article")[0].text
    first = example().samples[0]
    worded = page(replace(example(), samples=(first, replace(first, variant=HOSTILE))))
    assert worded.of("article")[1].attributes["data-wording"] == f"wording {HOSTILE}"
    assert f"wording {HOSTILE}" in [e.attributes["value"] for e in worded.of("option")]
    script = hostile.of("script", type="application/json")[0].text
    assert "<" not in script
    assert "&" not in script


def test_degenerate_grids_are_pages_too() -> None:
    empty = section(page(replace(example(), figures=(), wordings=(), samples=(), alarms=())), "grid")
    assert "so there is no verdict" in empty
    assert "There is none." in empty
    assert "No alarm:" in empty
    grid = example()
    one = replace(
        grid,
        policies=grid.policies[3:],
        baseline="",
        temperatures=(0.7,),
        alarms=(),
        figures=tuple(f for f in grid.figures if f.policy == "RLOO" and f.temperature == 0.7),
    )
    alone = page(one)
    assert "RLOO on tldr (in distribution) at temperature 0.7: win rate 72.0 %" in section(alone, "grid")
    assert "Against temperature" not in section(alone, "grid")
    assert "alarm" not in section(alone, "grid").lower()
    undefined = replace(one, figures=tuple(replace(f, value=None, low=None, high=None, note="x") for f in one.figures))
    assert "so there is no verdict" in section(page(undefined), "grid")


BEFORE = """<head><script>
window.said = [];
addEventListener("error", event => said.push(event.message));
addEventListener("unhandledrejection", event => said.push(String(event.reason)));
addEventListener("securitypolicyviolation", event => said.push(event.violatedDirective));
</script>"""
AFTER = """<script>
(async () => {
  const found = {}, box = document.getElementById("grid-samples"), status = box.querySelector("[role=status]");
  const set = (choice, value) => { const c = box.querySelector(choice); c.value = value; c.dispatchEvent(new Event("input")); };
  found.all = status.textContent;
  set("[data-filter=data]", "cnn"); found.data = status.textContent;
  set("[data-filter=temperature]", "temperature 0.7"); found.both = status.textContent;
  set("[data-filter=data]", ""); set("[data-filter=temperature]", "");
  set("[type=search]", "POST 7"); found.search = status.textContent;
  set("[type=search]", ""); set("[data-order]", "spread");
  found.order = [...box.querySelectorAll("article")].map(a => a.dataset.data);
  const closed = document.querySelector("#grid details:not([open]) .plot");
  found.undrawn = !closed.querySelector("svg");
  closed.closest("details").open = true;
  const saved = new Promise(done => {
    const names = [];
    HTMLAnchorElement.prototype.click = function () {
      if (this.href.startsWith("blob:")) names.push(this.download);
      if (names.length === 3) done(names.sort());
    };
  });
  for (const button of document.querySelectorAll("#plot-grid-shifts-0 + .saves button")) button.click();
  found.saved = await saved;
  found.drawn = !!closed.querySelector("svg");
  found.csv = csv(figures["plot-grid-shifts-0"]).split("\\r\\n")[7];
  found.said = said;
  document.body.innerHTML = `<pre id="found"></pre>`;
  document.getElementById("found").textContent = JSON.stringify(found);
})();
</script></body>"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_in_a_browser_filters_sort_plots_are_saved_and_nothing_is_refused(tmp_path: Path) -> None:
    text = render(replace(EMPTY, grid=example()))
    path = tmp_path / "page.html"
    path.write_text(text.replace("<head>", BEFORE, 1).replace("</body>", AFTER), encoding="utf-8")
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=60000", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    [found] = Page(done.stdout).of("pre", id="found")
    assert json.loads(found.text) == {
        "all": "9 of 9 shown",
        "data": "3 of 9 shown",
        "both": "1 of 9 shown",
        "search": "1 of 9 shown",
        "order": ["essays"] * 3 + ["cnn"] * 3 + ["tldr"] * 3,
        "undrawn": True,
        "drawn": True,
        "saved": ["win-rate.csv", "win-rate.png", "win-rate.svg"],
        # RLOO on tldr: 75.2 % +- 6
        "csv": '"RLOO","tldr, in distribution","","",75.2,69.2,81.2,60,""',
        "said": [],
    }
