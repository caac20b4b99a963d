"""Diversity as contradiction between outputs, judged by a natural language inference model (Kirk et al., arXiv 2310.06452).

The model is the caller's: it gives class probabilities of ordered pairs (premise, hypothesis), [pairs, 3], and its
`id2label`. The paper's is roberta-large-mnli. Both directions of every pair are needed; `ordered_pairs` lists them.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

WEIGHTS = {"contradiction": 1.0, "neutral": 0.0, "entailment": -1.0}
"""What a label says of the diversity of a pair."""


def ordered_pairs(n: int) -> list[tuple[int, int]]:
    """(premise, hypothesis) of n outputs: (i, j), then (j, i), for every i < j; n(n-1) in all, none for n < 2."""
    return [direction for i, j in combinations(range(n), 2) for direction in ((i, j), (j, i))]


def nli_diversity(
    probabilities: FloatArray | Sequence[Sequence[float]], id2label: Mapping[int, str] | Mapping[str, str]
) -> float:
    """Mean r over unordered pairs, in [-2, 2]: 2 where all contradict one another, -2 where all entail one another.

        r(i, j) = s(i, j) + s(j, i),   s = weight of the likeliest label x its probability

    `probabilities` [n(n-1), 3]: a row a direction, as in `ordered_pairs`; columns in the order of `id2label`. Of equally
    likely labels the first column counts. NaN without a pair. Raises ValueError for rows that are no probabilities (NaN
    of a pair that failed among them), an odd number of rows, or labels other than the three.
    """
    rows, weights = _checked(probabilities, id2label)
    top = rows.argmax(axis=1)
    return _mean_r(weights[top] * rows[np.arange(len(rows)), top])


def soft_nli_diversity(
    probabilities: FloatArray | Sequence[Sequence[float]], id2label: Mapping[int, str] | Mapping[str, str]
) -> float:
    """`nli_diversity` with s = p(contradiction) - p(entailment): every label counts, not the likeliest alone."""
    rows, weights = _checked(probabilities, id2label)
    return _mean_r(rows @ weights)


def released_nli_diversity(
    probabilities: FloatArray | Sequence[Sequence[float]], id2label: Mapping[int, str] | Mapping[str, str]
) -> float:
    """1 - `nli_diversity`, which the paper's released code prints. LOWER is more diverse, against the paper's own tables.

    Only to be compared with numbers that the released code printed.
    """
    return 1 - nli_diversity(probabilities, id2label)


def _mean_r(scores: FloatArray) -> float:
    """A pair is two rows, so the mean over pairs is twice the mean over rows."""
    return 2 * float(scores.mean()) if len(scores) else math.nan


def _checked(
    probabilities: FloatArray | Sequence[Sequence[float]], id2label: Mapping[int, str] | Mapping[str, str]
) -> tuple[FloatArray, FloatArray]:
    """Rows [n(n-1), 3] and the weight of each of their columns."""
    labels = {int(column): label.lower() for column, label in id2label.items()}
    if sorted(labels) != [0, 1, 2] or sorted(labels.values()) != sorted(WEIGHTS):
        raise ValueError(f"id2label is {dict(id2label)}: name columns 0, 1, 2 contradiction, neutral and entailment.")
    rows = np.asarray(probabilities, dtype=np.float64)
    if not rows.size:
        rows = rows.reshape(0, 3)
    if rows.ndim != 2 or rows.shape[1] != 3 or len(rows) % 2:
        raise ValueError(f"probabilities have shape {rows.shape}: give [n(n-1), 3], both directions of every pair.")
    wrong = int((~((rows >= 0).all(axis=1) & (np.abs(rows.sum(axis=1) - 1) < 1e-3))).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of {len(rows)} rows are no probabilities (NaN, negative, or a sum other than 1): apply softmax to "
            "logits, and drop an output whose pairs failed, and report how many."
        )
    return rows, np.array([WEIGHTS[labels[column]] for column in range(3)])
