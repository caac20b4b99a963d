"""pass@k: the chance that at least one of k samples solves a problem (Chen et al., arXiv 2107.03374, eq. 1)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from truing.algorithms.statistics import Interval, bootstrap_mean


@dataclass(frozen=True, slots=True)
class PassAtK:
    """Mean of pass@k over problems, in [0, 1], with its interval over problems, whose number is its n.

    `too_few` problems have fewer than k samples, so that their pass@k has no unbiased estimate: they are left out.
    """

    k: int
    rate: Interval
    too_few: int


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """1 - C(n-c, k) / C(n, k) = 1 - prod_{i=n-c+1..n} (1 - k/i), for c of n samples that passed.

    Unbiased, unlike 1 - (1 - c/n)^k, which is too low. As a sum of logarithms: exact for large n and for small rates.
    Raises ValueError unless 1 <= k <= n and 0 <= c <= n.
    """
    if not (1 <= k <= samples and 0 <= passed <= samples):
        raise ValueError(f"{passed} of {samples} samples passed, k = {k}: k and the passed lie within the samples.")
    if samples - passed < k:
        return 1.0
    missed = math.fsum(math.log1p(-k / i) for i in range(samples - passed + 1, samples + 1))
    return -math.expm1(missed)


def pass_at_k_over(problems: Sequence[tuple[int, int]], k: int, *, seed: int) -> PassAtK:
    """pass@k over `problems`: (samples, passed) of each. A sample that failed to run is not a sample.

    `seed` is that of the bootstrap. Raises ValueError where no problem has k samples, and as `pass_at_k`.
    """
    enough = [(samples, passed) for samples, passed in problems if samples >= k]
    if not enough:
        raise ValueError(f"none of {len(problems)} problems has {k} samples: draw more, or report a smaller k.")
    rates = [pass_at_k(samples, passed, k) for samples, passed in enough]
    return PassAtK(k, bootstrap_mean(rates, seed=seed), len(problems) - len(enough))
