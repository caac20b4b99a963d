"""Figures of one batch of rollouts, and the point at which failures end a run."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from actors.forward import Floats
from actors.scoring import Reward
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
    """Mean raw reward and its parts, KL of a response (k1, nats), tokens of a response and of all, failed rewards."""
    every = [reward for group in rewards for reward in group]
    known = [reward for reward in every if reward.total is not None]
    names = sorted({name for reward in known for name in reward.parts})
    parts = {
        name: float(np.mean([s for r in known for s in [r.parts[name]] if not isinstance(s, Failed)])) for name in names
    }
    pairs = [pair for group in zip(old, reference, strict=True) for pair in zip(*group, strict=True)]
    kl = float(np.mean([float((o - r).sum()) for o, r in pairs]))
    return {
        "reward": float(np.mean([r.total for r in known if r.total is not None])) if known else float("nan"),
        "parts": parts,
        "kl": kl,
        "length": float(np.mean([len(o) for o, _ in pairs])),
        "tokens": sum(len(o) for o, _ in pairs),
        "failed": len(every) - len(known),
    }
