"""RLOO: REINFORCE with a leave-one-out baseline. Ahmadian et al., "Back to Basics", arXiv 2402.14740."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from actors.forward import Floats, tensor
from actors.policy import Policy, Seen
from trainers.progress import update_figures
from trainers.roles import Roles
from trainers.rollouts import Sampler, pretraining, score
from trainers.run import Run
from truing.algorithms.advantages import leave_one_out
from truing.algorithms.kl import ESTIMATORS, PENALISED, FixedKl
from truing.algorithms.losses import entropy_bonus, policy_gradient
from truing.config.kl import Kl
from truing.config.policy import Policy as Settings
from truing.config.policy import Rloo


def credit(
    totals: Sequence[float | None], old: Sequence[Floats], reference: Sequence[Floats], beta: float, kl: Kl
) -> list[Floats | None]:
    """Advantage of every token of the k completions of one prompt.

    R_i = r_i - β Σ_t log π(y_t)/π_ref(y_t)     the KL is part of the sequence's reward (eq. 1)
    A_i = R_i - 1/(k-1) Σ_{j≠i} R_j             leave-one-out baseline (eq. 8), the same for every token of y_i
    """
    valid = torch.tensor([total is not None for total in totals])
    raw = torch.tensor([total or 0.0 for total in totals])
    far = [ESTIMATORS[kl.estimator](tensor(o), tensor(r)).sum() for o, r in zip(old, reference, strict=True)]
    advantages = leave_one_out(PENALISED[kl.objective](raw, torch.stack(far), beta), valid)
    return [advantages[i].expand(len(tokens)).numpy().copy() if valid[i] else None for i, tokens in enumerate(old)]


def loss(seen: Seen, *, entropy: float) -> Tensor:
    """-Σ w·A·π/π_old - c·H: one update a batch, so that the ratio is 1 and the gradient REINFORCE's."""
    surrogate = policy_gradient(seen.logprobs, seen.old, seen.advantages, seen.weights)
    return surrogate - entropy_bonus(seen.entropy, entropy)


def train(run: Run, roles: Roles, sampler: Sampler, kl: FixedKl, settings: Settings) -> None:
    """Sample, score, credit, update, report."""
    assert isinstance(settings.algorithm, Rloo)
    k = settings.algorithm.completions
    for step in run.steps(settings.steps):
        # 1. Sample: the engines take the current weights, then answer the next prompts k times each.
        drawn = sampler.draw(run, step)

        # 2. Score: reward graph, reference and policy read the same rollouts at the same time.
        scored = score(run, roles, drawn, settings)

        # 3. Credit: plain maths on floats.
        beta = kl.beta
        groups = zip(scored.totals, scored.old, scored.reference, strict=True)
        advantages = [credit(*group, beta, settings.kl) for group in groups]

        # 4. Update: one step of the policy gradient over the whole batch.
        with run.time("update"):
            columns = (scored.samples, scored.old, scored.reference, advantages, [0] * drawn.prompts)
            stats = roles.policy.scatter(
                Policy.update, *columns, minibatches=1, loss=partial(loss, entropy=settings.entropy),
                importance_cap=settings.importance_cap,
                    pretraining=pretraining(drawn, settings),
            ).get()  # fmt: skip

        # 5. Report.
        figures = scored.figures() | update_figures(stats)
        kl.observe(figures["kl"], drawn.prompts * k)
        run.report(version=step, checksum=drawn.checksum, probe_gap=drawn.probe_gap, beta=beta, **figures)
