"""A ladder of many policies from pairwise comparisons: Bradley-Terry by maximum likelihood, and online Elo.

    P(a beats b) = 1 / (1 + 10^((R_b - R_a) / 400))

A comparison is (a, b, score of a): 1 won, 0 lost, 1/2 a tie, which counts as half a win for each; a soft preference counts
by its share. None or NaN is a comparison without a verdict.
"""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import together, units_of

FloatArray = NDArray[np.float64]
Comparison = tuple[str, str, float | None]

SCALE = 400 / math.log(10)
"""Elo points for each unit of log-odds."""
MEAN = 1000.0
"""Mean rating of a ladder that is not anchored, and what online Elo starts from."""


@dataclass(frozen=True, slots=True)
class Rating:
    """A policy's rating in Elo points, its 95 % bootstrap interval over comparisons or items, and how many of those it was in."""

    policy: str
    rating: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Ladder:
    """`ratings` from the best down, over `n` comparisons; `n_missing` have no verdict and are in no figure.

    `undefined` of the `resamples` have no finite ratings (somebody never lost in them) and are left out of the intervals,
    which are too narrow where they are many.
    """

    ratings: tuple[Rating, ...]
    n: int
    n_missing: int
    resamples: int
    undefined: int


def ladder(
    comparisons: Sequence[Comparison],
    *,
    anchor: str | None = None,
    resamples: int = 200,
    seed: int = 0,
    items: Sequence[Hashable] | None = None,
) -> Ladder:
    """Bradley-Terry ratings of all policies. `anchor` is fixed at 1000; without one the mean rating is.

    `items`: what each comparison is about. Those about one item are not independent, and a resample draws them together;
    None: each is about its own.

    Raises ValueError where no comparison has a verdict, a score is outside [0, 1], a policy meets itself, the anchor is
    unknown, the policies fall into groups that never met, or one group never lost to the rest: its rating is infinite.
    Where more than half of the resamples are `undefined`, the interval ends are NaN.
    """
    kept = [i for i, (_, _, score) in enumerate(comparisons) if score is not None and not math.isnan(score)]
    judged = _judged(comparisons)
    names = sorted({name for a, b, _ in judged for name in (a, b)})
    if anchor is not None and anchor not in names:
        raise ValueError(f"anchor {anchor!r} is in no comparison; there are {', '.join(names)}.")
    index = {name: i for i, name in enumerate(names)}
    table = np.array([(index[a], index[b], score) for a, b, score in judged])
    wins = _wins(table, len(names))
    _check_connected(wins, names)
    ratings = _elo(_strengths(wins), names, anchor)
    units = units_of(None if items is None else together([items[i] for i in kept]), len(table))
    rng = np.random.default_rng(seed)
    replicates: list[FloatArray] = []
    for _ in range(resamples):
        drawn = _wins(table[units.rows(rng.integers(units.n, size=units.n))], len(names))
        if len(_groups(drawn, "strong")) == 1:
            replicates.append(_elo(_strengths(drawn), names, anchor))
    enough = len(replicates) >= max(1, resamples / 2)
    low, high = np.quantile(replicates, [0.025, 0.975], axis=0) if enough else np.full((2, len(names)), np.nan)
    counts = np.bincount(table[:, :2].astype(int).ravel(), minlength=len(names))
    rows = [
        Rating(name, float(ratings[i]), float(low[i]), float(high[i]), int(counts[i])) for i, name in enumerate(names)
    ]
    return Ladder(
        ratings=tuple(sorted(rows, key=lambda row: -row.rating)),
        n=len(judged),
        n_missing=len(comparisons) - len(judged),
        resamples=resamples,
        undefined=resamples - len(replicates),
    )


def win_probability(rating: float, other: float) -> float:
    """P(a policy of `rating` beats one of `other`), both in Elo points."""
    return 1 / (1 + 10 ** ((other - rating) / 400))


def online_elo(comparisons: Sequence[Comparison], *, k: float = 4.0, initial: float = MEAN) -> dict[str, float]:
    """Elo ratings updated one comparison at a time, R += k (score - expected): FastChat's, with its k = 4.

    They depend on the order of the comparisons, and lag behind for small k: for policies that do not change, `ladder` is
    the figure to report. Raises ValueError as there, except that nothing need be connected.
    """
    ratings: dict[str, float] = {}
    for a, b, score in _judged(comparisons):
        one, other = ratings.setdefault(a, initial), ratings.setdefault(b, initial)
        step = k * (score - win_probability(one, other))
        ratings[a], ratings[b] = one + step, other - step
    return ratings


def _judged(comparisons: Sequence[Comparison]) -> list[tuple[str, str, float]]:
    judged = [(a, b, score) for a, b, score in comparisons if score is not None and not math.isnan(score)]
    if not judged:
        raise ValueError(f"none of {len(comparisons)} comparisons has a verdict: there is nothing to rate.")
    for a, b, score in judged:
        if not 0 <= score <= 1:
            raise ValueError(f"the score {score} of {a!r} against {b!r} is not in [0, 1]: 1 won, 0 lost, 1/2 a tie.")
        if a == b:
            raise ValueError(f"{a!r} is compared with itself: leave that out, it says nothing of its rating.")
    return judged


def _wins(table: FloatArray, n: int) -> FloatArray:
    """[n, n]: how often row beat column, in wins and parts of them."""
    wins = np.zeros((n, n))
    a, b = table[:, 0].astype(int), table[:, 1].astype(int)
    np.add.at(wins, (a, b), table[:, 2])
    np.add.at(wins, (b, a), 1 - table[:, 2])
    return wins


def _strengths(wins: FloatArray) -> FloatArray:
    """Log-strengths s that maximise sum_ab wins_ab log sigmoid(s_a - s_b), with mean 0. `wins` is strongly connected."""
    import scipy.optimize as module  # pyright: ignore[reportMissingTypeStubs]

    total = wins.sum()
    n = len(wins)

    def loss(s: FloatArray) -> float:
        return float((wins * np.logaddexp(0, s[None, :] - s[:, None])).sum() / total)

    def gradient(s: FloatArray) -> FloatArray:
        flow = wins / (1 + np.exp(s[:, None] - s[None, :])) / total
        return flow.sum(axis=0) - flow.sum(axis=1)

    def hessian(s: FloatArray) -> FloatArray:
        p = 1 / (1 + np.exp(s[:, None] - s[None, :]))
        pairs = (wins + wins.T) * p * (1 - p) / total
        # The likelihood does not change where all strengths move alike; 1/n pins their sum at 0.
        return np.diag(pairs.sum(axis=1)) - pairs + 1 / n

    optimize: Any = module
    found = optimize.minimize(
        loss, np.zeros(n), jac=gradient, hess=hessian, method="trust-exact", options={"gtol": 1e-10}
    )
    strengths: FloatArray = found.x
    return strengths - strengths.mean()


def _elo(strengths: FloatArray, names: Sequence[str], anchor: str | None) -> FloatArray:
    zero = 0.0 if anchor is None else strengths[names.index(anchor)]
    return MEAN + SCALE * (strengths - zero)


def _groups(wins: FloatArray, connection: str) -> list[list[int]]:
    import scipy.sparse.csgraph as module  # pyright: ignore[reportMissingTypeStubs]

    csgraph: Any = module
    n, label = csgraph.connected_components(wins > 0, directed=True, connection=connection)
    return [[j for j in range(len(wins)) if label[j] == i] for i in range(n)]


def _check_connected(wins: FloatArray, names: Sequence[str]) -> None:
    apart = _groups(wins, "weak")
    if len(apart) > 1:
        listed = "; ".join(", ".join(names[i] for i in group) for group in apart)
        raise ValueError(f"the policies fall into {len(apart)} groups that never met: {listed}. Compare across them.")
    for group in _groups(wins, "strong"):
        rest = [i for i in range(len(names)) if i not in group]
        if rest and not wins[np.ix_(rest, group)].any():
            listed = ", ".join(names[i] for i in group)
            raise ValueError(
                f"{listed} never lost to, nor tied with, the others: the rating has no finite maximum. "
                "Compare more, or leave them out and say so."
            )
