"""Diversity scores from sentence embeddings: the Sentence-BERT diversity of Kirk et al., arXiv 2310.06452.

The embeddings are the caller's, one a distinct text. Their model changes the numbers: name it beside the figure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from truing.evaluation.diversity import embedding_diversity
from truing.evaluation.figure import Score
from truing.evaluation.output_scores import Output
from truing.evaluation.set_scores import (
    TOO_FEW,
    WITHOUT_IT,
    Found,
    WholeSet,
    count_empty,
    counted,
    noted,
    set_scores,
)

NAME = "SBERT"
NOT_EMBEDDED = "not embedded"

Vector = Sequence[float] | NDArray[np.float32] | NDArray[np.float64]
FloatArray = NDArray[np.float64]


def embedding_scores(outputs: Iterable[Output], vectors: Mapping[str, Vector], *, data: str) -> list[Score]:
    """1 - mean cosine, in [0, 2], of each prompt's outputs, 'SBERT per input', and of first outputs, 'SBERT across inputs'.

    `vectors`: the embedding of each text; one that failed is absent. A prompt that has such an output has no value per
    input; across inputs it is in no set, is missing, and is counted in the note. Raises ValueError where vectors are not
    finite numbers of one size.
    """
    return set_scores(outputs, NAME, partial(_of_input, vectors=vectors), partial(_of_set, vectors=vectors), data=data)


def embedding_without_each(embeddings: FloatArray | Sequence[Vector]) -> list[float]:
    """`embedding_diversity` without the i-th row, for each i, from a single sum S of the directions u_j of the rows.

        |S - u_i|^2 = |S|^2 - 2 S.u_i + |u_i|^2

    `embeddings` [outputs, dimensions], checked as `embedding_diversity` does. NaN where a single output would be left.
    """
    left = len(embeddings) - 1
    if left < 2:
        return [math.nan] * len(embeddings)
    matrix = np.asarray(embeddings, dtype=np.float64)
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    directions = np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)
    summed, known = directions.sum(axis=0), lengths[:, 0] > 0
    apart = summed @ summed - 2 * directions @ summed + known
    return (1 - (apart - (known.sum() - known)) / (left * (left - 1))).tolist()


def _of_input(texts: Sequence[str], vectors: Mapping[str, Vector]) -> Found:
    known = _matrix([vectors[text] for text in texts if text in vectors])
    if len(known) < len(texts):
        return None, f"with an output {NOT_EMBEDDED}"
    return embedding_diversity(known), ""


def _of_set(firsts: Mapping[str, str], vectors: Mapping[str, Vector]) -> WholeSet:
    known = {item: text for item, text in firsts.items() if text in vectors}
    lost = counted(len(firsts) - len(known), len(firsts), f"outputs {NOT_EMBEDDED}")
    if len(known) < 2:
        return WholeSet(None, noted(TOO_FEW, lost), {})
    matrix = _matrix([vectors[text] for text in known.values()])
    value = embedding_diversity(matrix)
    left: dict[str, Found] = dict.fromkeys(firsts, (None, NOT_EMBEDDED))
    for item, one in zip(known, embedding_without_each(matrix), strict=True):
        left[item] = (None, WITHOUT_IT) if math.isnan(one) else (one, "")
    return WholeSet(value, noted(lost, count_empty(known.values())), left)


def _matrix(rows: Sequence[Vector]) -> FloatArray:
    """Rows [outputs, dimensions]; of none, an empty array."""
    sizes = {len(row) for row in rows}
    if len(sizes) > 1:
        raise ValueError(f"vectors have {min(sizes)} to {max(sizes)} dimensions: embed all texts with one model.")
    return np.array(rows, dtype=np.float64)
