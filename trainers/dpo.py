"""DPO and its kin: a policy from preferences without a reward model. Rafailov et al., arXiv 2305.18290.

h = log π(y_c)/π_ref(y_c) - log π(y_r)/π_ref(y_r); the reference's log-probs are read once, before training.

    DPO   -[p log σ(βh) + (1-p) log σ(-βh)]                       eq. 7; p soft: a labeler's, or 1-ε (conservative DPO)
    IPO   p (h - 1/2β)² + (1-p) (h + 1/2β)²                       Azar et al., arXiv 2310.12036, eq. 17
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from actors.group import ActorGroup
from actors.preference import PreferenceLearner
from trainers.looks import Looks
from trainers.reward_model import gaps, hits
from trainers.run import Run
from truing.algorithms.losses import direct_preference, identity_preference
from truing.config.training import Dpo as Settings
from truing.data.judged import Comparisons, Judged, flattened

LOSSES = {"dpo": direct_preference, "ipo": identity_preference}


def smoothed(p: Tensor, smoothing: float) -> Tensor:
    """P with a share ε of the labels taken to be wrong: (1-ε)·p + ε·(1-p) (conservative DPO, Mitchell 2023)."""
    return (1 - smoothing) * p + smoothing * (1 - p)


def loss(h: Tensor, p: Tensor, weights: Tensor, *, kind: str, beta: float, smoothing: float) -> Tensor:
    """The configured loss, summed over comparisons."""
    return LOSSES[kind](h, smoothed(p, smoothing), weights, beta)


def train(
    run: Run,
    group: ActorGroup[PreferenceLearner],
    comparisons: Sequence[Comparisons],
    training: int,
    plan: Sequence[Sequence[int]],
    looks: Looks,
    settings: Settings,
) -> None:
    """Update on each batch of the plan, look at the held-out prompts, report. Prompts 0..training-1 are trained on."""
    chosen = partial(loss, kind=settings.loss, beta=settings.beta, smoothing=settings.smoothing)
    held = list(range(training, len(comparisons)))
    judged = flattened(comparisons[i] for i in held)
    for step in run.steps(len(plan)):
        with run.time("update"):
            mean, norm = group.scatter(PreferenceLearner.update, plan[step], loss=chosen).get()[0]
        figures: dict[str, float] = {"loss": mean, "grad_norm": norm, "prompts": len(plan[step])}
        if held and looks.due(step):
            with run.time("look"):
                found = gaps(group.scatter(PreferenceLearner.ratios, held).get(), judged)
            right = hits(found, [one.p for one in judged])
            loss_there = held_out_loss(found, judged, chosen)
            figures |= {"held_out_loss": loss_there, "held_out_accuracy": sum(right) / len(right)}
            looks.saw(run, figures["held_out_loss"])
        run.report(**figures)


def held_out_loss(found: Sequence[float], judged: Sequence[Judged], chosen: "partial[Tensor]") -> float:
    """Weighted mean of the training loss over comparisons with these h."""
    p, weights = torch.tensor([one.p for one in judged]), torch.tensor([one.weight for one in judged])
    return float(chosen(torch.tensor(found), p, weights) / weights.sum())
