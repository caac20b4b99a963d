"""KL to the reference: estimators, the objective's two forms, controllers."""

import math

from jaxtyping import Float
from torch import Tensor


def k1(logprobs: Float[Tensor, "*n"], reference: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """log π/π_ref at a sample of π: unbiased, may be negative (Schulman, "Approximating KL divergence", 2020).

    For a reward, not for a loss: its own gradient, ∇log π, is 0 on average over samples of π, wherever π_ref is.
    """
    return logprobs - reference


def k2(logprobs: Float[Tensor, "*n"], reference: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """½ (log π/π_ref)²: biased, low variance, never negative. Its gradient at samples of π is that of KL(π‖π_ref) on average."""
    return (logprobs - reference).square() / 2


def k3(logprobs: Float[Tensor, "*n"], reference: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """π_ref/π - 1 - log π_ref/π: unbiased and never negative. Its gradient at samples of π is that of KL(π_ref‖π) on average."""
    gap = reference - logprobs
    return gap.expm1() - gap


def penalised_instructgpt(reward: Float[Tensor, "*n"], kl: Float[Tensor, "*n"], beta: float) -> Float[Tensor, "*n"]:
    """r - β·KL (Ouyang et al., arXiv 2203.02155, eq. 2)."""
    return reward - beta * kl


def penalised_rlaif(reward: Float[Tensor, "*n"], kl: Float[Tensor, "*n"], beta: float) -> Float[Tensor, "*n"]:
    """(1 - β)·r - β·KL (Lee et al., arXiv 2309.00267, appendix on RL)."""
    return (1 - beta) * reward - beta * kl


PENALISED = {"instructgpt": penalised_instructgpt, "rlaif": penalised_rlaif}
"""The two forms of the objective, by their configuration name."""

LARGEST_BETA = {"instructgpt": math.inf, "rlaif": 0.99}
"""How far a controller may raise β. RLAIF's form is a mixture: the reward weighs 1 - β, which is nothing at β = 1 and has the
wrong sign beyond; a hundredth is left of it."""

ESTIMATORS = {"k1": k1, "k2": k2, "k3": k3}
"""By their configuration name."""


def token_rewards(total: float, kl: Float[Tensor, " tokens"], beta: float, objective: str) -> Float[Tensor, " tokens"]:
    """r_t = -β·KL_t, and the sequence's reward at its last token (Ouyang et al., eq. 2): the objective, token by token."""
    rewards = -beta * kl
    rewards[-1] += (1 - beta) * total if objective == "rlaif" else total
    return rewards


class FixedKl:
    """β stays as configured."""

    def __init__(self, beta: float) -> None:
        self.beta = beta

    def observe(self, kl: float, samples: int) -> None:
        """A fixed controller does not react."""

    def state(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {"beta": self.beta}

    def restore(self, state: dict[str, float]) -> None:
        """Take a checkpoint's β."""
        self.beta = state["beta"]


class AdaptiveKl(FixedKl):
    """β follows the measured KL towards a target (Ziegler et al., arXiv 1909.08593, §2.2).

    β ← β·(1 + clip(KL/target - 1, -0.2, 0.2)·samples/HORIZON), up to LARGEST_BETA of the objective; a batch counts for
    HORIZON samples at most, so that β stays positive.
    """

    HORIZON = 10_000

    def __init__(self, beta: float, target: float, objective: str) -> None:
        super().__init__(beta)
        self.target, self._largest = target, LARGEST_BETA[objective]

    def observe(self, kl: float, samples: int) -> None:
        """Move β after a batch of `samples` responses whose mean KL was `kl` nats."""
        error = max(-0.2, min(0.2, kl / self.target - 1))
        self.beta = min(self._largest, self.beta * (1 + error * min(1.0, samples / self.HORIZON)))
