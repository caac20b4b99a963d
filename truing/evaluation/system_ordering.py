"""Does the judge order pairs of systems as people do (Shen et al., arXiv 2305.13091)?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap_where_defined
from truing.evaluation.meta_evaluation import check_tables

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SystemOrdering:
    """`correct` of `pairs` pairs of systems, and `rate`, their share, resampled over documents.

    `undecided` pairs share no document that both tables know; they are not among `pairs`, nor are those of a resample in
    its share. `missing` cells were left out.
    """

    correct: int
    pairs: int
    rate: Interval | None
    undecided: int
    missing: int


def system_ordering(
    judge: FloatArray, human: FloatArray, *, seed: int, pairs: Sequence[tuple[int, int]] | None = None
) -> SystemOrdering:
    """Share of pairs of systems on which the judge and people name the same better one, or both call it even.

    A table is [documents, systems], NaN where there is no score; `pairs` names columns (default: all). A side is better
    if it wins more than half of the documents that both tables know; equal scores on a document give each side 0.5.
    Comparing mean scores instead is another protocol, with other figures.
    Raises ValueError where the tables differ in shape, are empty or hold an infinity, or there is no pair.
    """
    check_tables(judge, human)
    chosen = list(combinations(range(judge.shape[1]), 2)) if pairs is None else list(pairs)
    if not chosen:
        raise ValueError("no pair of systems: an order needs at least two systems.")
    unknown = np.isnan(judge) | np.isnan(human)
    by_judge, by_people = (_leads(np.where(unknown, np.nan, table), chosen) for table in (judge, human))

    def correct(drawn: FloatArray) -> float:
        rows = drawn.astype(np.intp)
        decided = ~np.isnan(by_judge[rows]).all(axis=0)
        agree = np.sign(np.nansum(by_judge[rows], axis=0)) == np.sign(np.nansum(by_people[rows], axis=0))
        return float(agree[decided].mean()) if decided.any() else float("nan")

    rows = np.arange(len(judge), dtype=np.float64)
    n = int((~np.isnan(by_judge).all(axis=0)).sum())
    return SystemOrdering(
        correct=round(correct(rows) * n) if n else 0,
        pairs=n,
        rate=bootstrap_where_defined(correct, rows, seed=seed),
        undecided=len(chosen) - n,
        missing=int(unknown.sum()),
    )


def _leads(table: FloatArray, pairs: Sequence[tuple[int, int]]) -> FloatArray:
    """[documents, pairs]: 1 where the first system scores higher, -1 lower, 0 even, NaN unknown.

    Their sum over documents has the sign of documents won (even ones by half) minus half of the documents.
    """
    one, other = (table[:, [pair[i] for pair in pairs]] for i in (0, 1))
    return np.sign(one - other)
