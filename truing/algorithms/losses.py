"""Losses. Each is a *sum* over its elements: the caller divides by the global count, so that the result does not depend
on how a batch was split over micro-batches or ranks."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid


def importance_weights(learner: Float[Tensor, " n"], sampler: Float[Tensor, " n"], cap: float) -> Float[Tensor, " n"]:
    """min(π_learner/π_sampler, cap): corrects for the engine's arithmetic being another than the learner's.

    Truncated importance sampling, Ionides 2008; both log-probabilities are of the policy that sampled.
    """
    return (learner - sampler).exp().clamp(max=cap)


def policy_gradient(
    logprobs: Float[Tensor, " n"],
    old: Float[Tensor, " n"],
    advantages: Float[Tensor, " n"],
    weights: Float[Tensor, " n"],
) -> Float[Tensor, ""]:
    """-Σ w·A·π/π_old: at π = π_old its gradient is REINFORCE's, -Σ w·A·∇log π."""
    return -(weights * advantages * (logprobs - old).exp()).sum()


def clipped_surrogate(
    logprobs: Float[Tensor, " n"],
    old: Float[Tensor, " n"],
    advantages: Float[Tensor, " n"],
    weights: Float[Tensor, " n"],
    clip: float,
) -> Float[Tensor, ""]:
    """-Σ w·min(ρA, clip(ρ, 1-ε, 1+ε)A), ρ = π/π_old (Schulman et al., arXiv 1707.06347, eq. 7)."""
    ratio = (logprobs - old).exp()
    clipped = ratio.clamp(1 - clip, 1 + clip)
    return -(weights * torch.minimum(ratio * advantages, clipped * advantages)).sum()


def clipped_value(
    values: Float[Tensor, " n"], old: Float[Tensor, " n"], targets: Float[Tensor, " n"], clip: float
) -> Float[Tensor, ""]:
    """½ Σ max((V-R)², (clip(V, V_old ± ε)-R)²), the value loss of PPO's reference implementation."""
    near = old + (values - old).clamp(-clip, clip)
    return torch.maximum((values - targets).square(), (near - targets).square()).sum() / 2


def preference(
    chosen: Float[Tensor, " n"],
    rejected: Float[Tensor, " n"],
    p_chosen: Float[Tensor, " n"],
    weights: Float[Tensor, " n"],
) -> Float[Tensor, ""]:
    """-Σ w·[p log σ(r_c - r_r) + (1-p) log σ(r_r - r_c)]: Bradley-Terry with soft labels (Lee et al., §2.1.3)."""
    gap = chosen - rejected
    return -(weights * (p_chosen * logsigmoid(gap) + (1 - p_chosen) * logsigmoid(-gap))).sum()
