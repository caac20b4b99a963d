"""`truing report --images`: the plots of a run as files, drawn by a real browser, and their data as CSV."""

import csv
import json
import os
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest
from plotly.graph_objects import Figure

from jobs import images
from jobs.images import COLUMNS, points, standalone
from tests.jobs.conftest import Call
from tests.jobs.drive import write_lines
from tests.truing.report.example import HOSTILE, contents
from truing.report.panels import Panel, panels

STUDY = """\
name: small
storage: {folder}
sample: null
evaluate:
  grid: null
  recorded:
    - {{kind: outputs, name: o, path: {folder}/rows.jsonl}}
"""


def panel(name: str) -> Panel:
    return next(one for section in panels(contents(HOSTILE)).values() for one in section if one.id == name)


def data(name: str) -> list[list[str]]:
    return points(json.loads(panel(name).figure.to_json()))


def test_the_data_of_a_plot_are_its_points_with_interval_and_n() -> None:
    # series, x, its ends, y, its ends, n, detail: win rates in percent, 63.2 [57.2, 69.2] of 60 prompts; then reward over KL.
    assert data("plot-grid-shifts-0")[0] == ["SFT", "tldr in distribution", "", "", "63.2", "57.2", "69.2", "60", ""]
    priced = next(row for row in data("plot-grid-price-0") if row[0] == "SFT")
    assert priced == ["SFT", "5.04", "4.24", "5.84", "0.144", "0.094", "0.194", "", "0.3"]


def test_what_has_no_interval_is_empty_and_a_line_break_a_space() -> None:
    assert data("plot-grid-diversity-2")[0] == ["start", "tldr in distribution", "", "", "26.04", "", "", "60", ""]


def test_n_is_where_a_plot_says_that_it_is() -> None:
    # Bins from 50 and 60 %: 16 pairs of which 8 are right, 4 of which 3 are.
    assert data("plot-calibration")[2:] == [
        ["reward model", "55", "", "", "50", "", "", "16", ""],
        ["reward model", "65", "", "", "75", "", "", "4", ""],
    ]
    assert data("plot-time")[1] == ["time", "402.7", "", "", "policy", "", "", "", "6\u202fmin 43\u202fs"]


def test_a_plot_of_distributions_has_a_row_a_value() -> None:
    plain = {"data": [{"type": "box", "name": "a &amp; b", "y": [1.0, 2.5], "text": ["one", "two"]}], "layout": {}}
    assert points(plain) == [
        ["a & b", "", "", "", "1", "", "", "", "one"],
        ["a & b", "", "", "", "2.5", "", "", "", "two"],
    ]


def test_an_unknown_whisker_is_no_whisker_of_length_0() -> None:
    bars = {"array": [1.0, None], "arrayminus": [2.0, None]}
    figure = Figure({"data": [{"type": "scatter", "x": [1, 2], "y": [3, 4], "error_y": bars}], "layout": {}})
    found = standalone(Panel("p", "a < b", "", figure))
    assert found["data"][0]["error_y"]["array"] == [1.0, "unknown"]
    assert found["data"][0]["error_y"]["arrayminus"] == [2.0, "unknown"]
    assert found["layout"]["title"]["text"] == "a &lt; b"


@pytest.fixture
def config(cli: Call, tmp_path: Path) -> Path:
    """A study that has been evaluated: three plots, of words, characters and EAD across inputs have no interval."""
    rows = [{"model": m, "prompt": f"p{i}", "output": "word " * (i + 1)} for m in ("sft", "ppo & co") for i in range(9)]
    write_lines(tmp_path / "rows.jsonl", rows)
    path = tmp_path / "small.yaml"
    path.write_text(STUDY.format(folder=tmp_path))
    cli("evaluate", str(path)).expect(0)
    return path


def need_browser() -> None:
    if images.browser() is None:
        message = "no Chromium on PATH, and none in TRUING_CHROMIUM: `make browser` installs one where it may"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_each_plot_of_the_page_becomes_a_file_with_its_data(cli: Call, config: Path, kind: str) -> None:
    need_browser()
    done = cli("report", str(config), "--images", kind).expect(0)
    run = config.parent / "small"
    assert done.last_line == str(run / "report.html")
    with (run / "figures" / "index.csv").open(encoding="utf-8", newline="") as file:
        index = list(csv.DictReader(file))
    page = (run / "report.html").read_text(encoding="utf-8")
    assert index
    assert f"{len(index)} plots as {kind}" in done.out
    for row in index:
        assert f'id="{row["plot"]}"' in page
        with (run / "figures" / f"{row['plot']}.csv").open(encoding="utf-8", newline="") as file:
            columns, *rows = list(csv.reader(file))
        assert tuple(columns) == COLUMNS
        who = {"evaluate"} if row["plot"] == "plot-time" else {"sft", "ppo & co"}
        assert {one[4] for one in rows} == who
        image = (run / "figures" / f"{row['plot']}.{kind}").read_bytes()
        if kind == "svg":
            drawing = ElementTree.fromstring(image.decode())  # noqa: S314 - our own
            assert who <= set(drawing.itertext())
            assert row["title"] in "".join(drawing.itertext())
        else:
            assert image[:8] == b"\x89PNG\r\n\x1a\n"
            assert struct.unpack(">I", image[16:20]) == (2 * images.WIDTH,)
    words = next(row for row in index if row["title"] == "words")
    with (run / "figures" / f"{words['plot']}.csv").open(encoding="utf-8", newline="") as file:
        [first, _] = list(csv.DictReader(file))
    # 1 to 9 words: their mean is 5.
    assert (float(first["x"]), first["n"]) == (5, "9")
    assert float(first["x_low"]) < 5 < float(first["x_high"])
    assert not list((run / "figures").glob(".*"))


def test_without_a_browser_nothing_is_written(cli: Call, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUING_CHROMIUM", "/nowhere/chromium")
    (config.parent / "small" / "report.html").unlink()
    done = cli("report", str(config), "--images", "svg")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "truing: --images: TRUING_CHROMIUM=/nowhere/chromium is no program; install Chromium (Debian: apt-get install chromium)"
        " or set TRUING_CHROMIUM\n"
    )
    monkeypatch.delenv("TRUING_CHROMIUM")
    monkeypatch.setenv("PATH", "/nowhere")
    done = cli("report", str(config), "--images", "svg")
    assert "no chromium, chromium-browser, google-chrome on PATH" in done.err
    assert not (config.parent / "small" / "figures").exists()
    assert not (config.parent / "small" / "report.html").exists()


def test_a_program_that_is_no_browser_gets_one_line(cli: Call, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUING_CHROMIUM", "true")
    done = cli("report", str(config), "--images", "svg")
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert last.startswith("truing: --images: ")
    assert last.endswith("name another browser in TRUING_CHROMIUM")


def test_images_need_a_run_and_plots(cli: Call, config: Path) -> None:
    done = cli("report", str(config), "name=other", "--images", "svg")
    assert done.err == f"truing: {config.parent}/other: there is no such run, so it has no plots to draw\n"
    need_browser()
    (config.parent / "other").mkdir()
    done = cli("report", str(config), "name=other", "--images", "svg")
    assert done.err.startswith(f"truing: {config.parent}/other: has no plots yet; run `truing evaluate`")
    assert done.code == 2
