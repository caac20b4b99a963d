"""PPO with a critic. Schulman et al., arXiv 1707.06347; for language models Ouyang et al., arXiv 2203.02155."""

from functools import partial

import numpy as np
import torch

from actors.critic import Critic
from actors.forward import Floats, tensor
from actors.policy import Policy
from actors.reference import Reference
from actors.rollout import RolloutEngine
from actors.scoring import Reward
from trainers.progress import batch_figures, check_failures
from trainers.roles import Roles, numbers
from trainers.run import Run
from trainers.sync import push_weights
from truing.algorithms.advantages import generalised_advantage, whitened
from truing.algorithms.kl import FixedKl, k1
from truing.algorithms.losses import clipped_surrogate
from truing.config.policy import Policy as Settings
from truing.config.policy import Ppo
from truing.data.stream import PromptStream


def token_rewards(total: float, old: Floats, reference: Floats, beta: float, objective: str) -> torch.Tensor:
    """r_t = -β log π(y_t)/π_ref(y_t), plus the sequence's reward at its last token (eq. 2 of arXiv 2203.02155)."""
    rewards = -beta * k1(tensor(old), tensor(reference))
    rewards[-1] += (1 - beta) * total if objective == "rlaif" else total
    return rewards


def credit(
    reward: Reward, old: Floats, reference: Floats, values: Floats, beta: float, objective: str, algorithm: Ppo
) -> tuple[Floats, Floats] | None:
    """Advantages and value targets of one completion (GAE); None where its reward failed."""
    if reward.total is None:
        return None
    rewards = token_rewards(reward.total, old, reference, beta, objective)
    found = generalised_advantage(rewards, tensor(values), algorithm.discount, algorithm.gae_lambda)
    return found[0].numpy(), found[1].numpy()


def whiten_all(advantages: list[list[Floats | None]]) -> list[list[Floats | None]]:
    """Advantages with mean 0 and deviation 1 over all tokens of the batch."""
    known = [tokens for group in advantages for tokens in group if tokens is not None]
    flat = iter(
        np.split(whitened(torch.from_numpy(np.concatenate(known))).numpy(), np.cumsum([len(t) for t in known])[:-1])
    )
    return [[None if tokens is None else next(flat) for tokens in group] for group in advantages]


def train(run: Run, roles: Roles, prompts: PromptStream, kl: FixedKl, settings: Settings, seed: int) -> None:
    """Sample, score, credit, update, report."""
    algorithm = settings.algorithm
    assert isinstance(algorithm, Ppo)
    assert roles.critic is not None
    k, clip, parts = algorithm.completions, algorithm.clip, algorithm.minibatches
    for step in run.steps(settings.steps):
        # 1. Sample: the engines take the current weights, then answer the next prompts.
        with run.time("push"):
            checksum, probe_gap = push_weights(roles.policy, roles.engines, step, roles.probe, settings.probe_tolerance)
        with run.time("sample"):
            ids = prompts.take(settings.prompts)
            samples = roles.engines.scatter(RolloutEngine.generate, ids, completions=k, seed=seed, step=step)
            samples.get()

        # 2. Score: reward graph, reference, policy and critic read the same rollouts at the same time.
        with run.time("score"):
            scoring = roles.graph.start(samples)
            reading = roles.references.scatter(Reference.logprobs, samples)
            valuing = roles.critic.scatter(Critic.values, samples)
            old = roles.policy.scatter(Policy.logprobs, samples).get()
            reference, values, rewards = reading.get(), valuing.get(), roles.graph.finish(scoring)
        check_failures(rewards, settings.max_failed)

        # 3. Credit: plain maths on floats.
        beta, objective = kl.beta, settings.kl.objective
        credited = [
            [credit(*one, beta, objective, algorithm) for one in zip(*group, strict=True)]
            for group in zip(rewards, old, reference, values, strict=True)
        ]
        advantages = whiten_all([[c and c[0] for c in group] for group in credited])
        targets = [[c and c[1] for c in group] for group in credited]

        # 4. Update: clipped epochs over minibatches, policy and critic side by side.
        with run.time("update"):
            loss = partial(clipped_surrogate, clip=clip)
            for epoch in range(algorithm.epochs):
                order = [(i + epoch) % parts for i in range(len(ids))]
                fitting = roles.critic.scatter(
                    Critic.update, samples, values, targets, order, minibatches=parts, clip=algorithm.value_clip
                )
                cap = settings.importance_cap
                stats = roles.policy.scatter(
                    Policy.update, samples, old, advantages, order, minibatches=parts, loss=loss, importance_cap=cap
                ).get()
                value_loss = fitting.get()

        # 5. Report.
        figures = batch_figures(rewards, old, reference)
        kl.observe(figures["kl"], len(ids) * k)
        figures |= {"value_loss": sum(value_loss) / len(value_loss)} | dict(numbers(stats[0]))
        run.report(version=step, checksum=checksum, probe_gap=probe_gap, beta=beta, **figures)
