"""The sets that a diversity metric is applied to, beside those of `diversity`: pooled, and of a best-of-n policy.

Kirk et al., arXiv 2310.06452. All draws hang on the seed alone.
"""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from truing.algorithms.best_of_n import best_index
from truing.records import derived_seed

Output = TypeVar("Output")

DRAWS = 32
"""Outputs of a simulated best-of-n set, as in the paper's code."""


def pooled(outputs_by_input: Sequence[Sequence[Output]], *, size: int | None = None, seed: int = 0) -> list[Output]:
    """All outputs of all inputs in one set, or `size` of them drawn without replacement (the paper's code: 500).

    Raises ValueError where there are fewer than `size` outputs, or `size` is less than 1.
    """
    everything = [output for outputs in outputs_by_input for output in outputs]
    if size is None:
        return everything
    if not 1 <= size <= len(everything):
        raise ValueError(f"cannot draw {size} of {len(everything)} outputs without replacement: lower the size.")
    return random.Random(seed).sample(everything, size)


def overall(
    metric: Callable[[Sequence[Output]], float],
    outputs_by_input: Sequence[Sequence[Output]],
    *,
    size: int | None = None,
    seed: int = 0,
) -> float:
    """`metric` once, on the pooled set: within-input and across-input diversity mixed by the number of outputs an input.

    Raises ValueError as `pooled` does.
    """
    return metric(pooled(outputs_by_input, size=size, seed=seed))


def best_of_n_draws(rewards: Sequence[float], n: int, *, draws: int = DRAWS, seed: int = 0) -> list[int]:
    """Which of K outputs a best-of-n policy answers with, `draws` times: n of K without replacement, the best of them.

    Of equal rewards the one drawn first wins. The draws are independent of each other but share K outputs: output i
    (0-based, ascending reward) wins with probability p_i = C(i, n-1) / C(K, n), the best one with n/K. Two draws are the
    same output with probability sum p_i^2: for K = 16 that is .09 at n = 2, .16 at n = 4, .34 at n = 8 and 1 at n = 16.
    Diversity is biased low by as much of the pairs: keep K well above n, and the same where policies are compared.

    Raises ValueError unless 1 <= n <= K and draws >= 1, or where a reward is NaN.
    """
    if not 1 <= n <= len(rewards):
        raise ValueError(f"n = {n} with {len(rewards)} outputs: n must lie between 1 and the number of outputs.")
    if draws < 1:
        raise ValueError(f"draws = {draws}: a set has at least one output.")
    best_index(rewards)  # an unscored output is refused whether it is drawn or not
    rng = random.Random(seed)
    winners: list[int] = []
    for _ in range(draws):
        drawn = rng.sample(range(len(rewards)), n)
        winners.append(drawn[best_index([rewards[i] for i in drawn])])
    return winners


def best_of_n_sets(
    outputs_by_input: Sequence[Sequence[Output]],
    rewards_by_input: Sequence[Sequence[float]],
    n: int,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[list[Output]]:
    """The simulated outputs of a best-of-n policy, `draws` an input, for `per_input` and `across_inputs`.

    See `best_of_n_draws` for the bias. Raises ValueError as it does, or where outputs and rewards do not match.
    """
    lengths = [len(outputs) for outputs in outputs_by_input]
    if lengths != [len(rewards) for rewards in rewards_by_input]:
        raise ValueError("outputs and rewards do not match: give one reward an output, in the same order.")
    sets: list[list[Output]] = []
    for i, (outputs, rewards) in enumerate(zip(outputs_by_input, rewards_by_input, strict=True)):
        drawn = best_of_n_draws(rewards, n, draws=draws, seed=derived_seed("best-of-n", seed, i))
        sets.append([outputs[j] for j in drawn])
    return sets
