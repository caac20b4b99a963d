"""What one group of judged pairs says of the labeler (Lee et al., RLAIF, 2309.00267), each figure with its interval.

A pair that was judged by several criteria is several judgements and one item: figures are over judgements, and n counts
pairs. A resample draws prompts, each with all its pairs and their judgements, since pairs of one prompt are not independent.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from truing.algorithms.calibration import Bin, calibration_error, equal_width, reliability
from truing.algorithms.statistics import FloatArray, Interval, binomial_two_sided, bootstrap, bootstrap_mean, together
from truing.labeling.annotators import cohen_kappa
from truing.labeling.consensus import Position
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
    `same_position_first` is the share of "first" among judgements in which one position won twice (None: there are
    none). `position_p_value` is the two-sided binomial test of its being a half: a toss for each of the `position_pairs`
    prompts (pairs, where prompts are not known) in which one position won twice more often than the other did.
    `mean_entropy` is in nats. `ece` is sum_bins n_bin / n |accuracy - confidence| (Guo et al., arXiv 1706.04599); in small
    groups it is biased upwards, and its bootstrap interval more so. The figures of position and order are over the pairs
    that were asked in both orders, and None where there is no such pair. `ties` counts the judgements with p = 1/2, which
    `alignment` takes as a preferred, among the `judgements`: one for each pair and criterion. The bins of `calibration`
    hold judgements too.
    """

    alignment: Interval
    kappa: Interval | None
    judgements: int
    ties: int
    same_position_rate: Interval | None
    same_position_first: Interval | None
    position_p_value: float
    position_pairs: int
    flip_rate: Interval | None
    mean_entropy: Interval
    label_mass: Interval
    ece: Interval
    calibration: tuple[Bin, ...]


def figures(judged: Sequence[Judged], *, seed: int) -> Figures:
    """All figures of one group of pairs. Raises ValueError where it is empty."""
    both = [one for one in judged if one.both_orders]
    same = [one for one in both if one.same_position is not None]
    leanings = Counter(_leanings(same))
    tosses = leanings["first"] + leanings["second"]
    return Figures(
        alignment=alignment(judged, seed=seed),
        kappa=kappa(judged, seed=seed),
        judgements=len(judged),
        ties=sum(one.tied for one in judged),
        same_position_rate=_share(both, lambda one: one.same_position is not None, seed),
        same_position_first=_share(same, lambda one: one.same_position == "first", seed),
        position_p_value=binomial_two_sided(leanings["first"], tosses),
        position_pairs=tosses,
        flip_rate=flip_rate(judged, seed=seed),
        mean_entropy=_mean(judged, lambda one: one.entropy, seed),
        label_mass=_mean(judged, lambda one: one.label_mass, seed),
        ece=ece(judged, seed=seed),
        calibration=reliability(*_confidences(judged), EDGES),
    )


def flip_rate(judged: Sequence[Judged], *, seed: int) -> Interval | None:
    """Share of the judgements in both orders whose verdict changes with the order; None where there is none."""
    return _share([one for one in judged if one.both_orders], lambda one: one.flips, seed)


def alignment(judged: Sequence[Judged], *, seed: int) -> Interval:
    """AI labeler alignment: the share of judgements whose argmax is the human choice (a tie counts as a)."""
    return _mean(judged, lambda one: float(one.agrees), seed)


def kappa(judged: Sequence[Judged], *, seed: int) -> Interval | None:
    """Cohen's kappa of the labeler and the human mark, as `Figures` has it."""
    picks, marks = [int(one.p >= 0.5) for one in judged], [int(one.human_first) for one in judged]
    found = cohen_kappa(picks, marks, seed=seed, groups=drawn_together(judged))
    return None if found is None else counted(found, judged)


def ece(judged: Sequence[Judged], *, seed: int) -> Interval:
    """Expected calibration error over `EDGES`, of the probability of the response picked and whether people pick it."""
    error = partial(calibration_error, edges=EDGES)
    return counted(bootstrap(error, *_confidences(judged), seed=seed, groups=drawn_together(judged)), judged)


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


def _names(judged: Sequence[Judged]) -> list[Hashable]:
    """The pair of each judgement."""
    return [i if one.pair is None else one.pair for i, one in enumerate(judged)]


def drawn_together(judged: Sequence[Judged]) -> list[Hashable]:
    """The prompt of each judgement, or its pair where the prompt is unknown, or all have the same: nothing can then be
    said of other prompts."""
    pairs = _names(judged)
    prompts = [pair if one.prompt is None else one.prompt for pair, one in zip(pairs, judged, strict=True)]
    return list(together(prompts) or pairs)


def counted(found: Interval, judged: Sequence[Judged]) -> Interval:
    """The same with the number of pairs, whatever was drawn."""
    return replace(found, n=len(set(_names(judged))))


def mean_over(values: Sequence[float] | FloatArray, judged: Sequence[Judged], *, seed: int) -> Interval:
    """Mean of a value for each judgement."""
    return counted(bootstrap_mean(values, seed=seed, groups=drawn_together(judged)), judged)


def _mean(judged: Sequence[Judged], of: Callable[[Judged], float], seed: int) -> Interval:
    return mean_over([of(one) for one in judged], judged, seed=seed)


def _share(judged: Sequence[Judged], of: Callable[[Judged], bool], seed: int) -> Interval | None:
    return _mean(judged, lambda one: float(of(one)), seed) if judged else None


def _leanings(same: Sequence[Judged]) -> list[Position]:
    """Of each prompt the position that wins both orders more often, by all criteria and in all its pairs, if one does."""
    lead: dict[Hashable, int] = {}
    for name, one in zip(drawn_together(same), same, strict=True):
        lead[name] = lead.get(name, 0) + (1 if one.same_position == "first" else -1)
    return ["first" if by > 0 else "second" for by in lead.values() if by]


def _confidences(judged: Sequence[Judged]) -> tuple[list[float], list[float]]:
    return [one.confidence for one in judged], [float(one.agrees) for one in judged]
