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


def entropy_bonus(entropy: Float[Tensor, " n"], coefficient: float) -> Float[Tensor, ""]:
    """c Σ H, to be subtracted from a loss. With c = 0 nothing is computed backwards for it."""
    return coefficient * entropy.sum() if coefficient else entropy.new_zeros(())


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
    margins: Float[Tensor, " n"],
) -> Float[Tensor, ""]:
    """-Σ w·[p log σ(r_c - r_r - m) + (1-p) log σ(r_r - r_c - m)]: Bradley-Terry with soft labels (Lee et al., §2.1.3)
    and a margin (Touvron et al., arXiv 2307.09288, eq. 2)."""
    gap = chosen - rejected
    return -(weights * (p_chosen * logsigmoid(gap - margins) + (1 - p_chosen) * logsigmoid(-gap - margins))).sum()


def negative_log_likelihood(logprobs: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """-Σ log π(y_t): the loss of supervised fine-tuning, over answer tokens."""
    return -logprobs.sum()


def direct_preference(
    margins: Float[Tensor, " n"], p_chosen: Float[Tensor, " n"], weights: Float[Tensor, " n"], beta: float
) -> Float[Tensor, ""]:
    """-Σ w·[p log σ(βh) + (1-p) log σ(-βh)], h = log π/π_ref(y_c) - log π/π_ref(y_r).

    With p = 1 it is DPO (Rafailov et al., arXiv 2305.18290, eq. 7), with p = 1-ε conservative DPO (Mitchell 2023), with the
    labeler's p DPO distilled from soft labels.
    """
    scaled = beta * margins
    return -(weights * (p_chosen * logsigmoid(scaled) + (1 - p_chosen) * logsigmoid(-scaled))).sum()


def identity_preference(
    margins: Float[Tensor, " n"], p_chosen: Float[Tensor, " n"], weights: Float[Tensor, " n"], beta: float
) -> Float[Tensor, ""]:
    """Σ w·[p (h - 1/2β)² + (1-p)(h + 1/2β)²]: IPO (Azar et al., arXiv 2310.12036, eq. 17), over the label's two sides.

    Least where h = (2p - 1)/2β: certainty is a margin of 1/2β, not of infinity.
    """
    target = 1 / (2 * beta)
    squares = p_chosen * (margins - target).square() + (1 - p_chosen) * (margins + target).square()
    return (weights * squares).sum()
