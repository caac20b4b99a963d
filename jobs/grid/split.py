"""One set of prompts parted in two, in distribution and out of it: by length, by a label, by distance (Kirk et al., §4)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs import measure
from jobs.grid.data import Question, prompt_text
from jobs.models import embedder_folder
from truing.config.grid import ByDistance, ByLabel, ByLength
from truing.errors import ConfigError
from truing.evaluation.generalisation import Split, split_by_distance, split_by_label, split_by_length
from truing.evaluation.recorded_fields import recorded_rows


def parted(
    questions: Sequence[Question], by: ByLength | ByLabel | ByDistance, name: str
) -> tuple[list[Question], list[Question]]:
    """(in distribution, out of it); every wording of an item is on its item's side. An item that cannot be placed is in neither.

    Raises:
        ConfigError: one of the two is empty, a row lacks the column, or the file of training prompts cannot be read.
    """
    items = list({one.item: one for one in questions}.values())
    try:
        split = _split(items, by)
    except ValueError as error:
        raise ConfigError(f"evaluate.grid.data: {name}: {error}") from None
    inside, outside = ({items[i].item for i in side} for side in (split.id, split.ood))
    if not inside or not outside:
        side = "in distribution" if outside else "out of it"
        raise ConfigError(f"evaluate.grid.data: {name}: no prompt is {side} by {by.kind}; mend `split` or leave it out")
    return [one for one in questions if one.item in inside], [one for one in questions if one.item in outside]


def _split(items: Sequence[Question], by: ByLength | ByLabel | ByDistance) -> Split:
    prompts = [one.prompt for one in items]
    if isinstance(by, ByLength):
        return split_by_length(prompts, by.words)
    if isinstance(by, ByLabel):
        return split_by_label([_label(one.row, by.column) for one in items], set(by.values))
    folder = embedder_folder(by.model)
    training = [prompt_text(by.prompt, row.row, row.where) for row in recorded_rows(by.training, {})]
    model = measure.load_embedder(folder)
    return split_by_distance(_embedded(model, prompts), _embedded(model, training), quantile=by.quantile)


def _label(row: Mapping[str, Any], column: str) -> str | None:
    if column not in row:
        raise ValueError(f"a row has no column {column!r}; name one of {', '.join(row)}.")
    value = row[column]
    return None if value is None else str(value)


def _embedded(model: object, texts: Sequence[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """[texts, dimensions], each of length 1."""
    answers = measure.embed(model, [{"id": str(i), "text": text} for i, text in enumerate(texts)])
    vectors = np.array([answer["vector"] for answer in answers if isinstance(answer, dict)], np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
