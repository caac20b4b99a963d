"""The policy's weights to the rollout engines, by version, with proof that they arrived and are in use."""

import numpy as np

from actors.group import ActorGroup
from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine, Weights
from truing.errors import ActorDied


def push_weights(
    policy: ActorGroup[Policy], engines: ActorGroup[RolloutEngine], version: int, probe: Probe, tolerance: float
) -> tuple[int, float]:
    """Push, compare checksums, compare the log-probs of a probe sequence.

    A checksum of the parameters alone does not see a packed copy that an engine kept of its old weights; the probe does.

    Returns:
        the weights' checksum and the largest mean |Δ log-prob| over the engines, in nats.

    Raises:
        ActorDied: an engine answers the probe otherwise than the learner.
    """
    weights = policy.together(Policy.weights)
    checksums = engines.broadcast(_take, weights, version=version)  # pyright: ignore[reportArgumentType] - arrives as its value
    expected = np.array(policy.broadcast(Policy.probe, probe)[0])
    gaps = [float(np.abs(np.array(found) - expected).mean()) for found in engines.broadcast(RolloutEngine.probe, probe)]
    if max(gaps) > tolerance:
        raise ActorDied(
            f"rollout: after weights of version {version} the engine's log-probs of the probe are {max(gaps):.3f} nats from the"
            f" learner's (policy.probe_tolerance is {tolerance}): the engine runs on other weights"
        )
    return checksums[0], max(gaps)


def _take(engine: RolloutEngine, weights: tuple[Weights, int], *, version: int) -> int:
    bits, expected = weights
    return engine.load_weights(bits, version=version, expected=expected)
