"""Means of item-level scores, and differences of two policies' means over the items that both have.

Several scores of one item are several outputs to one prompt, which are not independent: they are averaged first, and
what is resampled is items.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from truing.algorithms.statistics import Interval, bootstrap_mean, wilson
from truing.evaluation.figure import Score


@dataclass(frozen=True, slots=True)
class Mean:
    """`interval` over items, None where no item has a score; `missing` scores have no value and are in no figure."""

    interval: Interval | None
    missing: int


def by_item(scores: Iterable[Score]) -> dict[str, float]:
    """Mean of the scores of each item that has one, in order of first mention."""
    values: dict[str, list[float]] = {}
    for score in scores:
        if score.value is not None:
            values.setdefault(score.item, []).append(score.value)
    return {item: sum(some) / len(some) for item, some in values.items()}


def mean_over_items(scores: Sequence[Score], *, seed: int) -> Mean:
    """Mean over items of each item's mean score, with its bootstrap interval over items."""
    values = list(by_item(scores).values())
    return Mean(bootstrap_mean(values, seed=seed) if values else None, _missing(scores))


def share_over_items(scores: Sequence[Score], *, seed: int) -> Mean:
    """As `mean_over_items`, of scores that are 0 or 1; Wilson's interval where each item has a single one and none is a tie.

    At 0 of n a bootstrap says [0, 0], Wilson's says what 0 of n can rule out. A draw, ½, is neither 0 nor 1.
    """
    found = by_item(scores)
    known = [score.value for score in scores if score.value is not None]
    if len(known) > len(found) or not found or not set(known) <= {0.0, 1.0}:
        return mean_over_items(scores, seed=seed)
    return Mean(wilson(round(sum(known)), len(known)), _missing(scores))


def paired_difference(policy: Sequence[Score], other: Sequence[Score], *, seed: int) -> Mean:
    """Mean over items of (policy - other), over the items that both have a score of; resampled are such items.

    `missing` counts items that only one of the two has a score of, or neither.
    """
    one, two = by_item(policy), by_item(other)
    both = [item for item in one if item in two]
    every = {score.item for score in (*policy, *other)}
    gaps = [one[item] - two[item] for item in both]
    return Mean(bootstrap_mean(gaps, seed=seed) if gaps else None, len(every) - len(both))


def _missing(scores: Sequence[Score]) -> int:
    return sum(score.value is None for score in scores)
