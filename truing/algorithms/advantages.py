"""Credit: what each completion, or each token, did better than expected."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def leave_one_out(returns: Float[Tensor, " k"], valid: Bool[Tensor, " k"]) -> Float[Tensor, " k"]:
    """A_i = R_i - mean of the other valid returns (Ahmadian et al., arXiv 2402.14740, eq. 8).

    A completion whose reward failed gets advantage 0 and is nobody's baseline; with a single valid one there is no
    baseline and it gets 0 too.
    """
    others = int(valid.sum()) - 1
    if others < 1:
        return torch.zeros_like(returns)
    kept = torch.where(valid, returns, 0.0)
    baseline = (kept.sum() - kept) / others
    return torch.where(valid, returns - baseline, 0.0)


def group_relative(rewards: Float[Tensor, " k"], valid: Bool[Tensor, " k"]) -> Float[Tensor, " k"]:
    """A_i = (r_i - mean) / deviation over the valid rewards of one prompt (Shao et al., arXiv 2402.03300, §4.1.2).

    The deviation is the population's, with 1e-6 added. Equal rewards, and a single valid one, give exactly 0.
    """
    found = torch.zeros_like(rewards)
    found[valid] = _standardised(rewards[valid], 1e-6)
    return found


def rewards_to_go(rewards: Float[Tensor, " tokens"], discount: float) -> Float[Tensor, " tokens"]:
    """G_t = Σ_{u ≥ t} γ^{u-t} r_u (Williams 1992; Sutton & Barto, eq. 3.8)."""
    returns = torch.zeros_like(rewards)
    following = 0.0
    for t in range(len(rewards) - 1, -1, -1):
        following = float(rewards[t]) + discount * following
        returns[t] = following
    return returns


def generalised_advantage(
    rewards: Float[Tensor, " tokens"], values: Float[Tensor, " tokens"], discount: float, lam: float
) -> tuple[Float[Tensor, " tokens"], Float[Tensor, " tokens"]]:
    """GAE (Schulman et al., arXiv 1506.02438, eq. 16) of one response; the state after its last token has value 0.

    δ_t = r_t + γ V_{t+1} - V_t,   A_t = δ_t + γλ A_{t+1}.

    Returns:
        advantages A_t and value targets A_t + V_t.
    """
    advantages = torch.zeros_like(rewards)
    following_value = following_advantage = 0.0
    for t in range(len(rewards) - 1, -1, -1):
        delta = rewards[t] + discount * following_value - values[t]
        advantages[t] = delta + discount * lam * following_advantage
        following_value, following_advantage = float(values[t]), float(advantages[t])
    return advantages, advantages + values


def whitened(advantages: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Mean 0 and standard deviation 1 over the whole batch (population deviation); equal advantages give exactly 0."""
    return _standardised(advantages, 1e-8)


def _standardised(values: Float[Tensor, " n"], added: float) -> Float[Tensor, " n"]:
    """(x - mean) / (deviation + added). In float64: the rounding of the mean must not count as a deviation."""
    exact = values.double()
    if bool((exact == exact[:1]).all()):
        return torch.zeros_like(values)
    return ((exact - exact.mean()) / (exact.std(correction=0) + added)).to(values.dtype)
