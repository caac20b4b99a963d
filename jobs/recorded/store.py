"""Where the figures of recorded files are kept: `evaluation/` of the run folder, Parquet and CSV, each written whole."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.store import read_json, write_json, write_rows, write_text
from truing.evaluation.figure import Figure, Score
from truing.report.recorded_contents import Recorded

FIGURES = pa.schema([
    ("policy", pa.string()), ("data", pa.string()), ("shift", pa.string()), ("temperature", pa.float64()),
    ("variant", pa.string()), ("metric", pa.string()), ("unit", pa.string()), ("value", pa.float64()),
    ("low", pa.float64()), ("high", pa.float64()), ("n", pa.int64()), ("missing", pa.int64()), ("note", pa.string()),
])  # fmt: skip
SCORES = pa.schema([
    ("policy", pa.string()), ("data", pa.string()), ("variant", pa.string()), ("item", pa.string()),
    ("against", pa.string()), ("metric", pa.string()), ("value", pa.float64()), ("reason", pa.string()),
    ("temperature", pa.float64()),
])  # fmt: skip


def write_scores(folder: Path, scores: Sequence[Score]) -> None:
    """`scores.parquet`: what every figure can be computed from again."""
    _write(folder / "scores.parquet", scores, SCORES)


def read_scores(folder: Path) -> list[Score]:
    """The scores as they were written."""
    return [Score(**row) for row in pq.read_table(folder / "scores.parquet").to_pylist()]


def write_figures(folder: Path, found: Sequence[Recorded], summary: str) -> None:
    """`figures.parquet`, `figures.csv`, and `recorded.json`, which says which source a figure is of."""
    write_figure_rows(folder, [figure for one in found for figure in one.figures])
    sources = [{"name": one.name, "kind": one.kind, "path": one.path, "scores": one.scores} for one in found]
    write_json(folder / "recorded.json", {"summary": summary, "sources": sources})


def write_figure_rows(folder: Path, figures: Sequence[Figure]) -> None:
    """`figures.parquet` and, for spreadsheets, `figures.csv`."""
    _write(folder / "figures.parquet", figures, FIGURES)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FIGURES.names)
    writer.writerows([_column(figure, name) for name in FIGURES.names] for figure in figures)
    write_text(folder / "figures.csv", text.getvalue())


def read_figure_rows(folder: Path) -> list[Figure]:
    """The figures as they were written."""
    return [Figure(**row) for row in pq.read_table(folder / "figures.parquet").to_pylist()]


def read_recorded(folder: Path) -> tuple[str, tuple[Recorded, ...]]:
    """The summary and the figures by source; nothing where no recorded file was evaluated."""
    saved = read_json(folder / "recorded.json")
    if saved is None:
        return "", ()
    by_data: dict[str, list[Figure]] = {}
    for figure in read_figure_rows(folder):
        by_data.setdefault(figure.data, []).append(figure)
    found = tuple(Recorded(**source, figures=tuple(by_data.get(source["name"], ()))) for source in saved["sources"])
    return saved["summary"], found


def _write(path: Path, rows: Sequence[Figure] | Sequence[Score], schema: Any) -> None:
    write_rows(path, [{name: _column(row, name) for name in schema.names} for row in rows], schema)


def _column(row: Figure | Score, name: str) -> Any:
    return getattr(row, name)
