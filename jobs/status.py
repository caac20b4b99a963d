"""`truing status`: how far a run is, from what its folder holds. It needs no Ray and no run that answers."""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table as Shown
from rich.text import Text

from jobs.progress import console, shown
from jobs.requests import KEY, shards
from jobs.store import ARMS, RunFolder, Table, read_json
from trainers.metrics import read_metrics
from truing.errors import ConfigError

STEPS = "steps.json"
"""File of a training stage: how many steps it is to take."""
RECENT = 20
"""Last steps, and last parts of a pass, that a rate is taken over."""
QUIET = 120.0
"""Seconds without a sign of life after which what is not finished is flagged; more where a step or a part takes long."""
TRIES = 5
"""Looks at a folder that changes under the look."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training stage: steps done and in all (None where it is not stored), the last row, when that came (Unix time)."""

    name: str
    finished: bool
    done: int
    total: int | None
    row: dict[str, Any]
    seconds: float | None
    changed: float

    @property
    def left(self) -> float | None:
        """Seconds to the last step, at the median pace of the last ones."""
        if self.total is None or self.seconds is None or self.finished:
            return None
        return max(0, self.total - self.done) * self.seconds


@dataclass(frozen=True, slots=True)
class Pass:
    """An offline pass: how its last requests stand, answers a second (None where it is not known), when it last moved."""

    name: str
    answered: int
    failed: int
    total: int
    rate: float | None
    gap: float
    changed: float

    @property
    def open(self) -> int:
        """Requests without an answer."""
        return self.total - self.answered - self.failed

    @property
    def left(self) -> float | None:
        """Seconds to the last answer."""
        return self.open / self.rate if self.rate and self.open else None


@dataclass(frozen=True, slots=True)
class Status:
    """One run at one moment."""

    name: str
    finished: list[str]
    seconds: dict[str, float]
    training: list[Training]
    passes: list[Pass]


def show_status(folder: Path, once: bool) -> None:
    """Print how far a run is; on a terminal again each second until Ctrl-C, if not `once`.

    Raises:
        ConfigError: there is no run in the folder.
    """
    if once or not console.is_terminal:
        console.print(_look(folder))
        return
    try:
        with Live(_look(folder), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(1)
                live.update(_look(folder), refresh=True)
    except KeyboardInterrupt:
        return


def _look(folder: Path) -> RenderableType:
    """The picture of this moment. The run goes on: a file may be gone that was there when its folder was listed."""
    for _ in range(TRIES):
        try:
            return drawn(folder, time.time())
        except (FileNotFoundError, pa.ArrowInvalid):
            time.sleep(0.2)
    return drawn(folder, time.time())


def runs_in(folder: Path) -> list[Path]:
    """The run in a folder and those of its arms, or its rounds.

    Raises:
        ConfigError: there is none.
    """
    rounds = sorted(
        (path.parent for path in folder.glob("round-*/study.yaml")),
        key=lambda path: int(path.name.removeprefix("round-")),
    )
    arms = sorted(path.parent for path in (folder / ARMS).glob("*/study.yaml"))
    found = rounds or ([folder, *arms] if (folder / "study.yaml").is_file() else [])
    if not found:
        raise ConfigError(
            f"{folder}: there is no run here; give a run's folder, STORAGE/NAME, which holds its study.yaml"
        )
    return found


def status(run: Path) -> Status:
    """What a run's folder says."""
    stored = RunFolder(run)
    finished = sorted(path.stem for path in (run / "stages").glob("*.json") if path.stem != "seconds")
    training = [_training(path, run, finished) for path in _own(run, "metrics.jsonl")]
    passes = [_pass(path, run) for path in _own(run, "*.requests") if (path / KEY).is_file()]
    return Status(run.name, finished, stored.seconds(), [one for one in training if one], passes)


def _own(run: Path, pattern: str) -> list[Path]:
    """What a run's folder holds, but for its arms, which are runs of their own."""
    return [path for path in sorted(run.rglob(pattern)) if path.relative_to(run).parts[0] != ARMS]


def _training(path: Path, run: Path, finished: Sequence[str]) -> Training | None:
    changed = path.stat()
    rows = _rows(path, (changed.st_mtime_ns, changed.st_size))
    if not rows:
        return None
    name = str(path.parent.relative_to(run))
    pace = statistics.median(row["timings"]["step"] for row in rows)
    total = (read_json(path.parent / STEPS) or {}).get("steps")
    return Training(name, name in finished, rows[-1]["step"] + 1, total, rows[-1], pace, changed.st_mtime)


@lru_cache(maxsize=16)
def _rows(path: Path, _state: tuple[int, int]) -> list[dict[str, Any]]:
    """The last rows; read again only when the file has changed."""
    return read_metrics(path)[-RECENT:]


def _pass(requests: Path, run: Path) -> Pass:
    table = Table(requests.with_name(requests.name.removesuffix(".requests")))
    asked = set(_ids(shards(table)))
    parts = table.parts()
    stored = asked & set(_ids(parts))
    lost = set(_ids([*table.dead_letters.parts(), *table.passing.parts()]))
    begun = (requests / KEY).stat().st_mtime
    written = sorted((path.stat().st_mtime, pq.read_metadata(path).num_rows) for path in parts)
    written = [one for one in written if one[0] >= begun][-RECENT:]
    signs = [path.stat().st_mtime for path in (*parts, *table.dead_letters.parts(), *table.asked.glob("*"))]
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(written)]
    return Pass(
        name=str(table.folder.relative_to(run)),
        answered=len(stored),
        failed=len(asked & lost - stored),
        total=len(asked),
        rate=rate(written),
        gap=max(gaps, default=0.0),
        changed=max(begun, *signs) if signs else begun,
    )


def rate(parts: Sequence[tuple[float, int]]) -> float | None:
    """Rows a second of parts (time, rows) in order of time: those after the first, over the time since the first."""
    if len(parts) < 2 or parts[-1][0] <= parts[0][0]:
        return None
    return sum(rows for _, rows in parts[1:]) / (parts[-1][0] - parts[0][0])


def _ids(paths: Sequence[Path]) -> Iterator[str]:
    for path in paths:
        yield from _ids_of(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=65536)
def _ids_of(path: Path, _changed: int) -> tuple[str, ...]:
    """A part is written once: its ids are read once."""
    return tuple(pq.read_table(path, columns=["id"])["id"].to_pylist())


# --- the table --------------------------------------------------------------------------------------------------------


def drawn(folder: Path, now: float) -> RenderableType:
    """All that is known of the run, or of each of its rounds, at this moment (Unix time)."""
    found: list[RenderableType] = []
    for run in runs_in(folder):
        one = status(run)
        stages = [name if name not in one.seconds else f"{name} ({span(one.seconds[name])})" for name in one.finished]
        found.append(Text(f"{one.name}: finished {', '.join(stages) or 'nothing yet'}", style="bold"))
        if one.training:
            found.append(_training_table(one.training, now))
        if one.passes:
            found.append(_pass_table(one.passes, now))
    return Group(*found)


def _training_table(stages: Sequence[Training], now: float) -> Shown:
    table = _table("training", "step", "of", "reward", "loss", "KL", "log-prob gap", "s a step", "left", "last row")
    for one in stages:
        figures = [shown(one.row.get(name)) for name in ("reward", "loss", "kl", "logprob_gap")]
        steps = (shown(one.done), shown(one.total))
        age = _age(one.changed, now, one.finished, one.seconds or 0.0)
        table.add_row(one.name, *steps, *figures, shown(one.seconds), span(one.left), age)
    return table


def _pass_table(passes: Sequence[Pass], now: float) -> Shown:
    """A line for each pass that has something open, one line for all that have not."""
    table = _table("pass", "answered", "failed", "open", "of", "a second", "left", "last sign")
    done = [one for one in passes if not one.open]
    if done:
        sums = [sum(column) for column in zip(*((one.answered, one.failed, 0, one.total) for one in done), strict=True)]
        table.add_row(f"{len(done)} finished", *map(shown, sums), "–", "–", "finished")
    for one in passes:
        if one.open:
            counts = (one.answered, one.failed, one.open, one.total)
            age = _age(one.changed, now, False, one.gap)
            table.add_row(one.name, *map(shown, counts), shown(one.rate), span(one.left), age)
    return table


def _table(first: str, *others: str) -> Shown:
    table = Shown(box=None, pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _age(changed: float, now: float, finished: bool, pace: float) -> Text:
    """How long ago; flagged where that is long for what is not finished."""
    if finished:
        return Text("finished")
    age = max(0.0, now - changed)
    quiet = age > max(QUIET, 5 * pace)
    return Text(f"nothing for {span(age)}", style="bold yellow") if quiet else Text(f"{span(age)} ago")


def span(seconds: float | None) -> str:
    """A time in the unit that reads best: 42 s, 12 min, 3 h 05."""
    if seconds is None:
        return "–"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d}"
