"""Reward model on soft preferences. Lee et al., RLAIF, arXiv 2309.00267 §2.1.3; Bradley-Terry as in arXiv 2203.02155.

    L = -[p log σ(r_c - r_r) + (1-p) log σ(r_r - r_c)]

The gradient of one batch is in `truing.algorithms.losses.preference`; this page says what is trained on and measured.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.group import ActorGroup
from actors.reward_model import RewardLearner
from trainers.run import Run
from truing.algorithms.statistics import Interval, bootstrap_mean
from truing.config.stages import RewardModel as Settings
from truing.records import derived_seed


@dataclass(frozen=True, slots=True)
class Bin:
    """Held-out pairs whose preferred response has P in [low, high): how often people or the labeler prefer it too."""

    low: float
    high: float
    n: int
    predicted: float
    observed: float


def batches(count: int, batch: int, epochs: int, seed: int) -> list[list[int]]:
    """Positions of each update: every epoch its own order; a short last batch is joined to the one before."""
    found: list[list[int]] = []
    for epoch in range(epochs):
        order = list(range(count))
        random.Random(derived_seed(seed, "pairs", epoch)).shuffle(order)
        cuts = max(1, count // batch)
        found += [order[i * batch : (i + 1) * batch if i + 1 < cuts else count] for i in range(cuts)]
    return found


def train(run: Run, group: ActorGroup[RewardLearner], train_count: int, settings: Settings, seed: int) -> None:
    """Update on each batch, report. Pairs 0..train_count-1 are the training pairs."""
    plan = batches(train_count, settings.batch, settings.epochs, seed)
    for step in run.steps(len(plan)):
        with run.time("update"):
            loss, norm = group.scatter(RewardLearner.update, plan[step]).get()[0]
        run.report(loss=loss, grad_norm=norm, pairs=len(plan[step]))


def held_out_gaps(group: ActorGroup[RewardLearner], positions: Sequence[int]) -> list[float]:
    """r_chosen - r_rejected of held-out pairs."""
    return [chosen - rejected for chosen, rejected in group.scatter(RewardLearner.rewards, positions).get()]


def accuracy(gaps: Sequence[float], labels: Sequence[float], seed: int) -> Interval:
    """Share of pairs on which the sign of the gap and the label agree; a gap of exactly 0 counts one half."""
    right = [0.5 if gap == 0 else float((gap > 0) == (label > 0.5)) for gap, label in zip(gaps, labels, strict=True)]
    return bootstrap_mean(right, seed=seed)


def calibration(gaps: Sequence[float], labels: Sequence[float], bins: int = 5) -> list[Bin]:
    """Confidence in the response with the higher reward, σ(|gap|), against how often that is the better one.

    Over [0.5, 1]: a pair and its swap are the same entry. (Over [0, 1] both would be in it, and cancel in the middle bin.)
    """
    predicted = [1 / (1 + math.exp(-abs(gap))) for gap in gaps]
    observed = [0.5 if gap == 0 else p if gap > 0 else 1 - p for gap, p in zip(gaps, labels, strict=True)]
    place = [min(int((p - 0.5) * 2 * bins), bins - 1) for p in predicted]
    table: list[Bin] = []
    for i in range(bins):
        inside = [j for j, at in enumerate(place) if at == i]
        if inside:
            means = (float(np.mean([column[j] for j in inside])) for column in (predicted, observed))
            table.append(Bin(0.5 + i / bins / 2, 0.5 + (i + 1) / bins / 2, len(inside), *means))
    return table


def calibration_error(table: Sequence[Bin]) -> float:
    """Expected calibration error: mean |predicted - observed|, weighted by the pairs of each bin."""
    total = sum(row.n for row in table)
    return sum(row.n * abs(row.predicted - row.observed) for row in table) / total
