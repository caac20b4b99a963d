"""From item-level scores to figures by policy and variant, and the differences of two policies over the same items."""

from collections.abc import Mapping, Sequence

from truing.evaluation.figure import Figure, Place, Score
from truing.evaluation.leave_one_out import jackknife, jackknife_difference
from truing.evaluation.score_means import Mean, mean_over_items, paired_difference, share_over_items

SHARE = "share"
"""Unit of scores that are 0 or 1."""
LEFT_OUT = ", left out"
"""Ends the metric of a set without the item's output; the set's own figure is the score whose item is ""."""
DELTA = "Δ "
"""Begins the metric of a difference."""

Scores = Mapping[tuple[str, str], Mapping[str, Sequence[Score]]]
"""By (variant, policy), then by metric."""


def policy_figures(
    scores: Sequence[Score],
    units: Mapping[str, str],
    *,
    data: str,
    shift: str,
    against: Mapping[str, str],
    seed: int,
    temperature: float | None = None,
) -> list[Figure]:
    """A figure for each policy, variant and metric of `units` (metric -> unit), in the order of first mention.

    `against` names the policy that another one is compared with: the differences follow, as metrics that begin with Δ,
    paired by item. Means over items have bootstrap intervals, shares Wilson's, figures of a set a jackknife's.
    """
    grouped = _grouped(scores)
    figures = [
        _figure(Place(policy, data, shift, variant, temperature), metric, unit, found.get(metric, ()), found, seed)
        for (variant, policy), found in grouped.items()
        for metric, unit in units.items()
        if metric in found
    ]
    for (variant, policy), found in grouped.items():
        other = grouped.get((variant, against.get(policy, "")))
        if other is not None:
            place = Place(f"{policy} − {against[policy]}", data, shift, variant, temperature)
            figures += [
                _difference(place, metric, unit, found, other, seed)
                for metric, unit in units.items()
                if metric in found and metric in other
            ]
    return figures


def at_least(metric: str, threshold: float) -> str:
    """What the share of scores of at least `threshold` is called."""
    return f"{metric} ≥ {threshold:g}"


def is_of_set(scores: Sequence[Score]) -> bool:
    """Whether a metric belongs to the set as a whole."""
    return len(scores) == 1 and scores[0].item == ""


def _grouped(scores: Sequence[Score]) -> dict[tuple[str, str], dict[str, list[Score]]]:
    grouped: dict[tuple[str, str], dict[str, list[Score]]] = {}
    for score in scores:
        grouped.setdefault((score.variant, score.policy), {}).setdefault(score.metric, []).append(score)
    return grouped


def _figure(
    place: Place, metric: str, unit: str, some: Sequence[Score], found: Mapping[str, Sequence[Score]], seed: int
) -> Figure:
    if is_of_set(some):
        whole, left = some[0], found.get(metric + LEFT_OUT, ())
        if whole.value is None:
            return place.plain(metric, unit, None, 0, note=whole.reason)
        if not left:
            return place.plain(metric, unit, whole.value, _items(found), note=whole.reason)
        known = [score.value for score in left if score.value is not None]
        missing, n = len(left) - len(known), len(known)
        if n < 2:
            note = whole.reason or "no interval: undefined without each output"
            return place.plain(metric, unit, whole.value, len(left), note=note)
        return place.figure(metric, unit, jackknife(whole.value, known), missing=missing, note=whole.reason)
    mean = share_over_items(some, seed=seed) if unit == SHARE else mean_over_items(some, seed=seed)
    return place.figure(metric, unit, mean.interval, missing=mean.missing, note=_reasons(some, mean))


def _difference(
    place: Place, metric: str, unit: str, found: Mapping[str, Sequence[Score]], other: Mapping[str, Sequence[Score]],
    seed: int,
) -> Figure:  # fmt: skip
    name, one, two = f"{DELTA}{metric}", found[metric], other[metric]
    if not is_of_set(one) or not is_of_set(two):
        mean = paired_difference(one, two, seed=seed)
        return place.figure(name, unit, mean.interval, missing=mean.missing, note="" if mean.interval else UNPAIRED)
    value, other_value = one[0].value, two[0].value
    left, other_left = found.get(metric + LEFT_OUT, ()), other.get(metric + LEFT_OUT, ())
    known = {score.item: score.value for score in left if score.value is not None}
    other_known = {score.item: score.value for score in other_left if score.value is not None}
    if value is None or other_value is None:
        return place.plain(name, unit, None, 0, note=UNDEFINED)
    if set(known) != set(other_known):
        return place.plain(name, unit, None, 0, missing=len(set(known) ^ set(other_known)), note=UNPAIRED)
    if len(known) < 2:
        return place.plain(name, unit, value - other_value, min(_items(found), _items(other)), note=one[0].reason)
    pairs = [other_known[item] for item in known]
    return place.figure(name, unit, jackknife_difference(value, list(known.values()), other_value, pairs))


UNDEFINED = "undefined for one of the two"
UNPAIRED = "the two have not answered the same prompts"


def _items(found: Mapping[str, Sequence[Score]]) -> int:
    """Items that have a score of any metric: the n of a figure of the whole set."""
    items = {score.item for some in found.values() for score in some if score.value is not None}
    return len(items - {""})


def _reasons(some: Sequence[Score], mean: Mean) -> str:
    """Why scores are missing, each reason with its count."""
    counts: dict[str, int] = {}
    for score in some:
        if score.value is None:
            counts[score.reason] = counts.get(score.reason, 0) + 1
    found = "; ".join(f"{n} {reason}" for reason, n in counts.items())
    return found or ("" if mean.interval else "there is no score")
