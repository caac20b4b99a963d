"""What one group of judged pairs says of the labeler (Lee et al., RLAIF, 2309.00267), each figure with its interval."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from truing.algorithms.calibration import Bin, calibration_error, equal_width, reliability
from truing.algorithms.statistics import Interval, binomial_two_sided, bootstrap, bootstrap_mean, bootstrap_share
from truing.labeling.annotators import cohen_kappa
from truing.labeling.judged import Judged

Key = TypeVar("Key", str, int, tuple[str, str])

EDGES = equal_width(10, low=0.5)
"""Edges of the calibration bins, over the probability of the response the labeler picks."""


@dataclass(frozen=True)
class Figures:
    """What a group of pairs says of the labeler; shares in [0, 1].

    `kappa` is Cohen's, of the labeler's pick (a where tied) and the human one, None where both always name the same
    one. It asks how often either says "a", so the order within pairs must not know the human choice: with the chosen
    response always as a it is 0 whatever the labeler does.
    `same_position_first` is the share of "first" among pairs in which one position won twice (None: there are none),
    and `position_p_value` the two-sided binomial test of its being a half. `mean_entropy` is in nats. `ece` is
    sum_bins n_bin / n |accuracy - confidence| (Guo et al., arXiv 1706.04599); in small groups it is biased upwards, and
    its bootstrap interval more so. The figures of position and order are over the pairs that were asked in both orders,
    and None where there is no such pair. `ties` counts the pairs with p = 1/2, which `alignment` takes as a preferred.
    """

    alignment: Interval
    kappa: Interval | None
    ties: int
    same_position_rate: Interval | None
    same_position_first: Interval | None
    position_p_value: float
    flip_rate: Interval | None
    mean_entropy: Interval
    label_mass: Interval
    ece: Interval
    calibration: tuple[Bin, ...]


def figures(judged: Sequence[Judged], *, seed: int) -> Figures:
    """All figures of one group of pairs. Raises ValueError where it is empty."""
    both = [pair for pair in judged if pair.both_orders]
    same = Counter(pair.same_position for pair in both)
    n_same = same["first"] + same["second"]
    which = [True] * same["first"] + [False] * same["second"]
    return Figures(
        alignment=alignment(judged, seed=seed),
        kappa=kappa(judged, seed=seed),
        ties=sum(pair.tied for pair in judged),
        same_position_rate=bootstrap_share([pair.same_position is not None for pair in both], seed=seed),
        same_position_first=bootstrap_share(which, seed=seed),
        position_p_value=binomial_two_sided(same["first"], n_same),
        flip_rate=flip_rate(judged, seed=seed),
        mean_entropy=bootstrap_mean([pair.entropy for pair in judged], seed=seed),
        label_mass=bootstrap_mean([pair.label_mass for pair in judged], seed=seed),
        ece=ece(judged, seed=seed),
        calibration=reliability(*_confidences(judged), EDGES),
    )


def flip_rate(judged: Sequence[Judged], *, seed: int) -> Interval | None:
    """Share of the pairs asked in both orders whose verdict changes with the order; None where there is no such pair."""
    return bootstrap_share([pair.flips for pair in judged if pair.both_orders], seed=seed)


def alignment(judged: Sequence[Judged], *, seed: int) -> Interval:
    """AI labeler alignment: the share of pairs whose argmax is the human choice (a tie counts as a)."""
    return bootstrap_mean([float(pair.agrees) for pair in judged], seed=seed)


def kappa(judged: Sequence[Judged], *, seed: int) -> Interval | None:
    """Cohen's kappa of the labeler and the human mark, as `Figures` has it."""
    picks = [int(pair.p >= 0.5) for pair in judged]
    return cohen_kappa(picks, [int(pair.human_first) for pair in judged], seed=seed)


def ece(judged: Sequence[Judged], *, seed: int) -> Interval:
    """Expected calibration error over `EDGES`, of the probability of the response picked and whether people pick it."""
    return bootstrap(partial(calibration_error, edges=EDGES), *_confidences(judged), seed=seed)


def length_group(longer_by: int, half: float, which: str = "human choice") -> str:
    """Where a pair stands by length: `which` response is longer, shorter or equal, by more or less than `half`."""
    if longer_by == 0:
        return f"{which} equally long"
    side = "longer" if longer_by > 0 else "shorter"
    extent = "more than" if abs(longer_by) > half else "at most"
    return f"{which} {side} by {extent} {half:g}"


def confidence_group(confidence: float) -> str:
    """The tenth that a confidence lies in: "0.5-0.6" holds [0.5, 0.6], the others (low, high]."""
    i = int(np.digitize(confidence, EDGES[2:-1:2], right=True))
    return f"0.{5 + i}-{(6 + i) / 10:.1f}"


def grouped(pairs: Sequence[Judged], key: Callable[[Judged], Key]) -> dict[Key, list[Judged]]:
    """The pairs by key, in the order in which each key first appears."""
    groups: dict[Key, list[Judged]] = {}
    for pair in pairs:
        groups.setdefault(key(pair), []).append(pair)
    return groups


def _confidences(judged: Sequence[Judged]) -> tuple[list[float], list[float]]:
    return [pair.confidence for pair in judged], [float(pair.agrees) for pair in judged]
