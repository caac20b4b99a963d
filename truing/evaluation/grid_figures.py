"""From the item-level scores of a grid to its figures: by cell, in distribution against each shift, over wordings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from truing.evaluation.figure import Figure, Place, Score
from truing.evaluation.generalisation import SplitScores, generalisation
from truing.evaluation.policy_figures import LEFT_OUT, SHARE, policy_figures
from truing.evaluation.robustness import spread, spread_intervals
from truing.evaluation.score_means import by_item

IN_DISTRIBUTION = "id"
"""The shift of data such as the policies were trained on."""
GAP = "gap: "
"""Begins the metric of a figure in distribution minus the same out of it."""
UNITS = {
    "win rate": SHARE,
    "win rate against reference": SHARE,
    "KL": "nats",
    "words": "words",
    "characters": "characters",
    "exact match": SHARE,
}
"""Units of metrics that have one, beside the accuracies, which are shares."""
SUMMARY = ": mean over wordings"
"""Ends the metric that sums up one of which every wording has a figure."""
ANSWERED = ("right answer", "pass@", "instructions followed", "instructions followed, loosely")
FORMED = ("valid JSON", "valid JSON in a fence", "fits the schema", "matches the pattern", "length as wanted")
"""What a program checks of an answer, and of its form."""
QUALITY = (
    "win rate",
    "win rate against reference",
    "reward",
    "accuracy",
    "accuracy, per character",
    "accuracy, per byte",
    "accuracy, mutual information",
    *ANSWERED,
    "ROUGE-L F1",
    "BERTScore F1",
    "exact match",
    "G-Eval",
    "score",
    "feedback used",
    *FORMED,
    "ROUGE-1 F1",
    "ROUGE-2 F1",
)
"""Metrics of which more is better and each item has its own, the one that decides first: of these there are gaps."""
FAMILIES = ("pass@", "G-Eval", "score")
"""Begin the names of several: pass@k for each k, a criterion of G-Eval, a score by another name."""


def grid_figures(
    scores: Sequence[Score], shifts: Mapping[str, str], against: Mapping[str, str], top: Mapping[str, float], seed: int
) -> list[Figure]:
    """Every figure of a grid.

    `shifts`: the shift of each data set. `against`: the policy that another one is compared with. `top`: of data sets with
    several wordings, the accuracy from which a wording counts as good.
    """
    units = {
        metric: unit_of(metric)
        for metric in dict.fromkeys(score.metric for score in scores)
        if not metric.endswith(LEFT_OUT)
    }
    cells: dict[tuple[str, float | None], list[Score]] = {}
    for score in scores:
        cells.setdefault((score.data, score.temperature), []).append(score)
    found: list[Figure] = []
    for (data, temperature), some in cells.items():
        shift = shifts[data]
        found += policy_figures(
            some, units, data=data, shift=shift, against=against, seed=seed, temperature=temperature
        )
        found += _spreads(some, Place("", data, shift, "", temperature), top.get(data, 0.5), seed)
    return found + gaps(scores, shifts, seed)


def unit_of(metric: str) -> str:
    """Unit of a grid's metric; "" for those without one."""
    return SHARE if metric.startswith(("accuracy", *ANSWERED, *FORMED)) else UNITS.get(metric, "")


def gaps(scores: Sequence[Score], shifts: Mapping[str, str], seed: int) -> list[Figure]:
    """In distribution minus each shifted data set, of each policy, temperature and quality metric (Kirk et al., §6.1).

    In distribution are the items of all such data sets together; an item's score is the mean of its outputs' and wordings'.
    """
    by_place: dict[tuple[str, float | None, str], dict[str, list[Score]]] = {}
    for score in scores:
        if is_quality(score.metric) and score.item:
            key = (score.policy, score.temperature, score.metric)
            by_place.setdefault(key, {}).setdefault(score.data, []).append(score)
    found: list[Figure] = []
    for (policy, temperature, metric), by_data in by_place.items():
        inside = [
            v for data, some in by_data.items() if shifts[data] == IN_DISTRIBUTION for v in by_item(some).values()
        ]
        for data, some in by_data.items():
            outside = list(by_item(some).values())
            if shifts[data] != IN_DISTRIBUTION and inside and outside:
                gap = generalisation(SplitScores(inside, outside), seed=seed).gap
                place = Place(policy, data, shifts[data], "", temperature)
                found.append(place.figure(f"{GAP}{metric}", unit_of(metric), gap))
    return found


def quality_rank(metric: str) -> int | None:
    """Its place in `QUALITY`, as itself, as its summary over wordings or as one of a family; None for all others."""
    name = metric.removesuffix(SUMMARY)
    return next((i for i, q in enumerate(QUALITY) if name == q or (q in FAMILIES and name.startswith(q))), None)


def is_quality(metric: str) -> bool:
    """Whether more of it is better."""
    return quality_rank(metric) is not None


def by_wording(scores: Sequence[Score], policy: str, metric: str) -> dict[str, list[float]]:
    """1 or 0 of each item by wording, over the items that have a score in all of them, in one order."""
    found: dict[str, dict[str, float]] = {}
    for score in scores:
        if score.policy == policy and score.metric == metric and score.value is not None:
            found.setdefault(score.variant, {})[score.item] = score.value
    common = [
        item for item in next(iter(found.values()), dict[str, float]()) if all(item in some for some in found.values())
    ]
    return {wording: [some[item] for item in common] for wording, some in found.items()}


def _spreads(scores: Sequence[Score], place: Place, top: float, seed: int) -> list[Figure]:
    """How much the wording matters: mean, deviation, worst tenth and top share over wordings (PAFT, §4.1)."""
    names = dict.fromkeys((s.policy, s.metric) for s in scores if s.metric.startswith("accuracy"))
    found: list[Figure] = []
    for policy, metric in names:
        hits = by_wording(scores, policy, metric)
        if len(hits) < 2 or not next(iter(hits.values())):
            continue
        at, one, ends = replace(place, policy=policy), spread(hits, top), spread_intervals(hits, top, seed=seed)
        note = f"{one.prompts} wordings"
        named = {
            SUMMARY: ends.mean,
            ": deviation over wordings": ends.deviation,
            ": worst tenth of wordings": ends.worst_tenth,
            f": wordings at {100 * top:g} % or above": ends.top,
        }
        found += [at.figure(f"{metric}{name}", SHARE, interval, note=note) for name, interval in named.items()]
        found.append(at.plain(f"{metric}: worst wording", SHARE, one.worst, ends.mean.n, note=note))
        found.append(at.plain(f"{metric}: best wording", SHARE, one.best, ends.mean.n, note=note))
    return found
