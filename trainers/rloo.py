"""RLOO: REINFORCE with a leave-one-out baseline. Ahmadian et al., "Back to Basics", arXiv 2402.14740."""

import torch

from actors.forward import Floats, tensor
from actors.policy import Policy
from actors.reference import Reference
from actors.rollout import RolloutEngine
from actors.scoring import Reward
from trainers.progress import batch_figures, check_failures
from trainers.roles import Roles, numbers
from trainers.run import Run
from trainers.sync import push_weights
from truing.algorithms.advantages import leave_one_out
from truing.algorithms.kl import PENALISED, FixedKl, k1
from truing.algorithms.losses import policy_gradient
from truing.config.policy import Policy as Settings
from truing.config.policy import Rloo
from truing.data.stream import PromptStream


def credit(
    rewards: list[Reward], old: list[Floats], reference: list[Floats], beta: float, objective: str
) -> list[Floats | None]:
    """Advantage of every token of the k completions of one prompt.

    R_i = r_i - β Σ_t log π(y_t)/π_ref(y_t)     the KL is part of the sequence's reward (eq. 1)
    A_i = R_i - 1/(k-1) Σ_{j≠i} R_j             leave-one-out baseline (eq. 8), the same for every token of y_i
    """
    valid = torch.tensor([reward.total is not None for reward in rewards])
    raw = torch.tensor([reward.total or 0.0 for reward in rewards])
    kl = torch.stack([k1(tensor(o), tensor(r)).sum() for o, r in zip(old, reference, strict=True)])
    advantages = leave_one_out(PENALISED[objective](raw, kl, beta), valid)
    return [advantages[i].expand(len(tokens)).numpy().copy() if valid[i] else None for i, tokens in enumerate(old)]


def train(run: Run, roles: Roles, prompts: PromptStream, kl: FixedKl, settings: Settings, seed: int) -> None:
    """Sample, score, credit, update, report."""
    assert isinstance(settings.algorithm, Rloo)
    k = settings.algorithm.completions
    for step in run.steps(settings.steps):
        # 1. Sample: the engines take the current weights, then answer the next prompts k times each.
        with run.time("push"):
            checksum, probe_gap = push_weights(roles.policy, roles.engines, step, roles.probe, settings.probe_tolerance)
        with run.time("sample"):
            ids = prompts.take(settings.prompts)
            samples = roles.engines.scatter(RolloutEngine.generate, ids, completions=k, seed=seed, step=step)
            samples.get()

        # 2. Score: reward graph, reference and policy read the same rollouts at the same time.
        with run.time("score"):
            scoring = roles.graph.start(samples)
            reading = roles.references.scatter(Reference.logprobs, samples)
            old = roles.policy.scatter(Policy.logprobs, samples).get()
            reference, rewards = reading.get(), roles.graph.finish(scoring)
        check_failures(rewards, settings.max_failed)

        # 3. Credit: plain maths on floats.
        beta, objective = kl.beta, settings.kl.objective
        advantages = [credit(*group, beta, objective) for group in zip(rewards, old, reference, strict=True)]

        # 4. Update: one step of the policy gradient over the whole batch.
        with run.time("update"):
            whole = [0] * len(ids)
            cap = settings.importance_cap
            stats = roles.policy.scatter(
                Policy.update, samples, old, advantages, whole, minibatches=1, loss=policy_gradient, importance_cap=cap
            ).get()[0]

        # 5. Report.
        figures = batch_figures(rewards, old, reference)
        kl.observe(figures["kl"], len(ids) * k)
        run.report(version=step, checksum=checksum, probe_gap=probe_gap, beta=beta, **figures, **numbers(stats))
