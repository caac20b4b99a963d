"""Do the people agree? Raw agreement, Cohen's and Fleiss' kappa, Krippendorff's alpha, from one table of votes.

A table has a row an item and a column an annotator; None is a vote that was not given. Every figure is None where it
is undefined: nobody shares an item, or every vote is the same, so that chance alone explains all agreement.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap_where_defined

Vote = str | int
Votes = Sequence[Sequence[Vote | None]]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Couple:
    """Two annotators, by column, over the `n` items that both voted on; 95 % bootstrap intervals over those items."""

    one: int
    other: int
    n: int
    agreement: Interval | None
    kappa: Interval | None


@dataclass(frozen=True)
class AnnotatorAgreement:
    """How far the annotators of one table agree; each interval is a 95 % bootstrap over items, its `n` their number.

    `agreement` is the share of votes of two annotators on one item that are the same; it, and `alpha`, are over items
    with at least two votes, `fleiss` over those that all annotators voted on. `left_out` counts items with fewer than
    two votes.
    """

    couples: tuple[Couple, ...]
    agreement: Interval | None
    fleiss: Interval | None
    alpha: Interval | None
    items: int
    left_out: int


def annotator_agreement(votes: Votes, *, seed: int) -> AnnotatorAgreement:
    """All figures of one table. Raises ValueError for an empty or ragged table, or one of fewer than two columns."""
    counts = vote_counts(votes)
    couples: list[Couple] = []
    for one, other in combinations(range(len(votes[0])), 2):
        both = [(row[one], row[other]) for row in votes]
        a, b = _given_by_both(both)
        same = _over(_mean, [[float(x == y)] for x, y in zip(a, b, strict=True)], seed)
        couples.append(Couple(one, other, len(a), same, cohen_kappa(a, b, seed=seed)))
    shared = counts[counts.sum(axis=1) >= 2]
    complete = counts[counts.sum(axis=1) == len(votes[0])]
    return AnnotatorAgreement(
        couples=tuple(couples),
        agreement=_over(raw_agreement, shared, seed),
        fleiss=_over(fleiss, complete, seed),
        alpha=_over(krippendorff, shared, seed),
        items=len(votes),
        left_out=len(counts) - len(shared),
    )


def cohen_kappa(
    one: Sequence[Vote], other: Sequence[Vote], *, seed: int, groups: Sequence[Hashable] | None = None
) -> Interval | None:
    """Cohen's kappa of two raters over the same items (Cohen 1960), with its bootstrap interval.

        kappa = (p_o - p_e) / (1 - p_e),   p_e = sum_c p_one(c) p_other(c)

    p_o is the share of items on which they agree, p_e the share that their own habits would give by chance. None where
    p_e = 1. `groups`: items of one name are drawn together, as `bootstrap` has it. Raises ValueError where the raters
    have not voted on the same number of items.
    """
    if len(one) != len(other):
        raise ValueError(f"the raters have {len(one)} and {len(other)} votes: both must vote on the same items.")
    if not one:
        return None
    codes = _codes([*one, *other])
    a, b = [float(codes[vote]) for vote in one], [float(codes[vote]) for vote in other]
    return bootstrap_where_defined(_cohen, a, b, seed=seed, groups=groups)


def vote_counts(votes: Votes) -> FloatArray:
    """Votes of each item for each category [items, categories]. Raises ValueError as `annotator_agreement`."""
    if not votes:
        raise ValueError("the table has no item: give one row of votes an item.")
    columns = len(votes[0])
    if columns < 2:
        raise ValueError(f"the table has {columns} columns: agreement needs at least two annotators.")
    ragged = next((i for i, row in enumerate(votes) if len(row) != columns), None)
    if ragged is not None:
        raise ValueError(
            f"row {ragged} has {len(votes[ragged])} votes, row 0 has {columns}: write None where an annotator gave none."
        )
    codes = _codes([vote for row in votes for vote in row if vote is not None])
    counts = np.zeros((len(votes), len(codes)))
    for i, row in enumerate(votes):
        for vote in row:
            if vote is not None:
                counts[i, codes[vote]] += 1
    return counts


def raw_agreement(counts: FloatArray) -> float:
    """Share of pairs of votes on one item that are the same, over all such pairs; `counts` as of `vote_counts`."""
    votes = counts.sum(axis=1)
    return _ratio(float((counts * (counts - 1)).sum()), float((votes * (votes - 1)).sum()))


def fleiss(counts: FloatArray) -> float:
    """Fleiss' kappa of m votes an item (Fleiss 1971): kappa = (P - P_e) / (1 - P_e).

    P is the mean over items of sum_c n_c (n_c - 1) / (m (m - 1)), and P_e = sum_c p_c^2 with p_c the share of c among
    all votes. Every row of `counts` must have the same sum m.
    """
    shares = counts.sum(axis=0) / counts.sum()
    return _beyond_chance(raw_agreement(counts), float((shares**2).sum()))


def krippendorff(counts: FloatArray) -> float:
    """Krippendorff's alpha, nominal, missing votes allowed (Krippendorff 2011, "Computing alpha-reliability").

        alpha = 1 - (N - 1) sum_u [m_u^2 - sum_c n_uc^2] / (m_u - 1) / (N^2 - sum_c N_c^2)

    n_uc votes of item u for c, m_u of item u, N_c for c, N in all. Every row of `counts` must have m_u >= 2.
    """
    of_item = counts.sum(axis=1)
    observed = float(((of_item**2 - (counts**2).sum(axis=1)) / (of_item - 1)).sum())
    total = float(counts.sum())
    expected = total**2 - float((counts.sum(axis=0) ** 2).sum())
    return 1 - (total - 1) * _ratio(observed, expected)


def _cohen(one: FloatArray, other: FloatArray) -> float:
    """Kappa of two columns of category numbers, from whole counts: renaming categories changes no bit."""
    n = len(one)
    k = int(max(one.max(), other.max())) + 1
    marginals = np.bincount(one.astype(np.intp), minlength=k) * np.bincount(other.astype(np.intp), minlength=k)
    expected = int(marginals.sum())
    return _ratio(float(n * int((one == other).sum()) - expected), float(n * n - expected))


def _over(
    statistic: Callable[[FloatArray], float], table: FloatArray | list[list[float]], seed: int
) -> Interval | None:
    """`statistic` of a table [items, ...], its rows resampled together; None for a table without rows."""
    rows = np.asarray(table, dtype=np.float64)
    if not len(rows):
        return None

    def of_columns(*columns: FloatArray) -> float:
        return statistic(np.stack(columns, axis=1))

    return bootstrap_where_defined(of_columns, *rows.T, seed=seed)


def _given_by_both(both: Sequence[tuple[Vote | None, Vote | None]]) -> tuple[list[Vote], list[Vote]]:
    given = [(a, b) for a, b in both if a is not None and b is not None]
    return [a for a, _ in given], [b for _, b in given]


def _codes(votes: Sequence[Vote]) -> Mapping[Vote, int]:
    """A number for each category, by first appearance."""
    return {vote: i for i, vote in enumerate(dict.fromkeys(votes))}


def _beyond_chance(observed: float, expected: float) -> float:
    return _ratio(observed - expected, 1 - expected)


def _ratio(above: float, below: float) -> float:
    """NaN over nothing: the figure is undefined."""
    return above / below if below else float("nan")


def _mean(values: FloatArray) -> float:
    return float(values.mean())
