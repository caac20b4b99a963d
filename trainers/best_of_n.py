"""Best-of-n: draw n, keep the best, and learn from it. Stiennon et al., arXiv 2009.01325; Llama 2, arXiv 2307.09288, §3.2.3.

What n buys and what it costs is known without training: the expected maximum of n rewards, estimated from K ≥ n of them
without bias, against a divergence of at most ln n - (n-1)/n nats. Rejection sampling then fine-tunes on the best of each
prompt, which is `trainers.sft` on demonstrations that the policy wrote itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from truing.algorithms.best_of_n import best_index, expected_maximum, kl_best_of_n
from truing.algorithms.statistics import Interval, bootstrap_mean


@dataclass(frozen=True, slots=True)
class Frontier:
    """What best-of-n would give: reward, with its interval over prompts, and the divergence it costs at most, in nats."""

    n: int
    reward: Interval
    kl: float


def best(rewards: Mapping[str, Sequence[float]]) -> dict[str, int]:
    """Position of the best completion of each prompt; of equal ones the first. A prompt without a reward is left out."""
    return {prompt: best_index(known) for prompt, known in rewards.items() if known}


def frontier(rewards: Mapping[str, Sequence[float]], seed: int) -> list[Frontier]:
    """For n = 1, 2, 4, … up to the rewards that every prompt has: mean over prompts of the expected maximum of n."""
    most = min((len(known) for known in rewards.values()), default=0)
    sizes = [2**i for i in range(most.bit_length())] if most else []
    return [
        Frontier(
            n, bootstrap_mean([expected_maximum(known, n) for known in rewards.values()], seed=seed), kl_best_of_n(n)
        )
        for n in sizes
    ]


def gain(rewards: Mapping[str, Sequence[float]], chosen: Mapping[str, int]) -> tuple[float, float]:
    """Mean over prompts of the mean reward of their completions, and of the reward of the chosen one.

    A prompt without a reward is in neither.
    """
    every = float(np.mean([np.mean(known) for known in rewards.values() if known]))
    return every, float(np.mean([rewards[prompt][at] for prompt, at in chosen.items()]))
