"""Reward model on soft preferences. Lee et al., RLAIF, arXiv 2309.00267 §2.1.3; Bradley-Terry as in arXiv 2203.02155.

    L = -[p log σ(r_c - r_r - m) + (1-p) log σ(r_r - r_c - m)]        m: margin (Llama 2, arXiv 2307.09288, eq. 2)

The gradient of one batch is in `truing.algorithms.losses.preference`; this page says what is trained on and measured.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch

from actors.group import ActorGroup
from actors.reward_model import RewardLearner
from trainers.looks import Looks
from trainers.run import Run
from truing.algorithms.calibration import Bin, calibration_error, equal_width, reliability
from truing.algorithms.losses import preference
from truing.algorithms.statistics import Interval, bootstrap, clustered_mean, together
from truing.config.training import Preferences
from truing.data.judged import Comparisons, Judged, flattened
from truing.errors import TruingError
from truing.records import derived_seed

EDGES = equal_width(5, low=0.5)
"""Edges of the calibration bins, over the probability of the response with the higher reward."""


def batches(count: int, batch: int, epochs: int, seed: int) -> list[list[int]]:
    """Positions of each update: every epoch its own order; a short last batch is joined to the one before."""
    found: list[list[int]] = []
    for epoch in range(epochs):
        order = list(range(count))
        random.Random(derived_seed(seed, "pairs", epoch)).shuffle(order)
        cuts = max(1, count // batch)
        found += [order[i * batch : (i + 1) * batch if i + 1 < cuts else count] for i in range(cuts)]
    return found


def updates(count: int, settings: Preferences, seed: int) -> list[list[int]]:
    """The prompts of each update of a whole training."""
    return batches(count, settings.batch, settings.epochs, seed)[: settings.steps]


def train(
    run: Run,
    group: ActorGroup[RewardLearner],
    comparisons: Sequence[Comparisons],
    training: int,
    plan: Sequence[Sequence[int]],
    looks: Looks,
) -> None:
    """Update on each batch of the plan, look at the held-out prompts, report. Prompts 0..training-1 are trained on."""
    held = list(range(training, len(comparisons)))
    judged = flattened(comparisons[i] for i in held)
    for step in run.steps(len(plan)):
        with run.time("update"):
            loss, norm = group.scatter(RewardLearner.update, plan[step]).get()[0]
        figures: dict[str, float] = {"loss": loss, "grad_norm": norm, "prompts": len(plan[step])}
        if held and looks.due(step):
            with run.time("look"):
                found = gaps(group.scatter(RewardLearner.rewards, held).get(), judged)
            right = hits(found, [one.p for one in judged])
            figures |= {"held_out_loss": held_out_loss(found, judged), "held_out_accuracy": sum(right) / len(right)}
            looks.saw(run, figures["held_out_loss"])
        run.report(**figures)


def gaps(rewards: Sequence[Sequence[float]], judged: Sequence[Judged]) -> list[float]:
    """r_better - r_worse of each comparison, from the rewards of all responses by prompt."""
    flat = [reward for one in rewards for reward in one]
    return [flat[one.better] - flat[one.worse] for one in judged]


def held_out_loss(found: Sequence[float], judged: Sequence[Judged]) -> float:
    """Weighted mean of the training loss over comparisons with these gaps."""
    columns = ([one.p for one in judged], [one.weight for one in judged], [one.margin for one in judged])
    p, weights, margins = (torch.tensor(column) for column in columns)
    gap = torch.tensor(found)
    return float(preference(gap, torch.zeros_like(gap), p, weights, margins) / weights.sum())


def hits(found: Sequence[float], labels: Sequence[float]) -> list[float]:
    """1 where the sign of the gap and the label agree, 0 where not; a gap of 0, and a label of ½, count one half.

    Raises:
        TruingError: a gap is no finite number.
    """
    if lost := sum(not math.isfinite(gap) for gap in found):
        raise TruingError(
            f"the model gave no number for {lost} of {len(found)} held-out comparisons: its training has diverged;"
            " train it anew with a lower learning rate"
        )
    return [
        0.5 if gap == 0 or label == 0.5 else float((gap > 0) == (label > 0.5))
        for gap, label in zip(found, labels, strict=True)
    ]


def accuracy(found: Sequence[float], labels: Sequence[float], prompts: Sequence[str], seed: int) -> Interval:
    """Share of comparisons on which gap and label agree; the interval draws prompts, since comparisons of one are not independent.

    Raises TruingError as `hits` does.
    """
    return clustered_mean(hits(found, labels), prompts, seed=seed)


def calibration(found: Sequence[float], labels: Sequence[float]) -> tuple[Bin, ...]:
    """Confidence in the response with the higher reward, σ(|gap|), against how often that is the better one.

    Over [0.5, 1]: a pair and its swap are the same entry. (Over [0, 1] both would be in it, and cancel in the middle bin.)
    """
    return reliability(*_confidences(found, labels), EDGES)


def ece(found: Sequence[float], labels: Sequence[float], prompts: Sequence[str], seed: int) -> Interval:
    """Expected calibration error over the bins of `calibration`; n and interval as those of `accuracy`."""
    error = partial(calibration_error, edges=EDGES)
    interval = bootstrap(error, *_confidences(found, labels), seed=seed, groups=together(prompts))
    return replace(interval, n=len(found))


def _confidences(found: Sequence[float], labels: Sequence[float]) -> tuple[list[float], list[float]]:
    predicted = [1 / (1 + math.exp(-abs(gap))) for gap in found]
    return predicted, [0.5 if gap == 0 else p if gap > 0 else 1 - p for gap, p in zip(found, labels, strict=True)]
