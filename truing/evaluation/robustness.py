"""How much a result hangs on the wording of the prompt (PAFT, Wei et al., arXiv 2502.12859, §4.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Spread:
    """Accuracies over unseen prompts. `deviation` is the population's; `top` the share of prompts at `threshold` or above."""

    prompts: int
    mean: float
    deviation: float
    worst: float
    best: float
    worst_tenth: float
    top: float
    threshold: float


def spread(accuracy: Mapping[str, Sequence[float]], threshold: float) -> Spread:
    """Mean, deviation, extremes, mean of the worst tenth (one prompt at least), and the share of prompts at or above a threshold.

    `accuracy`: 1 or 0 of each item, by prompt. Raises ValueError where there is no prompt, or one without items.
    """
    if not accuracy or not all(len(items) for items in accuracy.values()):
        raise ValueError("a spread over prompts needs at least one prompt, and items for each")
    means = np.sort([float(np.mean(items)) for items in accuracy.values()])
    tenth = means[: max(1, len(means) // 10)]
    return Spread(
        len(means), float(means.mean()), float(means.std()), float(means[0]), float(means[-1]), float(tenth.mean()),
        float(np.mean(means >= threshold)), threshold,
    )  # fmt: skip
