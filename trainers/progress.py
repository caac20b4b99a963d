"""Figures of one batch of rollouts and of its updates, and the point at which failures end a run."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.forward import Floats
from actors.policy import UpdateStats
from actors.scoring import Reward
from trainers.roles import numbers
from truing.errors import TruingError
from truing.records import Failed


def check_failures(rewards: Sequence[Sequence[Reward]], allowed: float) -> None:
    """End the run when more than a share of the rewards failed.

    Raises:
        TruingError: with the three commonest reasons.
    """
    every = [reward for group in rewards for reward in group]
    failed = [reward for reward in every if reward.total is None]
    if len(failed) > allowed * len(every):
        reasons = Counter(s.reason for reward in failed for s in reward.parts.values() if isinstance(s, Failed))
        commonest = "; ".join(f"{reason} ({n})" for reason, n in reasons.most_common(3))
        raise TruingError(
            f"policy: {len(failed)} of {len(every)} rewards failed, policy.max_failed is {allowed}: {commonest}"
        )


def batch_figures(
    rewards: Sequence[Sequence[Reward]], old: Sequence[Sequence[Floats]], reference: Sequence[Sequence[Floats]]
) -> dict[str, Any]:
    """Mean raw reward, means of its parts, KL of a response (k1, nats), tokens of a response and of all, failed rewards.

    A part's mean is over the scores that it gave, also where another part failed and there is no reward; a part that gave none
    is left out.
    """
    every = [reward for group in rewards for reward in group]
    known = [reward.raw for reward in every if reward.raw is not None]
    parts: dict[str, list[float]] = {}
    for reward in every:
        for name, score in reward.parts.items():
            if not isinstance(score, Failed):
                parts.setdefault(name, []).append(score)
    pairs = [pair for group in zip(old, reference, strict=True) for pair in zip(*group, strict=True)]
    kl = float(np.mean([float((o - r).sum()) for o, r in pairs]))
    return {
        "reward": float(np.mean(known)) if known else float("nan"),
        "parts": {name: float(np.mean(scores)) for name, scores in sorted(parts.items())},
        "kl": kl,
        "length": float(np.mean([len(o) for o, _ in pairs])),
        "tokens": sum(len(o) for o, _ in pairs),
        "failed": len(every) - len(known),
    }


def update_figures(stats: Sequence[UpdateStats]) -> dict[str, float]:
    """Means over the updates of a step, minibatches and epochs alike; each update counts the same, however many tokens it had.

    `ratio` is that before each update; `first_ratio` that before the first one, where it is 1.
    """
    rows = [numbers(one) for one in stats]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return means | {"first_ratio": stats[0].ratio}
