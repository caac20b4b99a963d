"""Generalisation: a policy's scores in distribution and out of it (Kirk et al., arXiv 2310.06452, §4 and §6.1).

A gap alone rewards a weak policy, which has little to lose: the three figures go together.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap_mean, bootstrap_unpaired

FloatArray = NDArray[np.float64]
Scores = Sequence[float | None]

LENGTH_LIMIT = 245
"""Words up to which a TL;DR post is in distribution in the paper's length split."""


@dataclass(frozen=True, slots=True)
class SplitScores:
    """Scores of one policy on the items of each split; None or NaN where an item has none."""

    id: Scores
    ood: Scores


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of the items in distribution and out of it, ascending; `missing` items are in neither.

    `threshold` is the largest measure that is in distribution: words, or a distance; None for labels.
    """

    id: tuple[int, ...]
    ood: tuple[int, ...]
    missing: int
    threshold: float | None = None

    def scores(self, scores: Scores) -> SplitScores:
        """The `scores` of the items, in the order in which they were split, by split."""
        total = len(self.id) + len(self.ood) + self.missing
        if len(scores) != total:
            raise ValueError(f"{len(scores)} scores for the {total} items that were split: give one an item, in order.")
        return SplitScores([scores[row] for row in self.id], [scores[row] for row in self.ood])


@dataclass(frozen=True, slots=True)
class Generalisation:
    """Mean score in distribution, out of it, and `gap` = id - ood, in the unit of the scores.

    The gap's n is that of both splits. `missing_id` and `missing_ood` items have no score and are in no figure.
    """

    id: Interval
    ood: Interval
    gap: Interval
    missing_id: int
    missing_ood: int


def generalisation(scores: SplitScores, *, seed: int = 0) -> Generalisation:
    """The figures of one policy. For the gap's interval, items of the two splits are resampled independently.

    Raises ValueError where a split has no score.
    """
    in_it, out_of_it = _defined(scores.id, "in distribution"), _defined(scores.ood, "out of distribution")
    return Generalisation(
        bootstrap_mean(in_it, seed=seed),
        bootstrap_mean(out_of_it, seed=seed),
        bootstrap_unpaired(_gap, in_it, out_of_it, seed=seed),
        len(scores.id) - len(in_it),
        len(scores.ood) - len(out_of_it),
    )


def difference(policy: SplitScores, other: SplitScores, *, seed: int = 0) -> Generalisation:
    """The figures of `policy` minus those of `other` on the same items: who generalises better, and by how much.

    Paired bootstrap: an item's two scores are resampled together, so that what makes an item hard for both is not in
    the interval. `gap` is the difference of the gaps. An item counts as missing where either score is.
    Raises ValueError where the policies differ in the number of items, or a split has no item with both scores.
    """
    in_it, out_of_it = _paired(policy.id, other.id), _paired(policy.ood, other.ood)
    return generalisation(SplitScores(in_it, out_of_it), seed=seed)


def split_by_label(labels: Sequence[str | None], in_distribution: Collection[str]) -> Split:
    """In distribution are the labels (subreddit, task, domain) that training saw; every other one is out of it.

    None is a missing label. Raises ValueError where no item has one of the labels named, which is most often a typo.
    """
    absent = sorted(set(in_distribution).difference(label for label in labels if label is not None))
    if absent or isinstance(in_distribution, str):
        seen = sorted({label for label in labels if label is not None})
        raise ValueError(f"no item has the label {absent or in_distribution}: the labels are {seen[:20]}.")
    return _split([None if label is None else label not in in_distribution for label in labels])


def split_by_length(texts: Sequence[str], limit: int = LENGTH_LIMIT) -> Split:
    """In distribution are texts of at most `limit` words, which are the pieces between single spaces, empty ones too.

    So the paper's code counts: two spaces in a row add a word, a newline none, and text without spaces is one word.
    """
    return _split([len(text.split(" ")) > limit for text in texts], threshold=float(limit))


def split_by_distance(embeddings: FloatArray, training: FloatArray, *, quantile: float = 0.95) -> Split:
    """Out of distribution are items whose embedding is farther from the mean of training than `quantile` of training is.

    `embeddings` [items, dimensions], `training` [training items, dimensions], of one model; the distance is Euclidean
    (bring both to length 1 for the cosine's order). An item whose embedding is not finite is missing. The training items
    made the mean, so with few of them the threshold is too near: have more of them than dimensions.
    Raises ValueError where training is empty or not finite, shapes do not match, or quantile is outside [0, 1].
    """
    if training.ndim != 2 or not training.size or not np.isfinite(training).all():
        raise ValueError(
            f"training embeddings have shape {training.shape} or NaN in them: give finite rows, one at least."
        )
    if embeddings.ndim != 2 or embeddings.shape[1] != training.shape[1] or not 0 <= quantile <= 1:
        raise ValueError(
            f"items {embeddings.shape}, training {training.shape}, quantile {quantile}: embed both with one model, and "
            "give a quantile in [0, 1]."
        )
    centre = training.mean(axis=0)
    of_training: FloatArray = np.linalg.norm(training - centre, axis=1)
    threshold = float(np.quantile(of_training, quantile))
    distances: list[float] = np.linalg.norm(embeddings - centre, axis=1).tolist()
    return _split([d > threshold if math.isfinite(d) else None for d in distances], threshold=threshold)


def _split(is_out: list[bool | None], threshold: float | None = None) -> Split:
    return Split(
        tuple(row for row, out in enumerate(is_out) if out is False),
        tuple(row for row, out in enumerate(is_out) if out is True),
        sum(out is None for out in is_out),
        threshold,
    )


def _gap(in_it: FloatArray, out_of_it: FloatArray) -> float:
    return float(in_it.mean() - out_of_it.mean())


def _defined(scores: Scores, where: str) -> list[float]:
    defined = [score for score in scores if score is not None and not math.isnan(score)]
    if not defined:
        raise ValueError(f"none of {len(scores)} items {where} has a score: there is no gap to report.")
    return defined


def _paired(policy: Scores, other: Scores) -> Scores:
    """Differences, None where either is."""
    if len(policy) != len(other):
        raise ValueError(f"{len(policy)} and {len(other)} items: score both policies on the same items, in one order.")
    return [None if a is None or b is None else a - b for a, b in zip(policy, other, strict=True)]
