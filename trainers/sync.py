"""The policy's weights to the rollout engines, by version, with proof that they arrived and are in use."""

import zlib

import numpy as np

from actors.group import ActorGroup
from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine
from truing.errors import ActorDied


def push_weights(
    policy: ActorGroup[Policy],
    engines: ActorGroup[RolloutEngine],
    version: int,
    probe: Probe,
    *,
    bucket: float,
    tolerance: float,
) -> tuple[int, float]:
    """Push in buckets of `bucket` bytes, compare checksums, compare the log-probs of a probe sequence.

    While the engines take a bucket the learner makes the next one: two of them are all that there is beside the models.
    A checksum of the parameters alone does not see a packed copy that an engine kept of its old weights; the probe does.

    Returns:
        a checksum of all weights and the largest mean |Δ log-prob| over the engines, in nats.

    Raises:
        ActorDied: weights arrive changed, or an engine answers the probe otherwise than the learner.
    """
    names = policy.first(Policy.buckets, bucket)
    engines.broadcast(RolloutEngine.open_weights)
    checksum, coming = 0, policy.together(Policy.weights, names[0])
    for following in [*names[1:], None]:
        here, coming = coming, coming if following is None else policy.together(Policy.weights, following)
        arrived = engines.broadcast(RolloutEngine.take_bucket, here)  # pyright: ignore[reportArgumentType] - arrives as its value
        checksum = zlib.crc32(arrived[0].to_bytes(4, "big"), checksum)
    engines.broadcast(RolloutEngine.close_weights, version)
    expected = np.array(policy.broadcast(Policy.probe, probe)[0])
    gaps = [float(np.abs(np.array(found) - expected).mean()) for found in engines.broadcast(RolloutEngine.probe, probe)]
    if max(gaps) > tolerance:
        raise ActorDied(
            f"rollout: after weights of version {version} the engine's log-probs of the probe are {max(gaps):.3f} nats from the"
            f" learner's (policy.probe_tolerance is {tolerance}): the engine runs on other weights"
        )
    return checksum, max(gaps)
