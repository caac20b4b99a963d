"""Intervals for figures of a whole set, such as diversity across inputs: the jackknife (Efron & Tibshirani 1993, ch. 11).

A bootstrap would draw outputs twice, and twins are what diversity punishes: it is biased low. The jackknife leaves one
output out at a time: with theta_i the figure without output i, and their mean theta_.,

    SE^2 = (n - 1) / n  sum_i (theta_i - theta_.)^2,   interval theta +- t_(n-1) SE
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval
from truing.evaluation.diversity import ORDERS, VOCABULARY, ngrams

FloatArray = NDArray[np.float64]


def jackknife(value: float, left_out: Sequence[float]) -> Interval:
    """The figure `value` of a set with its 95 % interval, from the figures without each output, shape [n].

    [value, value] where no output changes anything. Raises ValueError for fewer than two, or one that is not finite.
    """
    import scipy.stats as module  # pyright: ignore[reportMissingTypeStubs]

    array = np.asarray(left_out, dtype=np.float64)
    n = len(array)
    if n < 2 or not np.isfinite(array).all() or not math.isfinite(value):
        raise ValueError(f"a jackknife of {n} outputs: give two or more figures, all of them finite.")
    stats: Any = module
    error = math.sqrt((n - 1) / n * float(((array - array.mean()) ** 2).sum()))
    width = float(stats.t.ppf(0.975, n - 1)) * error
    return Interval(value=value, low=value - width, high=value + width, n=n)


def jackknife_difference(
    value: float, left_out: Sequence[float], other: float, other_left_out: Sequence[float]
) -> Interval:
    """value - other, where both sets have an output of the same prompt at each place: it is left out of both at once.

    Raises ValueError as `jackknife`, or where the sets differ in size.
    """
    if len(left_out) != len(other_left_out):
        raise ValueError(f"{len(left_out)} and {len(other_left_out)} outputs: pair the two sets by prompt.")
    return jackknife(value - other, [a - b for a, b in zip(left_out, other_left_out, strict=True)])


def without_each(metric: Callable[[Sequence[str]], float], outputs: Sequence[str]) -> list[float]:
    """`metric` of the outputs without the i-th, for each i: n evaluations of it."""
    return [metric([*outputs[:i], *outputs[i + 1 :]]) for i in range(len(outputs))]


def distinct_without_each(outputs: Sequence[str]) -> list[float]:
    """`without_each(diversity.distinct, outputs)` from a single count of the n-grams."""
    return _without_each_count(outputs, lambda distinct, total: distinct / total)


def ead_without_each(outputs: Sequence[str]) -> list[float]:
    """`without_each(diversity.ead, outputs)` from a single count of the n-grams."""
    return _without_each_count(outputs, _adjusted)


def cosine_without_each(outputs: Sequence[str], n: int = 3) -> list[float]:
    """`without_each(diversity.ngram_cosine_diversity, outputs)` from a single sum of the directions u_j of the outputs.

    |S - u_i|^2 = |S|^2 - 2 S.u_i + |u_i|^2 with S the sum of all. NaN where a single output would be left.
    """
    directions: list[dict[tuple[str, ...], float]] = []
    summed: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for output in outputs:
        counts = Counter(ngrams(output, n))
        length = math.hypot(*counts.values())
        directions.append({gram: count / length for gram, count in counts.items()})
        for gram, weight in directions[-1].items():
            summed[gram] += weight
    squared = math.fsum(weight * weight for weight in summed.values())
    known, left = sum(map(bool, directions)), len(outputs) - 1
    found: list[float] = []
    for own in directions:
        apart = squared - 2 * math.fsum(summed[gram] * weight for gram, weight in own.items()) + bool(own)
        found.append(1 - (apart - (known - bool(own))) / (left * (left - 1)) if left > 1 else math.nan)
    return found


def _adjusted(distinct: FloatArray, total: FloatArray) -> FloatArray:
    return distinct / (-VOCABULARY * np.expm1(total * math.log1p(-1 / VOCABULARY)))


def _without_each_count(
    outputs: Sequence[str], figure: Callable[[FloatArray, FloatArray], FloatArray]
) -> list[float]:  # fmt: skip
    """Mean over n of `figure(distinct n-grams, n-grams)`, 0 where there are none, without each output.

    Without output i, the distinct n-grams are fewer by those that no other output has.
    """
    found = np.zeros(len(outputs))
    for n in ORDERS:
        own = [ngrams(output, n) for output in outputs]
        holders = Counter(chain.from_iterable(set(grams) for grams in own))
        alone = np.array([sum(holders[gram] == 1 for gram in set(grams)) for grams in own], dtype=np.float64)
        sizes = np.array([len(grams) for grams in own], dtype=np.float64)
        distinct, total = len(holders) - alone, sizes.sum() - sizes
        there = total > 0
        found[there] += figure(distinct[there], total[there])
    return (found / len(ORDERS)).tolist()
