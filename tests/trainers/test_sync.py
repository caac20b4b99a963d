import zlib
from typing import Any

import numpy as np
import pytest

from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine, checksum
from tests.actors.examples import Here
from trainers.sync import ObjectStore, push_weights
from truing.errors import ActorDied

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
