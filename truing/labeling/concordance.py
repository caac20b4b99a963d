"""Several labelers, or one labeler asked in several ways, over the same pairs: do their answers go together?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap, bootstrap_where_defined
from truing.labeling.agreement import Row, interval_row
from truing.labeling.figures import alignment, counted, drawn_together, mean_over
from truing.labeling.judged import Judged

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PromptSensitivity:
    """How much the wording of the question matters, over the `n` of each interval's pairs.

    `alignment` by wording; its `lowest`, `highest` and standard deviation `spread` (ddof = 1) over the wordings. Pairs
    are resampled for all wordings together, yet the spread still holds the noise of few pairs: wordings that
    differ by luck alone have a spread above 0. `changed` is the share of pairs on which not all wordings pick the same
    (a, b, or neither).
    """

    alignment: Mapping[str, Interval]
    lowest: Interval
    highest: Interval
    spread: Interval
    changed: Interval

    def as_rows(self) -> list[Row]:
        """JSON-able rows as those of `TrustReport`, with the scope "wording"."""
        rows = [interval_row("wording", name, "alignment", interval) for name, interval in self.alignment.items()]
        return [
            *rows,
            interval_row("wording", "all", "lowest alignment", self.lowest),
            interval_row("wording", "all", "highest alignment", self.highest),
            interval_row("wording", "all", "alignment spread", self.spread),
            interval_row("wording", "all", "verdict changed", self.changed),
        ]


def prompt_sensitivity(by_wording: Mapping[str, Sequence[Judged]], *, seed: int) -> PromptSensitivity:
    """Spread of the alignment over wordings (template, style) under which the same pairs were judged, in one order.

    Raises ValueError for fewer than two wordings, or where they did not judge the same pairs: a pair that failed
    under one wording is left out of all.
    """
    if len(by_wording) < 2:
        raise ValueError(f"{len(by_wording)} wordings: a spread needs the pairs judged under at least two.")
    _check_same_pairs(by_wording)
    agrees = [[float(pair.agrees) for pair in judged] for judged in by_wording.values()]
    verdicts = zip(*([pair.pick for pair in judged] for judged in by_wording.values()), strict=True)
    one = next(iter(by_wording.values()))

    def over_all(of: Callable[[FloatArray], float]) -> Interval:
        """`of` the alignments `[wordings]`."""
        groups = drawn_together(one)
        return counted(bootstrap(lambda *c: of(np.mean(c, axis=1)), *agrees, seed=seed, groups=groups), one)

    return PromptSensitivity(
        alignment={name: alignment(judged, seed=seed) for name, judged in by_wording.items()},
        lowest=over_all(lambda means: float(means.min())),
        highest=over_all(lambda means: float(means.max())),
        spread=over_all(lambda means: float(means.std(ddof=1))),
        changed=mean_over([float(len(set(of_pair)) > 1) for of_pair in verdicts], one, seed=seed),
    )


def kendalls_w(p_by_labeler: Sequence[Sequence[float]], *, seed: int) -> Interval | None:
    """Kendall's coefficient of concordance of m labelers that each gave P(a preferred) to the same n pairs.

        W = 12 S / (m^2 (n^3 - n) - m sum_j T_j),   S = sum_i (R_i - m (n + 1) / 2)^2,   T_j = sum_ties (t^3 - t)

    R_i is the sum of the ranks that pair i has with the labelers, tied values sharing their mean rank, and T_j runs over
    the groups of t tied values of labeler j (Kendall & Gibbons 1990, chapter 6). 1: all rank the pairs alike; 0: their
    ranks cancel. Naming all pairs the other way round changes nothing. None where every labeler gives all pairs the
    same. `p_by_labeler` has shape [m, n]. Raises ValueError for fewer than two labelers or no pair.
    """
    if len(p_by_labeler) < 2:
        raise ValueError(f"{len(p_by_labeler)} labelers: concordance needs at least two over the same pairs.")
    return bootstrap_where_defined(_concordance, *p_by_labeler, seed=seed)


def _concordance(*labelers: FloatArray) -> float:
    m, n = len(labelers), len(labelers[0])
    ranks, ties = zip(*(_ranks(values) for values in labelers), strict=True)
    squares = float(((np.sum(ranks, axis=0) - m * (n + 1) / 2) ** 2).sum())
    below = m**2 * (n**3 - n) - m * sum(ties)
    return 12 * squares / below if below else float("nan")


def _ranks(values: FloatArray) -> tuple[FloatArray, int]:
    """Ranks from 1, ties at their mean rank, and sum of t^3 - t over the groups of t tied values."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group], int((sizes**3 - sizes).sum())


def _check_same_pairs(by_wording: Mapping[str, Sequence[Judged]]) -> None:
    reference, *others = by_wording
    known = [_pair_of(pair) for pair in by_wording[reference]]
    for name in others:
        found = [_pair_of(pair) for pair in by_wording[name]]
        if len(found) != len(known):
            raise ValueError(
                f"{name!r} judged {len(found)} pairs, {reference!r} {len(known)}: keep only those judged under all."
            )
        differs = next((i for i, (one, two) in enumerate(zip(known, found, strict=True)) if one != two), None)
        if differs is not None:
            raise ValueError(
                f"pair {differs} of {name!r} is not that of {reference!r}: give the same pairs in the same order."
            )


def _pair_of(pair: Judged) -> tuple[bool, str, int]:
    return pair.human_first, pair.domain, pair.length_gap
