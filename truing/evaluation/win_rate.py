"""Win rate of a model against a baseline, from soft or hard preferences (Dubois et al., AlpacaEval 2, 2404.04475)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from truing.algorithms.statistics import Interval, bootstrap_mean


@dataclass(frozen=True)
class WinRate:
    """Rates, `standard_error` and `interval` in percent; counts in comparisons.

    `win_rate` is the mean preference; `discrete_win_rate` counts a win as 1 and a draw (exactly 0.5) as 1/2.
    `standard_error` has ddof = 1 and is NaN for a single comparison. `n_missing` comparisons are in no other figure.
    """

    win_rate: float
    standard_error: float
    discrete_win_rate: float
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int
    n_missing: int
    interval: Interval


def win_rate(preferences: Sequence[float | None], *, seed: int = 0) -> WinRate:
    """Win rate from `preferences`: P(model beats baseline) in [0, 1], one a comparison; None or NaN = no verdict.

    `seed` is that of the bootstrap. Raises ValueError for a preference outside [0, 1], or where none is left.
    """
    judged = [p for p in preferences if p is not None and not math.isnan(p)]
    outside = [p for p in judged if not 0 <= p <= 1]
    if outside:
        raise ValueError(f"preference {outside[0]} is not in [0, 1]: convert a 1..2 scale with from_alpaca.")
    if not judged:
        raise ValueError(f"none of {len(preferences)} comparisons has a verdict: there is no win rate to report.")
    percent = 100 * np.asarray(judged, dtype=np.float64)
    n = len(judged)
    n_wins = sum(p > 0.5 for p in judged)
    n_draws = sum(p == 0.5 for p in judged)
    interval = bootstrap_mean(percent, seed=seed)
    return WinRate(
        win_rate=interval.value,
        standard_error=float(percent.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan,
        discrete_win_rate=100 * (n_wins + n_draws / 2) / n,
        n_wins=n_wins,
        n_wins_base=n - n_wins - n_draws,
        n_draws=n_draws,
        n_total=n,
        n_missing=len(preferences) - n,
        interval=interval,
    )


def from_alpaca(preference: float | None) -> float | None:
    """P(model wins) from AlpacaEval's scale: 1 = baseline wins, 2 = model wins, 1.5 (or 0, its legacy form) = draw.

    None and NaN (an unparsable judgement) give None. Raises ValueError for any other number outside [1, 2].
    """
    if preference is None or math.isnan(preference):
        return None
    if preference == 0:
        return 0.5
    if not 1 <= preference <= 2:
        raise ValueError(f"preference {preference} is neither in [1, 2] nor 0: it is not on AlpacaEval's scale.")
    return preference - 1


def average_length(lengths: Sequence[int]) -> int:
    """AlpacaEval's `avg_length`: mean characters of the model's outputs, cut off (not rounded) to a whole number.

    Over all outputs, judged or not; an empty one counts as 0. Raises ValueError for no output or a negative length.
    """
    if not lengths:
        raise ValueError("no output: an average length needs at least one.")
    if min(lengths) < 0:
        raise ValueError(f"length {min(lengths)} is negative: give the characters of each output, 0 for an empty one.")
    return sum(lengths) // len(lengths)
