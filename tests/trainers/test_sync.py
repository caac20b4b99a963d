import zlib
from collections.abc import Iterator
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.group import ActorGroup, Needs
from actors.native import ReceivingEngine, SendingPolicy
from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine, checksum
from tests.actors.examples import Here
from tests.local_ray import local_ray
from tests.trainers.ends import SUM, Ranks, Receiver, Sender, Taker
from trainers.sync import Native, ObjectStore, push_weights
from truing.errors import ActorDied, ActorLost, ConfigError

BITS = {"a": np.array([1, 2, 3], np.int16), "b": np.array([4], np.int16), "c": np.array([5, 6], np.int16)}
BUCKETS = [["a"], ["b", "c"]]
PROBE = Probe([1, 2], [3, 4])


class Side:
    """Stands in for a learner and for an engine: the probe's log-probs are given."""

    def __init__(self, logprobs: list[float]) -> None:
        self.logprobs = logprobs
        self.log: list[Any] = []

    def buckets(self, size: float) -> list[list[str]]:
        assert size == 6
        return BUCKETS

    def weights(self, names: list[str]) -> tuple[Any, int]:
        bits = {name: BITS[name] for name in names}
        return bits, checksum(bits)

    def open_weights(self) -> None:
        self.log.append("open")

    def take_bucket(self, bucket: tuple[Any, int]) -> int:
        self.log.append(list(bucket[0]))
        return checksum(bucket[0])

    def close_weights(self, version: int) -> None:
        self.log.append(version)

    def probe(self, probe: Probe) -> list[float]:
        assert probe == PROBE
        return self.logprobs


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("buckets", "weights", "probe"):
        monkeypatch.setattr(Policy, name, getattr(Side, name))
    for name in ("open_weights", "take_bucket", "close_weights", "probe"):
        monkeypatch.setattr(RolloutEngine, name, getattr(Side, name))


def test_every_engine_has_all_buckets_and_the_largest_gap_is_told() -> None:
    engines = Here(Side([-1.0, -2.0]), Side([-1.25, -1.75]), Side([-1.0, -2.125]))
    found = push_weights(Here(Side([-1.0, -2.0])), engines, 5, PROBE, ObjectStore(), bucket=6, tolerance=0.25)
    # Mean |Δ|: 0; (0.25 + 0.25)/2; 0.125/2
    parts = [checksum({name: BITS[name] for name in names}).to_bytes(4, "big") for names in BUCKETS]
    assert found == (zlib.crc32(b"".join(parts)), pytest.approx(0.25))
    assert [side.log for side in engines.subjects] == [["open", ["a"], ["b", "c"], 5]] * 3


def test_an_engine_that_answers_otherwise_ends_the_run() -> None:
    engines = Here(Side([-1.0, -2.0]), Side([-2.0, -2.0]))
    message = (
        r"^rollout: after weights of version 6 the engine's log-probs of the probe are 0\.500 nats from the learner's"
        r" \(policy\.probe_tolerance is 0\.25\): the engine runs on other weights$"
    )
    # Its errors of opposite signs do not cancel: (1 + 0)/2, and (½ + ½)/2
    with pytest.raises(ActorDied, match=message):
        push_weights(Here(Side([-1.0, -2.0])), engines, 6, PROBE, ObjectStore(), bucket=6, tolerance=0.25)
    with pytest.raises(ActorDied, match=message):
        push_weights(
            Here(Side([-1.0, -2.0])), Here(Side([-1.5, -1.5])), 6, PROBE, ObjectStore(), bucket=6, tolerance=0.25
        )


@pytest.mark.parametrize(
    ("learner", "engines", "whose"),
    [
        # Python's max() of gaps (NaN, 0) is NaN, and that of (0, NaN) is 0: neither is larger than 0.25.
        ([-1.0, -2.0], [[nan, -2.0], [-1.0, -2.0]], "engine's .*: it runs on other weights"),
        ([-1.0, -2.0], [[-1.0, -2.0], [nan, -2.0]], "engine's .*: it runs on other weights"),
        ([nan, -2.0], [[nan, -2.0], [nan, -2.0]], "learner's .*: lower learning_rate, or look at the data"),
    ],
)
def test_log_probs_that_are_not_a_number_end_the_run(
    learner: list[float], engines: list[list[float]], whose: str
) -> None:
    with pytest.raises(ActorDied, match=rf"^rollout: after weights of version 6 the {whose}$") as died:
        push_weights(Here(Side(learner)), Here(*map(Side, engines)), 6, PROBE, ObjectStore(), bucket=6, tolerance=0.25)
    assert "log-probs of the probe are not a number" in str(died.value)


# --- pushes that break off, with real processes ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with local_ray(2):
        yield


def needs(deadline: float) -> Needs:
    return Needs(0, 0, {"OMP_NUM_THREADS": "1"}, start_deadline=120, call_deadline=deadline)


@pytest.fixture
def taker(cluster: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ActorGroup[Any]]:
    for name in ("buckets", "weights"):
        monkeypatch.setattr(Policy, name, getattr(Ranks, name))
    monkeypatch.setattr(RolloutEngine, "take_bucket", Taker.take_bucket)
    group = ActorGroup.elastic("rollout", 1, 1, Taker, needs(30)).ready()
    yield group
    group.close()


def test_a_rank_that_refuses_is_heard_while_another_waits_for_it(taker: ActorGroup[Any]) -> None:
    """Rank 0 waits in a collective and has no bucket for the engine, until the deadline."""
    policy = ActorGroup.ranks("policy", 2, partial(Ranks, sleeps=False), needs(30)).ready()
    carried = ObjectStore().carry(policy, taker, 6)
    assert next(carried) == SUM
    with pytest.raises(ConfigError, match=r"^rank 1: does not want to; ask it later$"):
        next(carried)
    policy.close()


def test_an_engine_that_waits_for_the_learner_is_not_blamed(taker: ActorGroup[Any]) -> None:
    policy = ActorGroup.ranks("policy", 1, partial(Ranks, sleeps=True), needs(10)).ready()
    carried = ObjectStore().carry(policy, taker, 6)
    assert next(carried) == SUM
    with pytest.raises(ActorLost, match=r"^policy: weights did not answer within 10 s \(actor 0 of 1\)") as loss:
        next(carried)
    assert loss.value.late == policy.members
    policy.close()


def test_engines_that_nothing_frees_from_a_push_are_lost(
    cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over NCCL: the learner's end fails, and whoever waits at the other end is not told."""
    for end, stand_in, names in (
        (SendingPolicy, Sender, ("described", "tells", "meeting", "meet", "send")),
        (ReceivingEngine, Receiver, ("meet", "receive", "leave")),
    ):
        for name in names:
            monkeypatch.setattr(end, name, getattr(stand_in, name))
    broken = tmp_path / "broken"
    broken.touch()
    policy = ActorGroup.ranks("policy", 1, partial(Sender, broken), needs(60)).ready()
    engines = ActorGroup.elastic("rollout", 2, 2, partial(Receiver, broken), needs(60)).ready()
    push = Native()
    with pytest.raises(ActorLost, match=r"^push: a rank lost touch with another \(.*NCCL error"):
        list(push.carry(policy, engines, 6))
    assert (engines.lost(), policy.lost()) == ([0, 1], [])
    broken.unlink()
    engines.renew()
    engines.ready()
    assert list(push.carry(policy, engines, 6)) == [SUM]
    assert engines.lost() == []
    for group in (policy, engines):
        group.close()
