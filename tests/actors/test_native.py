"""The native push over gloo: ranks that shard every parameter, and a vLLM engine, in processes of their own."""

import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import ray

from actors.engine import engine_environment
from actors.group import ActorGroup, Elastic, Needs
from actors.learner import learner_environment
from actors.native import ReceivingEngine, SendingPolicy
from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine
from tests.actors import wires
from tests.actors.examples import LEARNER, plain_logprobs, plain_model
from tests.actors.losses import surrogate
from tests.actors.updates import six_prompts, small_parts_too
from trainers.sync import Native, push_weights
from truing.config.roles import Engine, Model
from truing.config.stages import Sampling
from truing.errors import ActorDied, ActorLost
from truing.records import Prompt

PROBE = Probe([1, 30, 40, 50], [60, 70, 80, 90, 100])
CLOSE = 1e-3
"""Nats: the engine's float32 kernels against transformers'."""
BUCKET = 20_000
"""Bytes: a matrix of 64 x 128 numbers and not two. The parts of a fused layer come one by one."""


@pytest.fixture(scope="module")
def policy(cluster: None, other_tiny: str) -> Iterator[ActorGroup[Any]]:
    settings = LEARNER.model_copy(update={"zero_stage": 3})
    make = partial(small_parts_too, other_tiny, settings, kind=SendingPolicy)
    group = ActorGroup.ranks("policy", 2, make, Needs(0, 0, learner_environment(settings), 600, 300))
    yield group.ready()
    group.close()


@pytest.fixture(scope="module")
def engines(cluster: None, tiny: str) -> Iterator[Elastic[Any]]:
    settings = Engine(cpus=1, dtype="float32", max_sequences=8, cache_gb=0.1)
    prompts = [Prompt("why", "Why?", "any", "id")]
    make = partial(ReceivingEngine, tiny, Model(path=tiny, context=256), settings, Sampling(max_tokens=8), prompts)
    group = ActorGroup.elastic("rollout", 1, 1, make, Needs(0, 0, engine_environment(settings), 600, 300))
    group.ready()
    yield group
    group.close()


@pytest.fixture(scope="module")
def native() -> Native:
    return Native()


@pytest.fixture(scope="module")
def first(policy: ActorGroup[Any], engines: Elastic[Any], native: Native) -> tuple[float, int, float]:
    """The gap before any push, and what the first push says."""
    before = engines.broadcast(RolloutEngine.probe, PROBE)[0]
    gap = float(np.abs(np.array(before) - np.array(policy.broadcast(Policy.probe, PROBE)[0])).mean())
    return gap, *pushed(policy, engines, native, 1)


def pushed(policy: ActorGroup[Any], engines: Elastic[Any], native: Native, version: int) -> tuple[int, float]:
    return push_weights(policy, engines, version, PROBE, native, bucket=BUCKET, tolerance=0.02)


def through_the_object_store(policy: ActorGroup[Any]) -> int:
    """The checksum that the other way would give."""
    found = 0
    for names in policy.first(Policy.buckets, BUCKET):
        _, crc = ray.get(policy.together(Policy.weights, names).made())
        found = zlib.crc32(crc.to_bytes(4, "big"), found)
    return found


def test_pushed_weights_are_the_learners_and_in_use(
    policy: ActorGroup[Any], engines: Elastic[Any], first: tuple[float, int, float], other_tiny: str
) -> None:
    before, checksum, after = first
    assert before > 0.1
    assert after < CLOSE
    assert checksum == through_the_object_store(policy)
    # Not only as the learner has them: as transformers loads them from the folder that the learner began with.
    expected = plain_logprobs(plain_model(other_tiny), PROBE.prompt, PROBE.response)
    assert engines.broadcast(RolloutEngine.probe, PROBE)[0] == pytest.approx(expected, abs=CLOSE)
    assert len(policy.first(Policy.buckets, BUCKET)) > 10


def test_an_update_is_pushed_over_the_same_wire(
    policy: ActorGroup[Any], engines: Elastic[Any], native: Native, first: tuple[float, int, float], other_tiny: str
) -> None:
    wire, old = policy.first(wires.wire), np.array(policy.broadcast(Policy.probe, PROBE)[0])
    batch = six_prompts(other_tiny)
    columns = [batch[name] for name in ("groups", "old", "old", "advantages")]
    common = {"minibatches": 1, "loss": surrogate, "importance_cap": 1000.0}
    policy.scatter(Policy.update, *columns, [0] * 6, **common).get()
    moved = float(np.abs(np.array(policy.broadcast(Policy.probe, PROBE)[0]) - old).mean())
    checksum, gap = pushed(policy, engines, native, 2)
    assert checksum == through_the_object_store(policy) != first[1]
    # The learner's new weights are float32, the engine's were bfloat16 on the way.
    assert gap < moved / 10
    assert policy.first(wires.wire) == wire


def test_a_bucket_that_changes_on_the_way_ends_the_run(
    policy: ActorGroup[Any], engines: Elastic[Any], native: Native, first: tuple[float, int, float]
) -> None:
    policy.broadcast(wires.tamper, 3, fails=False)
    names = policy.first(Policy.buckets, BUCKET)[2]
    message = (
        f"^rollout: weights {min(names)} to {max(names)} arrived with checksum [0-9a-f]{{8}} instead of [0-9a-f]{{8}}$"
    )
    with pytest.raises(ActorDied, match=message):
        pushed(policy, engines, native, 3)
    # It was sending the fourth bucket already, and does not wait for the deadline.
    assert policy.lost() == []


def test_after_a_push_that_broke_off_in_a_bucket_all_meet_again(
    policy: ActorGroup[Any], engines: Elastic[Any], native: Native, first: tuple[float, int, float]
) -> None:
    pushed(policy, engines, native, 3)
    wire = policy.first(wires.wire)
    policy.broadcast(wires.tamper, 3, fails=True)
    # The engine waits for the bucket that does not come, and is told.
    with pytest.raises(ActorLost, match=r"^push: a rank lost touch with another"):
        pushed(policy, engines, native, 4)
    assert engines.lost() == policy.lost() == []
    checksum, gap = pushed(policy, engines, native, 4)
    assert checksum == through_the_object_store(policy)
    assert gap < 0.02
    assert policy.first(wires.wire) != wire


def test_after_a_push_that_broke_off_between_buckets_nothing_of_it_is_left(
    policy: ActorGroup[Any], engines: Elastic[Any], native: Native, first: tuple[float, int, float]
) -> None:
    pushed(policy, engines, native, 5)
    engines.broadcast(RolloutEngine.open_weights)
    # The embedding, then a part of the first fused layer.
    for bucket in policy.first(SendingPolicy.described, BUCKET)[:2]:
        engines.begin(ReceivingEngine.receive, bucket).followed_by(
            [policy.begin(SendingPolicy.send, bucket.names)]
        ).get()
    checksum, gap = pushed(policy, engines, native, 6)
    assert checksum == through_the_object_store(policy)
    assert gap < 0.02


def test_an_engine_that_dies_in_a_push_is_lost_alone(
    policy: ActorGroup[Any], engines: Elastic[Any], native: Native, first: tuple[float, int, float]
) -> None:
    ranks = policy.broadcast(wires.process)
    engines.broadcast(wires.die_at, 4)
    with pytest.raises(ActorLost, match=r"^push: the process died"):
        pushed(policy, engines, native, 7)
    assert engines.lost() == [0]
    # The learner hangs in nothing: it answers, and its successor's weights come from the same processes.
    assert policy.lost() == []
    engines.renew()
    engines.ready()
    checksum, gap = pushed(policy, engines, native, 7)
    assert checksum == through_the_object_store(policy)
    assert gap < 0.02
    assert policy.broadcast(wires.process) == ranks
