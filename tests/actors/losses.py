"""Losses of a policy that tests pass to an actor's process: imported there, so they live in a module of their own."""

from torch import Tensor

from actors.policy import Seen
from truing.algorithms import losses


def reinforce(seen: Seen) -> Tensor:
    """-Σ w·A·π/π_old, as RLOO has it."""
    return losses.policy_gradient(seen.logprobs, seen.old, seen.advantages, seen.weights)


def surrogate(seen: Seen) -> Tensor:
    """PPO's, clipped at ±0.2."""
    return losses.clipped_surrogate(seen.logprobs, seen.old, seen.advantages, seen.weights, 0.2)


def curious(seen: Seen) -> Tensor:
    """The same with a bonus for entropy."""
    return surrogate(seen) - losses.entropy_bonus(seen.entropy, 0.1)
