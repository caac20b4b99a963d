"""Recorded: figures from outputs, ratings and verdicts that somebody recorded. No model is asked, nothing is connected to."""

from collections.abc import Sequence
from pathlib import Path

from jobs.progress import console, headline, print_table
from jobs.recorded.figures import source_figures
from jobs.recorded.scores import check_pairing, item_scores
from jobs.recorded.store import write_figures, write_scores
from truing.config.evaluation import Evaluate
from truing.config.recorded import Recorded as Source
from truing.config.recorded import RecordedOutputs, RecordedRatings
from truing.evaluation.figure import Figure, Score
from truing.report.notation import count
from truing.report.recorded_contents import Recorded
from truing.report.recorded_findings import findings
from truing.report.recorded_tables import KINDS, Column, FigureTable, notes, tables, written

WIDTH = 118
"""Characters of a printed table; metrics that do not fit go to the next one."""


def recorded(settings: Evaluate, folder: Path, seed: int) -> list[Recorded]:
    """Read every recorded source, write scores and figures into `folder`, print them; the summary is printed last.

    Raises:
        ConfigError: a file, a row or a column that cannot be used, each with its remedy.
    """
    scores: list[Score] = []
    found: list[Recorded] = []
    for source in settings.recorded:
        headline(f"Recorded: {source.name}, {KINDS[source.kind]}")
        one = item_scores(source)
        if isinstance(source, RecordedOutputs | RecordedRatings):
            check_pairing(source, one)
        figures = source_figures(source, one, seed)
        scores += one
        found.append(Recorded(source.name, source.kind, source.path, len(one), tuple(figures)))
        show(found[-1])
    write_scores(folder, scores)
    summary = summary_of(found)
    write_figures(folder, found, summary)
    console.print(f"\n{summary}")
    return found


def summary_of(found: Sequence[Recorded]) -> str:
    """What was computed from what, in one line."""
    figures = [figure for one in found for figure in one.figures]
    undefined = sum(figure.value is None for figure in figures)
    policies = {figure.policy for figure in figures}
    left = f", {count(undefined)} of them undefined" if undefined else ""
    sources = ", ".join(one.name for one in found)
    return (
        f"{count(len(figures))} figures{left}, of {count(len(policies))} policies and judges, from"
        f" {count(sum(one.scores for one in found))} recorded scores: {sources}"
    )


def show(one: Recorded) -> None:
    """The tables of one source, with what has to be said of them."""
    for table in tables(one.figures):
        parts = _parts(table)
        for i, columns in enumerate(parts):
            below = "\n".join(notes(table)) if i == len(parts) - 1 else ""
            _print(one.name if i == 0 else "", table, columns, below)
    for sentence in findings(one):
        console.print(f"  {sentence}", soft_wrap=True)


def source_rows(sources: Sequence[Source]) -> list[tuple[str, str, str]]:
    """What would be read, for a plan."""
    return [(source.name, KINDS[source.kind], source.path) for source in sources]


def _print(title: str, table: FigureTable, columns: Sequence[int], note: str) -> None:
    heads = [table.columns[i] for i in columns]
    names = [f"{c.metric}, {c.unit}" if c.unit else c.metric for c in heads]
    several = any(variant for variant, _ in table.groups)
    rows: list[list[str]] = []
    for variant, some in table.groups:
        for row in some:
            cells = [row.cells[i] for i in columns]
            if any(cell is not None for cell in cells):
                texts = [written(cell, column.number) for cell, column in zip(cells, heads, strict=True)]
                rows.append([row.policy, *([variant] if several else []), _items(cells), *texts])
    first = ("policy", "variant", "n") if several else ("policy", "n")
    print_table(title, [*first, *names], [_lined_up(row, rows, len(first)) for row in rows], note)


def _lined_up(row: Sequence[str], rows: Sequence[Sequence[str]], first: int) -> list[str]:
    """Numbers to the right, so that their points stand below each other."""
    widths = [max(len(other[i]) for other in rows) for i in range(len(row))]
    return [cell if i < first - 1 else cell.rjust(widths[i]) for i, cell in enumerate(row)]


def _items(cells: Sequence[Figure | None]) -> str:
    """The n that the figures of a line share; those of an undefined one say nothing."""
    return next((str(cell.n) for cell in cells if cell is not None and cell.value is not None), "0")


def _parts(table: FigureTable) -> list[list[int]]:
    """Columns by printed table: those with the same n in each line, as many as fit beside each other."""
    rows = [row for _, some in table.groups for row in some]
    room = WIDTH - 10 - max(len(row.policy) for row in rows) - max(len(variant) for variant, _ in table.groups)
    alike: dict[tuple[int | None, ...], list[int]] = {}
    for i in range(len(table.columns)):
        cells = [row.cells[i] for row in rows]
        sizes = tuple(None if cell is None or cell.value is None else cell.n for cell in cells)
        alike.setdefault(sizes, []).append(i)
    parts: list[list[int]] = []
    for columns in alike.values():
        parts.append([])
        left = room
        for i in columns:
            wide = _width(table.columns[i], [row.cells[i] for row in rows])
            if wide > left and parts[-1]:
                parts.append([])
                left = room
            parts[-1].append(i)
            left -= wide
    return parts


def _width(column: Column, cells: Sequence[Figure | None]) -> int:
    longest = max((len(written(cell, column.number)) for cell in cells), default=0)
    word = max(map(len, column.metric.split()))
    return 2 + max(longest, word, min(len(f"{column.metric}, {column.unit}"), 18))
