"""Where a grid's results are kept: `evaluation/grid` of the run folder. Figures are computed from scores, never from models."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from jobs.grid.data import Question
from jobs.grid.outputs import HOME
from jobs.grid.sheet import Sheet
from jobs.recorded.store import read_figure_rows, write_figure_rows, write_scores
from jobs.store import RunFolder, read_json, write_json, write_rows
from truing.evaluation.figure import Score
from truing.records import Row
from truing.report.grid_contents import Alarm, Grid, GridData, GridPolicy, GridSample, WordingAccuracies

QUESTIONS = pa.schema([
    ("data", pa.string()), ("item", pa.string()), ("variant", pa.string()), ("prompt", pa.string()),
    ("domain", pa.string()), ("references", pa.list_(pa.string())), ("choices", pa.list_(pa.string())),
    ("right", pa.int64()),
])  # fmt: skip
OUTPUTS = pa.schema([
    ("policy", pa.string()), ("data", pa.string()), ("temperature", pa.float64()), ("variant", pa.string()),
    ("item", pa.string()), ("number", pa.int64()), ("text", pa.string()), ("tokens", pa.int64()),
    ("finished", pa.bool_()),
])  # fmt: skip


def write_grid(
    run: RunFolder, asked: Mapping[str, Sequence[Question]], sheet: Sheet, scores: list[Score], found: Grid
) -> None:
    """`questions.parquet` and `outputs.parquet`, which scores name by data, item and variant; `scores.parquet`,
    `figures.parquet`, `figures.csv`, and `grid.json` for the rest.
    """
    folder = run.path / HOME
    write_rows(folder / "questions.parquet", _questions(asked), QUESTIONS)
    write_rows(folder / "outputs.parquet", _outputs(sheet), OUTPUTS)
    write_scores(folder, scores)
    write_figure_rows(folder, found.figures)
    write_json(folder / "grid.json", {key: value for key, value in asdict(found).items() if key != "figures"})


def _questions(asked: Mapping[str, Sequence[Question]]) -> list[Row]:
    return [
        {
            "data": data, "item": one.item, "variant": one.wording, "prompt": one.prompt, "domain": one.domain,
            "references": list(one.references), "choices": list(one.choices),
            "right": one.right if one.choices else None,
        }
        for data, questions in asked.items()
        for one in questions
    ]  # fmt: skip


def _outputs(sheet: Sheet) -> list[Row]:
    return [
        {
            "policy": place.policy, "data": place.cell.data, "temperature": place.cell.temperature,
            "variant": place.question.wording, "item": place.question.item, "number": number,
            "text": row["text"], "tokens": len(row["tokens"]), "finished": row["finished"],
        }
        for place in sheet.places()
        for number, row in enumerate(place.rows)
    ]  # fmt: skip


def read_grid(run: Path) -> Grid | None:
    """The grid of a run folder; None where none was evaluated."""
    saved = read_json(run / HOME / "grid.json")
    if saved is None:
        return None
    kinds: dict[str, Any] = {
        "policies": _policy, "data": lambda row: GridData(**row), "wordings": _wordings,
        "samples": lambda row: GridSample(**row), "alarms": lambda row: Alarm(**row), "temperatures": lambda one: one,
    }  # fmt: skip
    parts = {key: tuple(make(row) for row in saved[key]) for key, make in kinds.items()}
    return Grid(
        completions=saved["completions"],
        baseline=saved["baseline"],
        figures=tuple(read_figure_rows(run / HOME)),
        **parts,
    )


def _policy(row: dict[str, Any]) -> GridPolicy:
    made_of = row["best_of"]
    return GridPolicy(**{**row, "best_of": None if made_of is None else tuple(made_of)})


def _wordings(row: dict[str, Any]) -> WordingAccuracies:
    return WordingAccuracies(**{**row, "wordings": tuple(row["wordings"]), "accuracies": tuple(row["accuracies"])})
