"""Best-of-N sampling: draw n completions of a prompt, keep the one with the highest reward."""

import math
from collections.abc import Sequence


def best_index(rewards: Sequence[float]) -> int:
    """Index of the highest of `rewards`; of equal ones the earliest.

    Raises ValueError where there are no rewards or one of them is NaN: an unscored completion is left out by the
    caller, not ranked.
    """
    if not rewards:
        raise ValueError("no rewards to choose from: best-of-N needs at least one scored completion.")
    best = 0
    for i, reward in enumerate(rewards):
        if math.isnan(reward):
            raise ValueError(f"reward {i} of {len(rewards)} is NaN: drop unscored completions before choosing.")
        if reward > rewards[best]:
            best = i
    return best


def expected_maximum(rewards: Sequence[float], n: int) -> float:
    """Unbiased estimate of E[max of n rewards] from K >= n sampled ones, in the unit of the rewards.

    The mean of the maximum over all C(K, n) subsets, n drawn without replacement:

        sum_i r_(i) C(i, n-1) / C(K, n),   r_(0) <= ... <= r_(K-1)

    because r_(i) is the maximum of exactly C(i, n-1) subsets (Nakano et al., WebGPT, arXiv 2112.09332).
    Raises ValueError unless 1 <= n <= K and every reward is finite.
    """
    if not 1 <= n <= len(rewards):
        raise ValueError(f"n = {n} with {len(rewards)} rewards: n must lie between 1 and the number of rewards.")
    if not all(math.isfinite(reward) for reward in rewards):
        raise ValueError("rewards must be finite: drop unscored completions first.")
    subsets = math.comb(len(rewards), n)
    ascending = sorted(rewards)
    return math.fsum(reward * (math.comb(i, n - 1) / subsets) for i, reward in enumerate(ascending))


def kl_best_of_n(n: int) -> float:
    """KL(best-of-n policy || sampled policy) = ln n - (n-1)/n, in nats.

    Stiennon et al., arXiv 2009.01325. Exact where no two draws tie in reward, else an upper bound (Beirami et al.,
    arXiv 2401.01879). Raises ValueError for n < 1.
    """
    if n < 1:
        raise ValueError(f"n = {n}: best-of-n draws at least one completion.")
    return math.log(n) - (n - 1) / n
