"""How far a run is, from its folder alone; one pass is a real one, on a real Ray, and its figures reach Prometheus."""

import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from rich.console import Console

from actors.exporting import own_place
from actors.group import Needs
from jobs import status as page
from jobs.requests import KEY, write_requests
from jobs.status import drawn, rate, runs_in, show_status, span, status
from jobs.store import RunFolder, Table
from jobs.sweep import Answer, Pool, sweep
from jobs.training import training_run
from tests.jobs.drive import ROOT, write_lines
from tests.local_ray import local_ray
from truing.config.training import RewardModel
from truing.errors import ConfigError
from truing.records import Failed, Row

NOW = 1_800_000_000.0


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "study.yaml").write_text("name: mine\n")
    return folder


def text(folder: Path, now: float = NOW) -> str:
    console = Console(file=io.StringIO(), width=140, color_system=None)
    console.print(drawn(folder, now))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def cells(folder: Path, first: str, now: float = NOW) -> str:
    """The line that begins with this, its columns parted by one space."""
    (line,) = [line for line in text(folder, now).splitlines() if line.startswith(first)]
    return " ".join(line.split())


def trained(run: Path, stage: str, rows: list[dict[str, Any]], at: float, total: int | None = None) -> None:
    (run / stage).mkdir()
    path = write_lines(run / stage / "metrics.jsonl", rows)
    os.utime(path, (at, at))
    if total is not None:
        (run / stage / "steps.json").write_text(f'{{"steps": {total}}}')


def row(step: int, seconds: float, **figures: float) -> dict[str, Any]:
    return {"step": step, **figures, "timings": {"update": 1.0, "step": seconds}}


# --- training ---------------------------------------------------------------------------------------------------------


def test_a_training_stage_that_is_under_way(run: Path) -> None:
    rows = [row(step, seconds, reward=0.5, kl=0.25, logprob_gap=0.02) for step, seconds in enumerate((9.0, 2.0, 3.0))]
    trained(run, "policy", rows, NOW - 5, total=13)
    # Ten steps are left, at the median of 3 s each.
    assert cells(run, "policy") == "policy 3 13 0.500 – 0.250 0.020 3.000 30 s 5 s ago"


def test_a_row_that_is_being_written_is_no_row(run: Path) -> None:
    trained(run, "policy", [row(0, 2.0, reward=0.5)], NOW)
    with (run / "policy/metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "rew')
    assert status(run).training[0].done == 1


def test_silence_is_flagged_where_it_is_longer_than_steps_take(run: Path) -> None:
    trained(run, "policy", [row(0, 2.0, reward=0.5)], NOW - 720, total=9)
    trained(run, "dpo", [row(0, 200.0, loss=0.5)], NOW - 720, total=9)
    assert cells(run, "policy").endswith("nothing for 12 min")
    # Five steps of 200 s are 1000 s: 720 are no reason for alarm.
    assert cells(run, "dpo").endswith(" 12 min ago")


def test_a_finished_stage_has_nothing_left(run: Path) -> None:
    trained(run, "policy", [row(0, 2.0, reward=0.5)], NOW - 9999, total=1)
    RunFolder(run).finish("policy", "key", {})
    RunFolder(run).add_seconds("policy", 125.0)
    assert cells(run, "policy") == "policy 1 1 0.500 – – – 2.000 – finished"
    assert text(run).splitlines()[0] == "mine: finished policy (2 min)"


def test_a_stage_says_beforehand_how_many_steps_it_will_take(run: Path) -> None:
    with training_run(run / "policy", {}, {}, RewardModel(), title="toy", total=7, trackers=()) as training:
        for step in training.steps(7):
            training.report(loss=float(step))
            if step == 1:
                training.stop()
    (one,) = status(run).training
    assert (one.name, one.done, one.total, one.row["loss"]) == ("policy", 2, 7, 1.0)


# --- passes -----------------------------------------------------------------------------------------------------------


def asked(run: Path, count: int, name: str = "labels/pairs/ab12") -> Table:
    table = Table(run / name)
    write_requests([{"id": f"r{i}", "n": i} for i in range(count)], table, 4)
    os.utime(table.requests / KEY, (NOW - 100, NOW - 100))
    return table


def answer(table: Table, ids: list[str], at: float) -> None:
    before = set(table.parts())
    table.append([{"id": one, "text": "x"} for one in ids])
    (part,) = set(table.parts()) - before
    os.utime(part, (at, at))


def test_a_pass_that_is_under_way(run: Path) -> None:
    table = asked(run, 20)
    answer(table, ["r0", "r1"], NOW - 60)
    answer(table, ["r2", "r3", "r4"], NOW - 50)
    answer(table, ["r5", "r6"], NOW - 40)
    answer(table, ["of another pass"], NOW - 500)
    table.dead_letters.append([{"id": "r7", "reason": "too long"}])
    table.passing.append([{"id": "r8", "reason": "HTTP 500"}])
    for path in (*table.dead_letters.parts(), *table.passing.parts()):
        os.utime(path, (NOW - 45, NOW - 45))
    # 5 rows in the 20 s since the first part of this pass: 0.25/s; 20 - 7 - 2 = 11 are open, in 44 s.
    assert cells(run, "labels/pairs/ab12") == "labels/pairs/ab12 7 2 11 20 0.250 44 s 40 s ago"


def test_a_row_that_failed_and_was_answered_later_is_answered(run: Path) -> None:
    table = asked(run, 2)
    table.passing.append([{"id": "r0", "reason": "HTTP 500"}])
    answer(table, ["r0"], NOW - 1)
    (one,) = status(run).passes
    assert (one.answered, one.failed, one.open) == (1, 0, 1)


def test_a_part_whose_writer_died_does_not_count(run: Path) -> None:
    """Ray Data has noted it as pending: the next pass removes it and asks again."""
    table = asked(run, 2)
    answer(table, ["r0"], NOW - 1)
    (part,) = table.parts()
    table.ledger.mkdir()
    (table.ledger / f"{part.stem}.pending.parquet").touch()
    assert [(one.answered, one.open) for one in status(run).passes] == [(0, 2)]


def test_finished_passes_share_a_line_and_silent_ones_are_flagged(run: Path) -> None:
    for name in ("completions", "scores"):
        answer(asked(run, 1, name), ["r0"], NOW - 1)
    asked(run, 3)
    assert cells(run, "2 finished") == "2 finished 2 0 0 2 – – finished"
    later = NOW + 21  # the requests are 121 s old by then
    assert cells(run, "labels/pairs", later) == "labels/pairs/ab12 0 0 3 3 – – nothing for 2 min"


def test_the_rate_leaves_the_start_of_the_engines_out() -> None:
    # 4 + 6 rows in the 5 s after the first part; the rows of the first took nobody knows how long.
    assert rate([(100.0, 50), (103.0, 4), (105.0, 6)]) == 2.0
    assert rate([(100.0, 50)]) is None
    assert rate([(100.0, 50), (100.0, 4)]) is None


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with local_ray(2):
        yield


def placed(_: object, rows: list[Row]) -> list[Answer]:
    """Each row is answered with the run and the role of the process that answers; the first one fails."""
    answers: list[Answer] = [{"id": row["id"], "place": " ".join(own_place())} for row in rows]
    return [Failed("odd") if row["id"] == "r0" else answer for row, answer in zip(rows, answers, strict=True)]


def test_a_real_pass_is_in_the_table_and_in_prometheus(cluster: None, run: Path) -> None:
    import ray

    pool = Pool(object, placed, Needs(0, 0, {}, 60, 60), batch=2)
    table = Table(run / "labels/pairs/real")
    rows: list[Row] = [{"id": f"r{i}"} for i in range(5)]
    done = sweep("labels", rows, table, pool, max_failed=0.5, connect=lambda: None)
    assert [row["place"] for row in done] == ["mine labels"] * 4
    (one,) = status(run).passes
    assert (one.name, one.answered, one.failed, one.open) == ("labels/pairs/real", 4, 1, 0)
    node = ray.nodes()[0]
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    end = time.monotonic() + 60
    wanted = {"ray_truing_answers_total": "4.0", "ray_truing_failures_total": "1.0", "ray_truing_queue": "0.0"}
    found: dict[str, str] = {}
    while time.monotonic() < end and found != wanted:  # a report takes seconds
        time.sleep(0.5)
        scraped = httpx2.get(address, trust_env=False, timeout=30).text
        lines = [line for line in scraped.splitlines() if 'role="labels",run="mine"' in line]
        every = {line.partition("{")[0]: line.rpartition(" ")[2] for line in lines}
        found = {name: every[name] for name in wanted if name in every}
    assert found == wanted


# --- the folder -------------------------------------------------------------------------------------------------------


def test_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        show_status(tmp_path / "mine", once=True)
    assert str(error.value) == (
        f"{tmp_path / 'mine'}: there is no run here; give a run's folder, STORAGE/NAME, which holds its study.yaml"
    )


def test_a_run_that_has_just_begun(run: Path) -> None:
    assert text(run) == "mine: finished nothing yet\n"


def test_rounds_are_shown_in_their_order(tmp_path: Path) -> None:
    for number in (10, 2):
        (tmp_path / f"round-{number}").mkdir()
        (tmp_path / f"round-{number}/study.yaml").touch()
    assert [path.name for path in runs_in(tmp_path)] == ["round-2", "round-10"]
    assert text(tmp_path).splitlines() == ["round-2: finished nothing yet", "round-10: finished nothing yet"]


def test_looking_changes_nothing(run: Path) -> None:
    trained(run, "policy", [row(0, 2.0, reward=0.5)], NOW)
    answer(asked(run, 3), ["r0"], NOW)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    text(run)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


# --- the screen -------------------------------------------------------------------------------------------------------


def screen(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=120, height=30, color_system=None)
    monkeypatch.setattr(page, "console", console)
    return shown


def test_on_a_terminal_it_goes_on_until_ctrl_c(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(run, "policy", [row(0, 2.0, reward=0.125)], NOW)
    shown, looks = screen(monkeypatch, terminal=True), 0

    def tick(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise KeyboardInterrupt
        write_lines(run / "policy/metrics.jsonl", [row(0, 2.0, reward=0.125), row(looks, 2.0, reward=looks / 8 + 0.5)])

    monkeypatch.setattr(page.time, "sleep", tick)
    show_status(run, once=False)
    places = [shown.getvalue().find(figure) for figure in ("0.125", "0.625", "0.750")]
    assert -1 < places[0] < places[1] < places[2]
    assert shown.getvalue().rfind("\x1b[?25l") < shown.getvalue().rfind("\x1b[?25h")  # the cursor is back


@pytest.mark.parametrize(("terminal", "once"), [(True, True), (False, False)])
def test_elsewhere_or_when_asked_to_it_prints_once(
    run: Path, monkeypatch: pytest.MonkeyPatch, *, terminal: bool, once: bool
) -> None:
    shown = screen(monkeypatch, terminal=terminal)
    show_status(run, once=once)
    assert shown.getvalue().count("mine: finished nothing yet") == 1


def test_a_file_that_goes_away_under_the_look_is_looked_for_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = asked(run, 3)
    answer(table, ["r0"], NOW)
    whole, first = Table.parts, True

    def gone(self: Table) -> list[Path]:
        nonlocal first
        here, first = (whole(self), False) if not first else ([self.folder / "gone.parquet"], False)
        return here

    monkeypatch.setattr(Table, "parts", gone)
    shown = screen(monkeypatch, terminal=False)
    show_status(run, once=True)
    assert "labels/pairs/ab12" in shown.getvalue()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "–"), (0.4, "0 s"), (99.4, "99 s"), (720.0, "12 min"), (5940.0, "99 min"), (11100.0, "3 h 05")],
)
def test_times(seconds: float | None, shown: str) -> None:
    assert span(seconds) == shown


def test_it_loads_neither_ray_nor_torch() -> None:
    says = "import sys, jobs.status, jobs.timeline; print({'ray', 'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", says], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
