"""`truing report` of a run's folder, and of two runs: over run folders that `truing evaluate` made of recorded files."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.compare_runs import configuration, named
from jobs.grid.sheet import Sheet
from jobs.grid.store import write_grid
from jobs.store import RunFolder
from tests.jobs.conftest import Call
from tests.jobs.drive import write_lines
from tests.truing.report.reading import Page, section, shown
from truing.algorithms.statistics import Interval
from truing.errors import ConfigError
from truing.evaluation.figure import Place
from truing.report.grid_contents import Grid

PROMPTS = range(20)


def study(folder: Path, name: str, words: int) -> Path:
    """The configuration of a run whose policy `sft` writes `words` words, and `ppo` the number of its prompt."""
    rows: list[dict[str, Any]] = [
        {"model": model, "prompt": f"p{i}", "output": "word " * (words if model == "sft" else i + 1)}
        for model in ("sft", "ppo")
        for i in PROMPTS
    ]
    file = write_lines(folder / f"{name}.jsonl", rows)
    config = folder / f"{name}.yaml"
    recorded = f"{{kind: outputs, name: o, path: {file}}}"
    config.write_text(
        f"name: {name}\nstorage: {folder}\nsample: null\nevaluate:\n  grid: null\n  recorded:\n    - {recorded}\n"
    )
    return config


@pytest.fixture
def runs(cli: Call, tmp_path: Path) -> Path:
    """The folder of two evaluated runs, `short` and `long`."""
    for name, words in (("short", 3), ("long", 9)):
        cli("evaluate", str(study(tmp_path, name, words))).expect(0)
    return tmp_path


def test_a_run_s_folder_is_reported_like_its_configuration(cli: Call, runs: Path) -> None:
    page = runs / "short" / "report.html"
    page.unlink()
    assert cli("report", str(runs / "short")).expect(0).last_line == str(page)
    assert 'id="recorded"' in page.read_text(encoding="utf-8")


def test_a_run_that_was_moved_is_where_its_folder_is(cli: Call, runs: Path) -> None:
    moved = runs / "elsewhere" / "2024"  # as YAML, a number
    shutil.copytree(runs / "short", moved)
    (moved / "report.html").unlink()
    (runs / "short" / "report.html").unlink()
    assert cli("report", str(moved)).expect(0).last_line == str(moved / "report.html")
    assert not (runs / "short" / "report.html").exists()
    kept = yaml.safe_load((moved / "study.yaml").read_text(encoding="utf-8"))
    assert (kept["name"], kept["storage"]) == ("2024", str(moved.parent))


def test_two_runs_give_one_page(cli: Call, runs: Path) -> None:
    done = cli("report", str(runs / "short"), str(runs / "long")).expect(0)
    path = runs / "short" / "comparison.html"
    assert done.last_line == str(path)
    page = Page(path.read_text(encoding="utf-8"))
    rows = [shown(row.text) for row in page.of("tr")]
    # Three words each time, then nine: no spread in either, so no interval parts them.
    assert any(row.startswith("sft o, in distribution 3.0") and "+6.0 no interval" in row for row in rows), rows
    # ppo writes 1 to 20 words in both: 10.5.
    assert any(row.startswith("ppo o, in distribution 10.5") and "0.0 equal" in row for row in rows), rows
    assert shown(page.of("h1")[0].text) in done.out
    assert any(
        row.startswith("evaluate.recorded.0.path") and "short.jsonl" in row and "long.jsonl" in row for row in rows
    )
    assert not any(row.startswith(("name ", "storage ")) for row in rows)


def test_a_run_may_be_named_by_its_configuration_with_the_overrides_that_it_ran_with(cli: Call, runs: Path) -> None:
    (runs / "short.yaml").write_text((runs / "short.yaml").read_text().replace(f"storage: {runs}", "storage: /nowhere"))
    done = cli("report", str(runs / "short.yaml"), str(runs / "long"), f"storage={runs}").expect(0)
    assert done.last_line == str(runs / "short" / "comparison.html")


def test_grids_are_compared_too(cli: Call, runs: Path) -> None:
    for name, rate in (("short", 0.55), ("long", 0.75)):
        won = Place("trained", "id", "id", "", 1.0).figure(
            "win rate", "share", Interval(rate, rate - 0.05, rate + 0.05, 40)
        )
        write_grid(RunFolder(runs / name), {}, Sheet({}, {}), [], Grid((), (), (1.0,), 1, "start", (won,)))
    cli("report", str(runs / "short"), str(runs / "long")).expect(0)
    page = Page((runs / "short" / "comparison.html").read_text(encoding="utf-8"))
    rows = [shown(row.text) for row in page.of("tr")]
    # 50 to 60 % and 70 to 80 %.
    assert any("55.0 %" in row and "+20.0 points apart" in row for row in rows), rows


def test_a_dry_run_writes_nothing(cli: Call, runs: Path) -> None:
    done = cli("report", str(runs / "short"), str(runs / "long"), "--dry-run").expect(0)
    assert done.last_line.endswith(f"would be compared in {runs / 'short' / 'comparison.html'}")
    assert not (runs / "short" / "comparison.html").exists()


def test_the_page_of_a_run_does_not_take_a_comparison_for_the_work_of_a_model(cli: Call, runs: Path) -> None:
    cli("report", str(runs / "short"), str(runs / "long")).expect(0)
    cli("report", str(runs / "short")).expect(0)
    page = Page((runs / "short" / "report.html").read_text(encoding="utf-8"))
    assert "command truing evaluate" in section(page, "config")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("RUNS/nowhere",), "RUNS/nowhere: there is no such run or configuration; name a run's folder"),
        (("steps",), "steps: there is no such run or configuration"),
        (("RUNS",), "RUNS: has no study.yaml, so it is no run"),
        (("RUNS/short", "RUNS/nowhere"), "RUNS/nowhere: there is no such run"),
        (("RUNS/short", "RUNS/short/"), "RUNS/short: is named twice; name two different runs"),
        (("RUNS/short", "RUNS/short.yaml"), "RUNS/short: is named twice"),
        (
            ("RUNS/short", "RUNS/begun"),
            "RUNS/begun: holds no figures yet; run `truing evaluate RUNS/begun/study.yaml` first",
        ),
        (("RUNS/short", "RUNS/new.yaml"), "RUNS/new: there is no such run; run `truing evaluate RUNS/new.yaml` first"),
        (("RUNS/short", "RUNS/broken"), "RUNS/broken/study.yaml: is not YAML"),
        (("RUNS/short", "RUNS/empty"), "RUNS/empty/study.yaml: holds no keys"),
        (("seed=1",), "report: no run is named; name one to write its page, or two to compare them"),
        (("RUNS/short", "RUNS/long", "RUNS/begun"), "report: 3 runs are named"),
        (("RUNS/short", "RUNS/long", "--images", "svg"), "--images: draws the plots of one run; name one"),
    ],
)
def test_what_cannot_be_reported_gets_one_line(
    cli: Call, runs: Path, arguments: tuple[str, ...], expected: str
) -> None:
    for name, text in (("begun", (runs / "short" / "study.yaml").read_text()), ("broken", "a: ["), ("empty", "")):
        (runs / name).mkdir()
        (runs / name / "study.yaml").write_text(text)
    study(runs, "new", 1)
    done = cli("report", *(one.replace("RUNS", str(runs)) for one in arguments))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"truing: {expected.replace('RUNS', str(runs))}")
    assert done.err.count("\n") == 1


def test_a_file_whose_name_looks_like_an_override_is_a_run(tmp_path: Path) -> None:
    run = tmp_path / "lr=0.1"
    run.mkdir()
    assert named([str(run), "seed=1"]).runs == (str(run),)
    assert named([str(run), "seed=1"]).overrides == ("seed=1",)
    with pytest.raises(ConfigError, match=r"no study\.yaml"):
        configuration(str(run), ())
