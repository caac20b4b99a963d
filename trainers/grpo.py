"""GRPO: rewards relative to the group. Shao et al., DeepSeekMath, arXiv 2402.03300, §4.1.

The loss is averaged over the tokens of the batch, not sequence by sequence: long answers count by their length (DAPO,
arXiv 2503.14476, §3.3).
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from actors.forward import Floats
from actors.policy import Policy, Seen, UpdateStats
from trainers.progress import update_figures
from trainers.roles import Roles
from trainers.rollouts import Sampler, dealt, pretraining, score
from trainers.run import Run
from truing.algorithms.advantages import group_relative
from truing.algorithms.kl import ESTIMATORS, FixedKl
from truing.algorithms.losses import clipped_surrogate, entropy_bonus
from truing.config.policy import Grpo
from truing.config.policy import Policy as Settings


def credit(totals: Sequence[float | None], old: Sequence[Floats]) -> list[Floats | None]:
    """A_i = (r_i - mean r) / deviation r over the G completions of a prompt, the same for every token (§4.1.2)."""
    valid = torch.tensor([total is not None for total in totals])
    advantages = group_relative(torch.tensor([total or 0.0 for total in totals]), valid)
    return [advantages[i].expand(len(tokens)).numpy().copy() if valid[i] else None for i, tokens in enumerate(old)]


def loss(seen: Seen, *, clip: float, beta: float, estimator: str, entropy: float) -> Tensor:
    """-Σ w·min(ρA, clip(ρ)A) + β Σ KL(π‖π_ref) - c·H (eq. 3): the KL is in the loss, not in the reward."""
    surrogate = clipped_surrogate(seen.logprobs, seen.old, seen.advantages, seen.weights, clip)
    divergence = ESTIMATORS[estimator](seen.logprobs, seen.reference).sum()
    return surrogate + beta * divergence - entropy_bonus(seen.entropy, entropy)


def train(run: Run, roles: Roles, sampler: Sampler, kl: FixedKl, settings: Settings) -> None:
    """Sample, score, credit, update, report."""
    algorithm = settings.algorithm
    assert isinstance(algorithm, Grpo)
    k = algorithm.completions
    for step in run.steps(settings.steps):
        # 1. Sample: the engines take the current weights, then answer the next prompts G times each.
        drawn = sampler.draw(run, step)

        # 2. Score: reward graph, reference and policy read the same rollouts at the same time.
        scored = score(run, roles, drawn, settings)

        # 3. Credit: plain maths on floats.
        advantages = [credit(*group) for group in zip(scored.totals, scored.old, strict=True)]

        # 4. Update: clipped epochs over minibatches.
        beta = kl.beta
        options = {"clip": algorithm.clip, "beta": beta, "estimator": settings.kl.estimator}
        stats: list[UpdateStats] = []
        with run.time("update"):
            for epoch in range(algorithm.epochs):
                order, parts = dealt(advantages, algorithm.minibatches, seed=sampler.seed, step=step, epoch=epoch)
                columns = (scored.samples, scored.old, scored.reference, advantages, order)
                stats += roles.policy.scatter(
                    Policy.update, *columns, minibatches=parts, loss=partial(loss, entropy=settings.entropy, **options),
                    importance_cap=settings.importance_cap,
                    pretraining=pretraining(drawn, settings),
                ).get()  # fmt: skip

        # 5. Report.
        figures = scored.figures() | update_figures(stats)
        kl.observe(figures["kl"], drawn.prompts * k)
        run.report(version=step, checksum=drawn.checksum, probe_gap=drawn.probe_gap, beta=beta, **figures)
