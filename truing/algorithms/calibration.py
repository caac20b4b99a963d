"""How far predicted probabilities can be taken at their word, against outcomes of 0 or 1.

Bins hold (low, high], the first one its low edge too. `confidence` is P(1) as predicted and `accuracy` the share of
outcomes that are 1: of a classifier's pick, P(pick) and whether it was right. Bins, and the error over them, take soft
outcomes too, such as the share of votes: their mean is the share that is 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap, bootstrap_mean

FloatArray = NDArray[np.float64]

FLOOR = math.exp(-20)
"""Probabilities count as at least this and at most 1 minus it in the log loss: a certain error costs 20 nats, not infinity."""


@dataclass(frozen=True)
class Bin:
    """`n` predictions in (low, high]: their mean, and the mean outcome, the share that is 1."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Figures over the predictions that there are, which are the n of each interval; `missing` ones are in none.

    `ece` has bins of equal width, `ece_equal_mass` of equal numbers; both are biased upwards in small samples, and their
    intervals more so. `log_loss` is in nats, with `clipped` predictions moved to `FLOOR` or 1 - `FLOOR`.
    `curve` is the reliability curve, of bins of equal width.
    """

    ece: Interval
    ece_equal_mass: Interval
    brier: Interval
    log_loss: Interval
    clipped: int
    missing: int
    curve: tuple[Bin, ...]


def calibration(
    predicted: Sequence[float | None], outcomes: Sequence[float | bool], *, bins: int = 10, seed: int
) -> Calibration:
    """All figures of predictions P(1) against 0/1 outcomes; None or NaN = no prediction.

    Edges of equal mass are found on the data once and kept in every resample. `seed` is that of the bootstrap.
    Raises ValueError where no prediction is left, or as `checked` does.
    """
    if len(predicted) != len(outcomes):
        raise ValueError(f"{len(predicted)} predictions of {len(outcomes)} outcomes: give one for each.")
    given = [(p, float(y)) for p, y in zip(predicted, outcomes, strict=True) if p is not None and not math.isnan(p)]
    p, y = checked([one for one, _ in given], [one for _, one in given])
    width, mass = equal_width(bins), equal_mass(p, bins)
    return Calibration(
        ece=bootstrap(partial(calibration_error, edges=width), p, y, seed=seed),
        ece_equal_mass=bootstrap(partial(calibration_error, edges=mass), p, y, seed=seed),
        brier=bootstrap_mean(brier(p, y), seed=seed),
        log_loss=bootstrap_mean(log_loss(p, y), seed=seed),
        clipped=int(((p < FLOOR) | (p > 1 - FLOOR)).sum()),
        missing=len(predicted) - len(given),
        curve=reliability(p, y, width),
    )


def checked(
    predicted: Sequence[float] | FloatArray, outcomes: Sequence[float] | FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Both as arrays of shape [n]. Raises ValueError unless there are as many, P in [0, 1], outcomes 0 or 1, n >= 1."""
    p, y = _soft(predicted, outcomes)
    if not np.isin(y, (0, 1)).all():
        raise ValueError("an outcome is neither 0 nor 1: a soft outcome has no calibration of this kind.")
    return p, y


def equal_width(bins: int, low: float = 0.0) -> FloatArray:
    """`bins` + 1 edges from `low` to 1. Raises ValueError for fewer than one bin."""
    if bins < 1:
        raise ValueError(f"{bins} bins: a curve has at least one.")
    return np.linspace(low, 1, bins + 1)


def equal_mass(predicted: Sequence[float] | FloatArray, bins: int) -> FloatArray:
    """Edges at the quantiles of the predictions; equal predictions share a bin, so there may be fewer than `bins`.

    Where the lowest prediction alone makes up a bin, the first edge stands twice: that bin is from it to itself.
    """
    if bins < 1:
        raise ValueError(f"{bins} bins: a curve has at least one.")
    quantiles = np.quantile(np.asarray(predicted, np.float64), np.linspace(0, 1, bins + 1), method="lower")
    edges = np.unique(np.asarray(quantiles, np.float64))
    return np.append(edges[0], edges) if quantiles[0] == quantiles[1] else edges


def reliability(
    predicted: Sequence[float] | FloatArray, outcomes: Sequence[float] | FloatArray, edges: FloatArray
) -> tuple[Bin, ...]:
    """The bins between `edges` that hold a prediction, by rising probability.

    Raises ValueError as `checked` does, but takes outcomes in [0, 1].
    """
    p, y = _soft(predicted, outcomes)
    where = _bin_of(p, edges)
    return tuple(
        Bin(float(edges[i]), float(edges[i + 1]), int((where == i).sum()), _mean(p[where == i]), _mean(y[where == i]))
        for i in np.unique(where)
    )


def calibration_error(predicted: FloatArray, outcomes: FloatArray, edges: FloatArray) -> float:
    """Expected calibration error: sum_bins n_bin / n |accuracy - confidence| (Guo et al., arXiv 1706.04599, eq. 3).

    Outcomes in [0, 1].
    """
    excess = np.bincount(_bin_of(predicted, edges), weights=outcomes - predicted)
    return float(np.abs(excess).sum() / len(outcomes))


def brier(predicted: Sequence[float] | FloatArray, outcomes: Sequence[float] | FloatArray) -> FloatArray:
    """(p - y)^2 of each prediction (Brier 1950). Raises ValueError as `checked` does."""
    p, y = checked(predicted, outcomes)
    return (p - y) ** 2


def log_loss(
    predicted: Sequence[float] | FloatArray, outcomes: Sequence[float] | FloatArray, floor: float = FLOOR
) -> FloatArray:
    """-ln P(outcome) of each prediction in nats, P at least `floor`. Raises ValueError as `checked` does."""
    p, y = checked(predicted, outcomes)
    return -np.log(np.maximum(np.where(y == 1, p, 1 - p), floor))


def _soft(
    predicted: Sequence[float] | FloatArray, outcomes: Sequence[float] | FloatArray
) -> tuple[FloatArray, FloatArray]:
    """As `checked`, with outcomes in [0, 1]."""
    p, y = np.asarray(predicted, np.float64), np.asarray(outcomes, np.float64)
    if p.ndim != 1 or p.shape != y.shape or not p.size:
        raise ValueError(f"predictions of shape {p.shape}, outcomes of {y.shape}: give one of each, and at least one.")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("a prediction is no probability in [0, 1]: drop missing ones, and report how many.")
    if not ((y >= 0) & (y <= 1)).all():
        raise ValueError("an outcome is not in [0, 1]: give whether it came true, or how often.")
    return p, y


def _bin_of(predicted: FloatArray, edges: FloatArray) -> NDArray[np.intp]:
    return np.digitize(predicted, edges[1:-1], right=True)


def _mean(values: FloatArray) -> float:
    return float(values.mean())
