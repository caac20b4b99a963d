"""Judge against people over documents and systems: is the judge's order of the systems theirs?

Scores are tables of shape [documents, systems]; NaN is a reply that could not be read or a vote that was not given. A
cell that is NaN in either table is in no figure, and counted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap_mean, bootstrap_where_defined
from truing.evaluation.correlation import COEFFICIENTS, Coefficient, both_known, correlation, is_constant

FloatArray = NDArray[np.float64]
RESAMPLES = 500
"""Of the documents: the sample and system levels compute every coefficient anew in each."""


@dataclass(frozen=True, slots=True)
class Level:
    """The three coefficients over `n` items of one level: documents, cells or systems.

    Intervals are 95 % bootstraps over documents, and their `n` counts those. None where the coefficient is undefined.
    """

    n: int
    pearson: Interval | None
    spearman: Interval | None
    kendall: Interval | None


@dataclass(frozen=True, slots=True)
class MetaEvaluation:
    """`summary`: mean over documents of the correlation over systems (G-Eval); `sample`: over all cells pooled;
    `system`: over the systems' mean scores.

    `skipped` documents are constant in one of the tables, or have fewer than two known cells: they are not in `summary`,
    though in the other two. `missing` cells are in none.
    """

    summary: Level
    sample: Level
    system: Level
    documents: int
    skipped: int
    missing: int


def score_table(
    rows: Iterable[tuple[str, str, float | None]], documents: Sequence[str], systems: Sequence[str]
) -> FloatArray:
    """Rows of (document, system, score) as a table [documents, systems]; None and cells without a row are NaN.

    Raises ValueError for a name that is not listed or a cell that is scored twice: which of the two should count?
    """
    line = {name: i for i, name in enumerate(documents)}
    column = {name: i for i, name in enumerate(systems)}
    table = np.full((len(documents), len(systems)), np.nan)
    seen: set[tuple[str, str]] = set()
    for document, system, score in rows:
        if document not in line or system not in column:
            raise ValueError(
                f"document {document!r} or system {system!r} is not listed: list all, or leave its rows out."
            )
        if (document, system) in seen:
            raise ValueError(f"{system!r} is scored twice on {document!r}: keep one, or give the mean of both.")
        seen.add((document, system))
        table[line[document], column[system]] = np.nan if score is None else score
    return table


def meta_evaluation(judge: FloatArray, human: FloatArray, *, seed: int, resamples: int = RESAMPLES) -> MetaEvaluation:
    """Correlations of two tables [documents, systems] at the three levels, with intervals over documents.

    Only rank correlations compare scales of different width. Raises ValueError where the tables differ in shape, are
    empty or hold an infinity.
    """
    check_tables(judge, human)
    unknown = np.isnan(judge) | np.isnan(human)
    judge, human = np.where(unknown, np.nan, judge), np.where(unknown, np.nan, human)
    used = [i for i in range(len(judge)) if _has_order(judge[i], human[i])]

    def per_document(coefficient: Coefficient) -> Interval | None:
        values = [correlation(judge[i], human[i], coefficient) for i in used]
        return bootstrap_mean(values, seed=seed, resamples=resamples) if values else None

    def pooled(coefficient: Coefficient, by_system: bool) -> Interval | None:
        def figure(drawn: FloatArray) -> float:
            rows = drawn.astype(np.intp)
            one, other = judge[rows], human[rows]
            if by_system:
                return correlation(_system_means(one), _system_means(other), coefficient)
            return correlation(one.ravel(), other.ravel(), coefficient)

        return bootstrap_where_defined(figure, np.arange(len(judge), dtype=np.float64), seed=seed, resamples=resamples)

    return MetaEvaluation(
        summary=Level(len(used), *(per_document(name) for name in COEFFICIENTS)),
        sample=Level(int((~unknown).sum()), *(pooled(name, by_system=False) for name in COEFFICIENTS)),
        system=Level(int((~unknown).any(axis=0).sum()), *(pooled(name, by_system=True) for name in COEFFICIENTS)),
        documents=len(judge),
        skipped=len(judge) - len(used),
        missing=int(unknown.sum()),
    )


def check_tables(judge: FloatArray, human: FloatArray) -> None:
    """Raises ValueError unless both are non-empty tables of one shape [documents, systems] without infinities."""
    if judge.ndim != 2 or judge.shape != human.shape or judge.size == 0:
        raise ValueError(
            f"tables of shape {judge.shape} and {human.shape}: both must be [documents, systems], not empty."
        )
    if np.isinf(judge).any() or np.isinf(human).any():
        raise ValueError("a score is infinite: give NaN where there is none.")


def _has_order(judge: FloatArray, human: FloatArray) -> bool:
    one, other = both_known(judge, human)
    return not is_constant(one) and not is_constant(other)


def _system_means(table: FloatArray) -> FloatArray:
    """Mean of each system over the documents that have it, NaN where none has."""
    known = ~np.isnan(table)
    counts = known.sum(axis=0)
    sums = np.where(known, table, 0.0).sum(axis=0)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
