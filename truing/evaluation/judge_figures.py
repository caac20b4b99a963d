"""From a judge's scores and people's of the same texts to its meta-evaluation, by criterion and over all of them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval
from truing.evaluation.figure import Figure, Place, Score
from truing.evaluation.meta_evaluation import meta_evaluation, score_table
from truing.evaluation.system_ordering import system_ordering

FloatArray = NDArray[np.float64]

HUMAN = "people"
"""Metric of the scores that people gave; that of a judge's scores is its name. The policy of both is the system."""
MEAN = "all criteria"
"""Variant of the orderings over all criteria together."""
ORDERING, CHALLENGE = "system ordering", "system ordering, challenge pairs"


SKIPPED = "documents are not counted whose scores are constant, or fewer than two"


@dataclass(frozen=True, slots=True)
class Tables:
    """Scores [documents, systems] of one judge and of people on one criterion, and the names of the systems."""

    criterion: str
    judge: FloatArray
    human: FloatArray
    systems: tuple[str, ...]


def judge_figures(
    scores: Sequence[Score], *, data: str, shift: str, challenge: Sequence[tuple[str, str]] = (), seed: int
) -> list[Figure]:
    """Figures of each judge: three coefficients at three levels, and how many pairs of systems it orders as people do.

    `challenge` names pairs of systems that are counted once more on their own. An ordering over all criteria takes the
    pairs of each together: its share is the mean of theirs where all have as many pairs.
    Raises ValueError where a text is scored twice, or a pair of `challenge` is not among the systems.
    """
    found: list[Figure] = []
    for judge in dict.fromkeys(score.metric for score in scores if score.metric != HUMAN):
        each = [
            _tables(scores, judge, criterion)
            for criterion in dict.fromkeys(score.variant for score in scores if score.metric == judge)
        ]
        for tables in each:
            place = Place(judge, data, shift, tables.criterion)
            found += [*_levels(place, tables, seed), *_orderings(place, [tables], challenge, seed)]
        if len(each) > 1 and len({tables.human.shape for tables in each}) == 1:
            found += _orderings(Place(judge, data, shift, MEAN), each, challenge, seed)
    return found


def _tables(scores: Sequence[Score], judge: str, criterion: str) -> Tables:
    """Documents and systems are those that the judge or people have scored on this criterion."""
    rows = [score for score in scores if score.variant == criterion and score.metric in (judge, HUMAN)]
    documents = sorted({score.item for score in rows})
    systems = tuple(sorted({score.policy for score in rows}))
    judged, human = (
        score_table(((s.item, s.policy, s.value) for s in rows if s.metric == who), documents, systems)
        for who in (judge, HUMAN)
    )
    return Tables(criterion, judged, human, systems)


def _levels(place: Place, tables: Tables, seed: int) -> list[Figure]:
    found = meta_evaluation(tables.judge, tables.human, seed=seed)
    figures: list[Figure] = []
    levels = (("summary", found.summary), ("sample", found.sample), ("system", found.system))
    for coefficient in ("Pearson", "Spearman", "Kendall"):
        for name, level in levels:
            interval = {"Pearson": level.pearson, "Spearman": level.spearman, "Kendall": level.kendall}[coefficient]
            missing = found.skipped if name == "summary" else found.missing
            note = SKIPPED if missing and name == "summary" else "" if interval else "a table is constant"
            figure = place.figure(f"{coefficient}, {name} level", "", interval, missing=missing, note=note)
            figures.append(replace(figure, n=level.n))
    return figures


def _orderings(place: Place, each: Sequence[Tables], challenge: Sequence[tuple[str, str]], seed: int) -> list[Figure]:
    """The criteria side by side in one table: a pair is two of its columns of one criterion."""
    judge, human = (np.hstack(tables) for tables in ([t.judge for t in each], [t.human for t in each]))
    wide = len(each[0].systems)
    pairs = list(combinations(range(wide), 2))
    found = [_ordering(place, ORDERING, judge, human, _everywhere(pairs, wide, len(each)), len(each), seed)]
    if challenge:
        unknown = next((name for pair in challenge for name in pair if name not in each[0].systems), None)
        if unknown is not None:
            raise ValueError(f"challenge: {unknown!r} is none of the systems {', '.join(each[0].systems)}.")
        index = {name: i for i, name in enumerate(each[0].systems)}
        named = [(index[a], index[b]) for a, b in challenge]
        found.append(_ordering(place, CHALLENGE, judge, human, _everywhere(named, wide, len(each)), len(each), seed))
    return found


def _everywhere(pairs: Sequence[tuple[int, int]], wide: int, criteria: int) -> list[tuple[int, int]]:
    return [(a + i * wide, b + i * wide) for i in range(criteria) for a, b in pairs]


def _ordering(
    place: Place, metric: str, judge: FloatArray, human: FloatArray, pairs: Sequence[tuple[int, int]],
    criteria: int, seed: int,
) -> Figure:  # fmt: skip
    if not pairs:
        return place.plain(metric, "share", None, 0, note="an order needs two systems")
    found = system_ordering(judge, human, seed=seed, pairs=pairs)
    average = f"{found.correct / criteria:g} of {found.pairs / criteria:g} pairs, the mean of {criteria} criteria"
    note = average if criteria > 1 else ""
    rate: Interval | None = found.rate
    figure = place.figure(metric, "share", rate, missing=found.undecided, note=note)
    return replace(figure, n=found.pairs)
