"""The samples of a grid that the page shows side by side."""

from collections.abc import Mapping, Sequence

from jobs.grid.data import key_of
from jobs.grid.outputs import Cell
from jobs.grid.sheet import Sheet
from truing.evaluation.figure import Score
from truing.evaluation.grid_figures import is_quality
from truing.evaluation.policy_figures import LEFT_OUT
from truing.report.grid_contents import GridSample

PROMPTS = 8
"""Prompts shown of each data set at each temperature, in the order of the data."""


def samples(sheet: Sheet, scores: Sequence[Score], shifts: Mapping[str, str]) -> list[GridSample]:
    """The first wording of some prompts of every cell, with each policy's first output and its item's scores."""
    known = _by_place(scores)
    found: list[GridSample] = []
    for cell in sheet.cells:
        first: dict[str, None] = {}
        for question in sheet.asked[cell.data]:
            if question.item in first or len(first) == PROMPTS:
                continue
            first[question.item] = None
            rows = {
                policy: some[0]["text"]
                for policy, by_cell in sheet.answers.items()
                if (some := by_cell.get(cell, {}).get(key_of(question)))
            }
            found.append(
                GridSample(
                    data=cell.data,
                    shift=shifts[cell.data],
                    temperature=cell.temperature,
                    variant=question.wording,
                    prompt=question.prompt,
                    reference=question.references[0] if question.references else None,
                    outputs=rows,
                    scores={policy: known.get((policy, cell, key_of(question)), {}) for policy in rows},
                )
            )
    return found


def _by_place(scores: Sequence[Score]) -> dict[tuple[str, Cell, str], dict[str, float]]:
    """The first score of each quality metric, and the words, by policy, cell and question."""
    found: dict[tuple[str, Cell, str], dict[str, float]] = {}
    for score in scores:
        shown = is_quality(score.metric) or score.metric in ("words", "KL")
        if shown and score.item and score.value is not None and not score.metric.endswith(LEFT_OUT):
            place = (score.policy, Cell(score.data, score.temperature), f"{score.item}/{score.variant}")
            found.setdefault(place, {}).setdefault(score.metric, score.value)
    return found
