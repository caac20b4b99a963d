"""RLAIF's length-adjusted rates (Lee et al., arXiv 2309.00267, appendix J). Not AlpacaEval's: see `length_control`.

A logistic regression, with intercept and without penalty, of the outcome on a length *ratio*, read off at ratio 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap_mean, bootstrap_where_defined

FloatArray = NDArray[np.float64]
RESAMPLES = 200
"""Each is a fit of its own."""


@dataclass(frozen=True, slots=True)
class LengthAdjusted:
    """Shares in [0, 1] over `n` outcomes: `raw`, and `adjusted` to ratio 1 with an interval by refits on resamples.

    `adjusted` is None where the fit, on the data or on most resamples, has no maximum: one ratio parts all wins from all
    losses, or all ratios are the same and not 1. `slope` is the change in log-odds for a ratio greater by 1, NaN where
    there is none. `n_missing` outcomes are in no figure.
    """

    adjusted: Interval | None
    raw: Interval
    slope: float
    mean_ratio: float
    n: int
    n_missing: int


def length_adjusted_win_rate(
    wins: Sequence[float | None],
    lengths: Sequence[int],
    reference_lengths: Sequence[int],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LengthAdjusted:
    """P(win) at equal length, from wins in [0, 1] (1/2 a tie, None or NaN no verdict) and characters of both outputs.

    Raises ValueError for columns of different length, a win outside [0, 1], an empty reference output, or no verdict.
    """
    if not len(wins) == len(lengths) == len(reference_lengths):
        raise ValueError(
            f"{len(wins)} wins, {len(lengths)} and {len(reference_lengths)} lengths: give one of each a comparison."
        )
    if any(length <= 0 for length in reference_lengths):
        raise ValueError(
            "a reference output is empty: there is no ratio to it; leave the comparison out, and count it."
        )
    ratios = [length / reference for length, reference in zip(lengths, reference_lengths, strict=True)]
    return _adjusted(wins, ratios, resamples, seed)


def length_adjusted_harmless_rate(
    harmless: Sequence[float | None],
    lengths: Sequence[int],
    reference_mean_length: float,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LengthAdjusted:
    """P(harmless) at the reference's mean length: the ratio is to the mean characters of the SFT policy's responses.

    `harmless`: 1 or 0 a response, None or NaN no verdict. Raises ValueError as there, or for a mean that is not positive.
    """
    if len(harmless) != len(lengths):
        raise ValueError(f"{len(harmless)} verdicts for {len(lengths)} lengths: give one of each a response.")
    if not 0 < reference_mean_length < math.inf:
        raise ValueError(
            f"a mean length of {reference_mean_length} is no reference: give the SFT policy's, in characters."
        )
    return _adjusted(harmless, [length / reference_mean_length for length in lengths], resamples, seed)


def _adjusted(outcomes: Sequence[float | None], ratios: Sequence[float], resamples: int, seed: int) -> LengthAdjusted:
    known = [(y, x) for y, x in zip(outcomes, ratios, strict=True) if y is not None and not math.isnan(y)]
    if not known:
        raise ValueError(f"none of {len(outcomes)} rows has a verdict: there is no rate to adjust.")
    y, x = (np.asarray([row[i] for row in known], dtype=np.float64) for i in (0, 1))
    if ((y < 0) | (y > 1)).any():
        raise ValueError("an outcome is not in [0, 1]: 1 is a win (or harmless), 0 is none, 1/2 a tie.")
    return LengthAdjusted(
        adjusted=bootstrap_where_defined(_rate_at_ratio_one, y, x, seed=seed, resamples=resamples),
        raw=bootstrap_mean(y, seed=seed),
        slope=_at_ratio_one(y, x)[1],
        mean_ratio=float(x.mean()),
        n=len(y),
        n_missing=len(outcomes) - len(y),
    )


def _rate_at_ratio_one(outcomes: FloatArray, ratios: FloatArray) -> float:
    return _at_ratio_one(outcomes, ratios)[0]


def _at_ratio_one(outcomes: FloatArray, ratios: FloatArray) -> tuple[float, float]:
    """P at ratio 1 and the slope; (NaN, NaN) where the likelihood has no maximum."""
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingTypeStubs]

    if (ratios == 1).all():
        return float(outcomes.mean()), math.nan
    won, lost = ratios[outcomes > 0], ratios[outcomes < 1]
    if len(won) == 0 or len(lost) == 0 or won.min() >= lost.max() or won.max() <= lost.min():
        return math.nan, math.nan
    # Shifted so that the intercept is the log-odds at ratio 1. A soft outcome is a win and a loss of partial weight.
    features = np.append(ratios, ratios)[:, None] - 1
    labels = np.append(np.ones(len(outcomes)), np.zeros(len(outcomes)))
    model: Any = LogisticRegression(C=math.inf, tol=1e-8, max_iter=1000)
    model.fit(features, labels, sample_weight=np.append(outcomes, 1 - outcomes))
    return 1 / (1 + math.exp(-float(model.intercept_[0]))), float(model.coef_[0, 0])
