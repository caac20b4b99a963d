"""PPO with a critic. Schulman et al., arXiv 1707.06347; for language models Ouyang et al., arXiv 2203.02155."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from actors.critic import Critic
from actors.forward import Floats, tensor
from actors.policy import Policy, Seen, UpdateStats
from trainers.progress import update_figures
from trainers.roles import Roles
from trainers.rollouts import Sampler, dealt, pretraining, score
from trainers.run import Run
from truing.algorithms.advantages import generalised_advantage, whitened
from truing.algorithms.kl import ESTIMATORS, FixedKl, token_rewards
from truing.algorithms.losses import clipped_surrogate, entropy_bonus
from truing.config.kl import Kl
from truing.config.policy import Policy as Settings
from truing.config.policy import Ppo


def credit(
    total: float | None, old: Floats, reference: Floats, values: Floats, beta: float, kl: Kl, algorithm: Ppo
) -> tuple[Floats, Floats] | None:
    """Advantages (GAE) and value targets of one completion; None where it is left out.

    r_t = -β log π(y_t)/π_ref(y_t), and the sequence's reward at its last token (eq. 2 of arXiv 2203.02155).
    """
    if total is None:
        return None
    divergence = ESTIMATORS[kl.estimator](tensor(old), tensor(reference))
    rewards = token_rewards(total, divergence, beta, kl.objective)
    found = generalised_advantage(rewards, tensor(values), algorithm.discount, algorithm.gae_lambda)
    return found[0].numpy(), found[1].numpy()


def whiten_all(advantages: list[list[Floats | None]]) -> list[list[Floats | None]]:
    """Advantages with mean 0 and deviation 1 over all tokens of the batch."""
    known = [tokens for group in advantages for tokens in group if tokens is not None]
    if not known:
        return advantages
    white = whitened(torch.from_numpy(np.concatenate(known))).numpy()
    parts = iter(np.split(white, np.cumsum([len(tokens) for tokens in known])[:-1]))
    return [[None if tokens is None else next(parts) for tokens in group] for group in advantages]


def loss(seen: Seen, *, clip: float, entropy: float) -> Tensor:
    """-Σ w·min(ρA, clip(ρ, 1-ε, 1+ε)A) - c·H (eq. 7 and 9 of arXiv 1707.06347; the value's term is the critic's)."""
    surrogate = clipped_surrogate(seen.logprobs, seen.old, seen.advantages, seen.weights, clip)
    return surrogate - entropy_bonus(seen.entropy, entropy)


def train(run: Run, roles: Roles, sampler: Sampler, kl: FixedKl, settings: Settings) -> None:
    """Sample, score, credit, update, report."""
    algorithm = settings.algorithm
    assert isinstance(algorithm, Ppo)
    assert roles.critic is not None
    for step in run.steps(settings.steps):
        # 1. Sample: the engines take the current weights, then answer the next prompts.
        drawn = sampler.draw(run, step)

        # 2. Score: reward graph, reference, policy and critic read the same rollouts at the same time.
        scored = score(run, roles, drawn, settings)

        # 3. Credit: plain maths on floats.
        beta = kl.beta
        rows = zip(scored.totals, scored.old, scored.reference, scored.values, strict=True)
        credited = [[credit(*one, beta, settings.kl, algorithm) for one in zip(*row, strict=True)] for row in rows]
        advantages = whiten_all([[c and c[0] for c in group] for group in credited])
        targets = [[c and c[1] for c in group] for group in credited]

        # 4. Update: clipped epochs over minibatches, policy and critic side by side.
        stats: list[UpdateStats] = []
        value_losses: list[float] = []
        with run.time("update"):
            for epoch in range(algorithm.epochs):
                order, parts = dealt(advantages, algorithm.minibatches, seed=sampler.seed, step=step, epoch=epoch)
                fitting = roles.critic.scatter(
                    Critic.update, scored.samples, scored.values, targets, order,
                    minibatches=parts, clip=algorithm.value_clip,
                )  # fmt: skip
                columns = (scored.samples, scored.old, scored.reference, advantages, order)
                stats += roles.policy.scatter(
                    Policy.update, *columns, minibatches=parts, importance_cap=settings.importance_cap,
                    pretraining=pretraining(drawn, settings),
                    loss=partial(loss, clip=algorithm.clip, entropy=settings.entropy),
                ).get()  # fmt: skip
                value_losses += fitting.get()

        # 5. Report.
        value_loss = sum(value_losses) / len(value_losses)
        figures = scored.figures() | update_figures(stats) | {"value_loss": value_loss}
        kl.observe(figures["kl"], drawn.prompts * algorithm.completions)
        run.report(version=step, checksum=drawn.checksum, probe_gap=drawn.probe_gap, beta=beta, **figures)
