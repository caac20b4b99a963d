"""Intervals and tests: no figure leaves Truing without its n and its uncertainty."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate `value` from `n` items, and the confidence interval [low, high] in the unit of the value.

    With n = 1 every bootstrap resample is the sample, so low = high = value; the same happens where all values are equal (5 of 5
    correct gives [1, 1]). A zero width therefore means "no spread was seen", not "certain": read it beside n. `wilson`
    has a width at 0 of n and n of n too.
    """

    value: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Sequence[float] | FloatArray,
    *,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Mean of `values` (shape [n]) with its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    `groups` as `bootstrap` has them. Raises ValueError where `values` is empty or not finite: missing values are
    dropped and counted by the caller.
    """
    return bootstrap(_mean, values, seed=seed, groups=groups, resamples=resamples, level=level)


def together(groups: Sequence[Hashable]) -> Sequence[Hashable] | None:
    """The `groups` of a bootstrap whose rows are not independent within one. None, which draws rows, where all are of one group:
    nothing can then be said of others."""
    return groups if len(set(groups)) > 1 else None


def clustered_mean(values: Sequence[float], groups: Sequence[Hashable], *, seed: int) -> Interval:
    """Mean over rows, n their number; its interval draws groups, as `together` has them. Raises ValueError as `bootstrap_mean`."""
    return replace(bootstrap_mean(values, seed=seed, groups=together(groups)), n=len(values))


def bootstrap(
    statistic: Callable[..., float],
    *columns: Sequence[float] | FloatArray,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """`statistic(*columns)` with its percentile bootstrap interval, resampling rows: columns stay paired.

    Each column has shape [n]; `statistic` takes them as float arrays and returns a float. For ratios and other figures
    that are no mean of items. Resamples on which it is not finite (a ratio over nothing) are left out of the interval.
    `groups`: a name for each row; rows of one name depend on each other, so that they are drawn together, and the n of
    the interval counts names. None: each row is a group of its own.
    Raises ValueError where there are no columns or rows, columns or groups differ in length, a value is not finite, or
    the statistic is not finite on the data themselves or on most resamples.
    """
    arrays = _paired(columns, resamples, level)
    units = units_of(groups, len(arrays[0]))
    value = float(statistic(*arrays))
    if not np.isfinite(value):
        raise ValueError(f"the statistic is {value} on the {len(arrays[0])} rows given: report it as missing instead.")
    interval = _percentiles(value, _replicates(statistic, arrays, units, seed, resamples), level, units.n)
    if interval is None:
        raise ValueError(
            f"the statistic is undefined on most resamples of the {len(arrays[0])} rows: too few rows bear on it."
        )
    return interval


def bootstrap_where_defined(
    statistic: Callable[..., float],
    *columns: Sequence[float] | FloatArray,
    seed: int,
    groups: Sequence[Hashable] | None = None,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval | None:
    """`bootstrap` for figures that a group of rows may not have, such as kappa where all votes are the same.

    None where the statistic is not finite on the data or on most resamples; else, and for other faults, as there.
    """
    arrays = _paired(columns, resamples, level)
    units = units_of(groups, len(arrays[0]))
    value = float(statistic(*arrays))
    if not np.isfinite(value):
        return None
    return _percentiles(value, _replicates(statistic, arrays, units, seed, resamples), level, units.n)


def bootstrap_unpaired(
    statistic: Callable[..., float],
    *samples: Sequence[float] | FloatArray,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> Interval:
    """`bootstrap` for samples of different items, each resampled on its own (Efron & Tibshirani 1993, chapter 8).

    The samples may differ in length; the n of the interval is that of all of them. Raises ValueError as `bootstrap`
    does, but for lengths.
    """
    arrays = _checked(samples, resamples, level)
    value = float(statistic(*arrays))
    n = sum(len(array) for array in arrays)
    if not np.isfinite(value):
        raise ValueError(f"the statistic is {value} on the {n} items given: report it as missing instead.")
    rng = np.random.default_rng(seed)
    replicates = np.array(
        [statistic(*(array[rng.integers(len(array), size=len(array))] for array in arrays)) for _ in range(resamples)],
        dtype=np.float64,
    )
    interval = _percentiles(value, replicates, level, n)
    if interval is None:
        raise ValueError(f"the statistic is undefined on most resamples of the {n} items: too few items bear on it.")
    return interval


def ratio_of_sums(above: FloatArray, below: FloatArray) -> float:
    """sum above / sum below, columns of shape [n], for `bootstrap`: a mean over parts of items. NaN over nothing."""
    total = float(below.sum())
    return float(above.sum()) / total if total else math.nan


def wilson(count: int, n: int) -> Interval:
    """Share of `count` in `n` with Wilson's 95 % score interval (1927). Raises ValueError unless 0 <= count <= n, n > 0."""
    import scipy.stats as module  # pyright: ignore[reportMissingTypeStubs]

    if n < 1 or not 0 <= count <= n:
        raise ValueError(f"{count} of {n} is no share: it needs at least one item, and no more hits than items.")
    stats: Any = module
    found = stats.binomtest(count, n).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(value=count / n, low=float(found.low), high=float(found.high), n=n)


def binomial_two_sided(k: int, n: int) -> float:
    """P-value of k successes in n fair coin tosses: the exact two-sided binomial test, 2 P(X <= min(k, n-k)) up to 1.

    1.0 where n = 0: no tosses, no evidence. Raises ValueError unless 0 <= k <= n.
    """
    if not 0 <= k <= n:
        raise ValueError(f"k = {k} successes in n = {n} trials: k must lie between 0 and n.")
    i = np.arange(1, min(k, n - k) + 1)
    log_binomials = np.append(0.0, np.cumsum(np.log((n - i + 1) / i)))  # ln C(n, 0), ..., ln C(n, min(k, n - k))
    log_tail = float(np.logaddexp.reduce(log_binomials)) - n * math.log(2)
    return min(1.0, 2 * math.exp(log_tail))


def standardised(values: Sequence[float]) -> list[float]:
    """(x - mean) / (deviation + 1e-8), with the population's deviation; exactly 0 where all are equal, nothing for none."""
    array = np.asarray(values, np.float64)
    if (array == array[:1]).all():
        # The mean of equal values may round to another one, and the deviation to that difference.
        return [0.0] * len(values)
    return ((array - array.mean()) / (array.std() + 1e-8)).tolist()


def _mean(values: FloatArray) -> float:
    return float(values.mean())


def _checked(columns: Sequence[Sequence[float] | FloatArray], resamples: int, level: float) -> list[FloatArray]:
    if not columns or resamples < 1 or not 0 < level < 1:
        raise ValueError("bootstrap needs at least one column, resamples >= 1 and 0 < level < 1.")
    return [_column(values) for values in columns]


def _paired(columns: Sequence[Sequence[float] | FloatArray], resamples: int, level: float) -> list[FloatArray]:
    arrays = _checked(columns, resamples, level)
    if any(len(array) != len(arrays[0]) for array in arrays):
        raise ValueError(f"columns are paired rows, yet their lengths are {[len(array) for array in arrays]}.")
    return arrays


@dataclass(frozen=True)
class Units:
    """What is drawn: groups of rows, by first appearance. `order`: all rows, group by group; of each of the `n` groups
    the place of its first one in it, and its size.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    sizes: NDArray[np.intp]

    @property
    def n(self) -> int:
        """How many units there are."""
        return len(self.sizes)

    def rows(self, drawn: NDArray[np.intp]) -> NDArray[np.intp]:
        """The rows of the groups `drawn`, each as often as it was drawn."""
        if self.n == len(self.order):
            return drawn
        sizes = self.sizes[drawn]
        ends = np.cumsum(sizes)
        shifts: NDArray[np.intp] = np.repeat(self.starts[drawn] - (ends - sizes), sizes)
        return self.order[np.arange(len(shifts), dtype=np.intp) + shifts]


def units_of(groups: Sequence[Hashable] | None, rows: int) -> Units:
    """Rows of one name are one unit; without names each row is. Raises ValueError where there is not a name for each row."""
    names = range(rows) if groups is None else groups
    if len(names) != rows:
        raise ValueError(f"{len(names)} groups for {rows} rows: name one for each row.")
    codes = {name: i for i, name in enumerate(dict.fromkeys(names))}
    group = np.fromiter((codes[name] for name in names), np.intp, rows)
    sizes = np.bincount(group)
    return Units(np.argsort(group, kind="stable"), np.cumsum(sizes) - sizes, sizes)


def _replicates(
    statistic: Callable[..., float], arrays: list[FloatArray], units: Units, seed: int, resamples: int
) -> FloatArray:
    rng = np.random.default_rng(seed)
    replicates = np.empty(resamples)
    for i in range(resamples):
        rows = units.rows(rng.integers(units.n, size=units.n))
        replicates[i] = statistic(*(array[rows] for array in arrays))
    return replicates


def _percentiles(value: float, replicates: FloatArray, level: float, n: int) -> Interval | None:
    """None where fewer than half of the replicates are finite."""
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < len(replicates) / 2:
        return None
    tail = (1 - level) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high), n=n)


def _column(values: Sequence[float] | FloatArray) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected a non-empty list of numbers, got shape {array.shape}: nothing to resample.")
    if not np.isfinite(array).all():
        missing = int((~np.isfinite(array)).sum())
        raise ValueError(f"{missing} of {array.size} values are not finite: drop them, and report how many.")
    return array
