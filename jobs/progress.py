"""What a user sees: progress with rate and time left, aligned tables, one line a stage."""

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Table as RichTable
from rich.text import Text

console = Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else 120)

Cell = str | float | int | None

STEPS = 8
"""Steps in the live table."""

FIGURES = {
    "step": "step",
    "reward": "reward",
    "kl": "KL",
    "loss": "loss",
    "held_out_loss": "held-out loss",
    "held_out_accuracy": "held-out accuracy",
    "entropy": "entropy",
    "length": "tokens",
    "grad_norm": "grad norm",
    "timings/step": "seconds",
    "logprob_gap": "log-prob gap",
    "ratio": "ratio",
}
"""Columns of the live table, the ones that a narrow terminal keeps first."""


class _Rate(ProgressColumn):
    """Items a second, or seconds an item where that reads better."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text("")
        return Text(f"{speed:.1f}/s" if speed >= 1 else f"{1 / speed:.1f} s each")


class _Bar(Bar):
    """A bar below the figures of the last steps. Both are one live display: rich draws it in one write."""

    steps: tuple[Mapping[str, float], ...] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        """What one refresh draws."""
        if self.steps:
            yield steps_table(self.steps, console.width, console.height - 4)
        yield from super().get_renderables()


class Progress:
    """A bar on a terminal, with the last steps' figures where there are any; elsewhere a line every ten seconds."""

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._done = title, total, done
        self._start = self._last = time.monotonic()
        self._from = done
        self._bar: _Bar | None = None

    def __enter__(self) -> Self:
        if console.is_terminal:
            columns = (BarColumn(30), MofNCompleteColumn(), _Rate(), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = _Bar(TextColumn("{task.description:<28}"), *columns, console=console)
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=self._total, completed=self._done)
        return self

    def advance(self, note: str = "") -> None:
        """One more item is done."""
        self.at(self._done + 1, note)

    def resume(self, done: int) -> None:
        """So many items were done before this run: they do not count towards its rate."""
        self._done = self._from = done

    def at(self, done: int, note: str = "", figures: Mapping[str, float] | None = None) -> None:
        """So many items are done; `figures` are the last one's, by their paths."""
        if done == self._done and not self._bar:
            return
        self._done = done
        if self._bar:
            if figures:  # a new tuple: the thread that draws may be in the middle of the old one
                self._bar.steps, note = (*self._bar.steps, figures)[-STEPS:], ""
            self._bar.update(self._task, completed=self._done, description=f"{self._title} {note}".strip())
        elif time.monotonic() - self._last >= 10 or self._done == self._total:
            self._last = time.monotonic()
            spent = self._last - self._start
            rate = (self._done - self._from) / spent if spent else 0.0
            left = f", {(self._total - self._done) / rate:.0f} s left" if rate else ""
            shown = f"{rate:.1f}/s" if rate >= 1 or not rate else f"{1 / rate:.1f} s each"
            console.print(f"  {self._title}: {self._done}/{self._total}, {shown}{left} {note}".rstrip())

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.steps = ()  # what stays on the screen is the bar; the stage prints its own table
            self._bar.stop()


def steps_table(steps: Sequence[Mapping[str, float]], width: int, height: int) -> RichTable:
    """The last steps, one a line: the main figures that they have, as many as fit into `width` columns and `height` lines."""
    names = [name for name in FIGURES if any(name in step for step in steps)]
    table = RichTable(box=None, pad_edge=False)
    room = width
    for name in names:
        room -= max(len(FIGURES[name]), 8) + 2
        if room < 0:
            break
        table.add_column(FIGURES[name], justify="right", no_wrap=True, min_width=8)
    for step in list(steps)[-max(height - 1, 1) :]:
        cells = [int(step[name]) if name == "step" else step.get(name) for name in names[: len(table.columns)]]
        table.add_row(*(shown(cell) for cell in cells))
    return table


def headline(text: str) -> None:
    """One line that begins a stage."""
    console.print(f"\n[bold]{text}[/bold]")


def shown(cell: Cell) -> str:
    """A cell's text: an en dash for what is not there, three significant decimals for floats."""
    if cell is None or (isinstance(cell, float) and cell != cell):
        return "–"
    if isinstance(cell, float):
        return f"{cell:.3f}" if abs(cell) < 1000 else f"{cell:.0f}"
    return str(cell)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], note: str = "") -> None:
    """An aligned table: text to the left, numbers to the right."""
    table = RichTable(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, caption=note or None
    )
    table.caption_justify = "left"
    for i, column in enumerate(columns):
        numeric = all(isinstance(row[i], (int, float)) or row[i] is None for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        # A text in brackets is a text, no style.
        table.add_row(*(escape(shown(cell)) for cell in row))
    console.print(table)
