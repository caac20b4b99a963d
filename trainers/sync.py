"""The policy's weights to the rollout engines, by version, with proof that they arrived and are in use."""

import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np

from actors.group import ActorGroup
from actors.native import Described, ReceivingEngine, SendingPolicy
from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine, changed
from truing.errors import ActorDied


class Push(Protocol):
    """A way on which buckets go from the learner to the engines, which are open for them."""

    def carry(self, policy: ActorGroup[Any], engines: ActorGroup[Any], size: float) -> Iterator[int]:
        """All weights in buckets of `size` bytes: the checksum of each, when every engine has it and it is the learner's.

        While the engines take a bucket the learner makes the next one: two of them are all that there is beside the models.

        Raises:
            ActorDied: a bucket arrives changed.
            ActorLost: somebody ended, or hung until the deadline.
        """
        ...


class ObjectStore:
    """Through Ray's object store: the learner puts a bucket there, each node with engines gets a copy."""

    def carry(self, policy: ActorGroup[Any], engines: ActorGroup[Any], size: float) -> Iterator[int]:
        """As `Push`; the engines compare the checksums."""
        names = policy.first(Policy.buckets, size)
        coming = policy.together(Policy.weights, names[0])
        for following in [*names[1:], None]:
            here, coming = coming, coming if following is None else policy.together(Policy.weights, following)
            # Every rank is heard before the engines are asked: what has befallen one of them is no fault of theirs.
            bucket: Any = here.made()
            yield engines.broadcast(RolloutEngine.take_bucket, bucket)[0]


class Native:
    """Through vLLM's weight-transfer API: rank 0 of the learner broadcasts a bucket, and the engines receive it.

    They stay together from push to push. Who has joined, was replaced or has left makes them meet anew, and so does a push that
    did not come to its end. Over NCCL nothing frees an engine that waits in such a push: all of them are given up.
    """

    def __init__(self) -> None:
        self._met: tuple[str, ...] = ()
        self._told = True

    def carry(self, policy: ActorGroup[Any], engines: ActorGroup[Any], size: float) -> Iterator[int]:
        """As `Push`."""
        buckets = policy.first(SendingPolicy.described, size)
        members = (*policy.members, *engines.members)
        before, self._met = self._met, ()
        try:
            if members != before:
                self._meet(policy, engines, max(bucket.bytes for bucket in buckets))
            yield from self._one_by_one(policy, engines, buckets)
            self._met = members
        finally:
            if not self._met and self._told:
                # The learner may be sending the next bucket already, which nobody will take: it is told so.
                engines.begin(ReceivingEngine.leave)
            elif not self._met:
                engines.give_up(engines.members)

    @staticmethod
    def _one_by_one(policy: ActorGroup[Any], engines: ActorGroup[Any], buckets: Sequence[Described]) -> Iterator[int]:
        coming = policy.begin(SendingPolicy.send, buckets[0].names)
        for bucket, following in zip(buckets, [*buckets[1:], None], strict=True):
            here, coming = coming, coming if following is None else policy.begin(SendingPolicy.send, following.names)
            both = engines.begin(ReceivingEngine.receive, bucket).followed_by([here])
            *arrived, left = replace(both, what="push").get()
            for found in arrived:
                if found != left:
                    raise changed(bucket.names, found, left)
            yield left

    def _meet(self, policy: ActorGroup[Any], engines: ActorGroup[Any], largest: int) -> None:
        count, self._told = len(engines), policy.first(SendingPolicy.tells)
        meeting = policy.first(SendingPolicy.meeting, count, largest)
        coming = policy.begin(SendingPolicy.meet, meeting)
        places = list(range(1, count + 1))
        both = engines.scatter(ReceivingEngine.meet, places, meeting=meeting).followed_by([coming])
        replace(both, what="push: meeting").get()


def push_weights(
    policy: ActorGroup[Any], engines: ActorGroup[Any], version: int, probe: Probe, push: Push,
    *, bucket: float, tolerance: float,
) -> tuple[int, float]:  # fmt: skip
    """Push in buckets of `bucket` bytes, compare checksums, compare the log-probs of a probe sequence.

    A checksum of the parameters alone does not see a packed copy that an engine kept of its old weights; the probe does.

    Returns:
        a checksum of all weights and the largest mean |Δ log-prob| over the engines, in nats.

    Raises:
        ActorDied: weights arrive changed, or an engine answers the probe otherwise than the learner.
        ActorLost: somebody ended, or hung until the deadline.
    """
    engines.broadcast(RolloutEngine.open_weights)
    checksum = 0
    for one in push.carry(policy, engines, bucket):
        checksum = zlib.crc32(one.to_bytes(4, "big"), checksum)
    engines.broadcast(RolloutEngine.close_weights, version)
    expected = np.array(policy.broadcast(Policy.probe, probe)[0])
    gaps = [np.abs(np.array(found) - expected).mean() for found in engines.broadcast(RolloutEngine.probe, probe)]
    # Unlike Python's, numpy's maximum of what has a NaN in it is NaN, wherever that stands.
    gap = float(np.max(gaps))
    if math.isnan(gap):
        right = np.isfinite(expected).all()
        whose, remedy = (
            ("engine", "it runs on other weights") if right else ("learner", "lower learning_rate, or look at the data")
        )
        raise ActorDied(
            f"rollout: after weights of version {version} the {whose}'s log-probs of the probe are not a number: {remedy}"
        )
    if gap > tolerance:
        raise ActorDied(
            f"rollout: after weights of version {version} the engine's log-probs of the probe are {gap:.3f} nats from the"
            f" learner's (policy.probe_tolerance is {tolerance}): the engine runs on other weights"
        )
    return checksum, gap
