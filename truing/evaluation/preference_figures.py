"""From preferences against a baseline to AlpacaEval's figures of each model (Dubois et al., arXiv 2404.04475)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from truing.algorithms.statistics import bootstrap_mean
from truing.evaluation.figure import Figure, Place, Score
from truing.evaluation.length_control import Gamed, length_controlled_win_rate
from truing.evaluation.win_rate import average_length, win_rate

PREFERENCE = "preference"
"""Metric of a score: P(model beats the baseline), in [0, 1]."""
LENGTH, BASELINE_LENGTH = "characters", "characters of the baseline"


@dataclass(frozen=True, slots=True)
class LengthControl:
    """Which length-controlled win rate is wanted: the minimal form, or with both tables the published one.

    `difficulty` is by instruction: the items are its indices. `resamples` of the interval, 0 for none.
    """

    name: str
    difficulty: Sequence[float] | None
    gamed: Gamed | None
    resamples: int


def preference_figures(
    scores: Sequence[Score], *, data: str, shift: str, control: LengthControl | None, seed: int
) -> list[Figure]:
    """Figures of each policy, the highest win rate first.

    Raises ValueError where an item of a policy is no index of the table of difficulties.
    """
    by_policy: dict[str, dict[str, list[Score]]] = {}
    for score in scores:
        by_policy.setdefault(score.policy, {}).setdefault(score.metric, []).append(score)
    found: list[list[Figure]] = []
    for policy, metrics in by_policy.items():
        place = Place(policy, data, shift, "")
        own = _win_rates(place, metrics[PREFERENCE], seed)
        own += _length(place, metrics.get(LENGTH, []), seed)
        if control is not None:
            own.append(_length_controlled(place, metrics, control, seed))
        found.append(own)
    found.sort(key=lambda own: -1.0 if own[0].value is None else own[0].value, reverse=True)
    return [figure for own in found for figure in own]


def _win_rates(place: Place, preferences: Sequence[Score], seed: int) -> list[Figure]:
    values = [score.value for score in preferences]
    missing = sum(value is None for value in values)
    names = ("win rate", "standard error", "discrete win rate", "wins", "draws", "losses")
    if missing == len(values):
        units = ("%", "points", "%", "count", "count", "count")
        note = "no comparison has a verdict"
        return [
            place.plain(name, unit, None, 0, missing=missing, note=note)
            for name, unit in zip(names, units, strict=True)
        ]
    rate = win_rate(values, seed=seed)
    discrete = [100.0 * (v > 0.5) + 50.0 * (v == 0.5) for v in values if v is not None]
    against = preferences[0].against
    return [
        place.figure(names[0], "%", rate.interval, missing=missing, note=f"against {against}"),
        place.plain(names[1], "points", rate.standard_error, rate.n_total, missing=missing, note=_one(rate.n_total)),
        place.figure(names[2], "%", bootstrap_mean(discrete, seed=seed), missing=missing),
        place.plain(names[3], "count", rate.n_wins, rate.n_total, missing=missing),
        place.plain(names[4], "count", rate.n_draws, rate.n_total, missing=missing),
        place.plain(names[5], "count", rate.n_wins_base, rate.n_total, missing=missing),
    ]


def _one(n: int) -> str:
    return "" if n > 1 else "undefined for one comparison"


def _length(place: Place, lengths: Sequence[Score], seed: int) -> list[Figure]:
    """AlpacaEval's average length, cut off to a whole number; its interval is that of the mean."""
    known = [score.value for score in lengths if score.value is not None]
    if not known:
        return []
    mean = bootstrap_mean(known, seed=seed)
    value = float(average_length([round(length) for length in known]))
    note = "mean, cut off to a whole number as AlpacaEval does"
    figure = place.figure("average length", "characters", mean, missing=len(lengths) - len(known), note=note)
    return [replace(figure, value=value)]


def _length_controlled(place: Place, metrics: dict[str, list[Score]], control: LengthControl, seed: int) -> Figure:
    name = f"length-controlled win rate, {control.name}"
    preferences = metrics[PREFERENCE]
    own, base = ({s.item: s.value for s in metrics.get(each, [])} for each in (LENGTH, BASELINE_LENGTH))
    usable = [s for s in preferences if own.get(s.item) is not None and base.get(s.item) is not None]
    missing = len(preferences) - sum(s.value is not None for s in usable)
    try:
        found = length_controlled_win_rate(
            [s.value for s in usable],
            [round(base[s.item] or 0) for s in usable],
            [round(own[s.item] or 0) for s in usable],
            difficulty=None if control.difficulty is None else [control.difficulty[int(s.item)] for s in usable],
            gamed=control.gamed,
            resamples=control.resamples,
            seed=seed,
        )
    except ValueError as error:
        return place.plain(name, "%", None, 0, missing=missing, note=str(error))
    moved = "moved so far from the win rate that the fit may have failed" if found.extreme else ""
    if found.interval is None:
        wide = "no interval: most resamples have too few different instructions" if control.resamples else ""
        note = "; ".join(filter(None, (wide, moved)))
        return place.plain(name, "%", found.length_controlled, found.n, missing=missing, note=note)
    note = "; ".join(filter(None, (f"interval from {control.resamples} refits", moved)))
    return place.figure(name, "%", found.interval, missing=missing, note=note)
