from typing import Any

import numpy as np
import pytest

from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine, checksum
from tests.actors.examples import Here
from trainers.sync import push_weights
from truing.errors import ActorDied

BITS = {"a": np.array([1, 2, 3], np.int16)}
PROBE = Probe([1, 2], [3, 4])


class Side:
    """Stands in for a learner and for an engine: the probe's log-probs are given."""

    def __init__(self, logprobs: list[float]) -> None:
        self.logprobs = logprobs
        self.versions: list[int] = []

    def weights(self) -> tuple[Any, int]:
        return BITS, checksum(BITS)

    def load_weights(self, weights: Any, *, version: int, expected: int) -> int:
        assert checksum(weights) == expected
        self.versions.append(version)
        return expected

    def probe(self, probe: Probe) -> list[float]:
        assert probe == PROBE
        return self.logprobs


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Policy, "weights", Side.weights)
    monkeypatch.setattr(Policy, "probe", Side.probe)
    monkeypatch.setattr(RolloutEngine, "probe", Side.probe)


def test_every_engine_has_the_version_and_the_largest_gap_is_told() -> None:
    engines = Here(Side([-1.0, -2.0]), Side([-1.25, -1.75]), Side([-1.0, -2.125]))
    found = push_weights(Here(Side([-1.0, -2.0])), engines, 5, PROBE, tolerance=0.25)
    # Mean |Δ|: 0; (0.25 + 0.25)/2; 0.125/2
    assert found == (checksum(BITS), pytest.approx(0.25))
    assert [side.versions for side in engines.subjects] == [[5], [5], [5]]


def test_an_engine_that_answers_otherwise_ends_the_run() -> None:
    engines = Here(Side([-1.0, -2.0]), Side([-2.0, -2.0]))
    message = (
        r"^rollout: after weights of version 6 the engine's log-probs of the probe are 0\.500 nats from the learner's"
        r" \(policy\.probe_tolerance is 0\.25\): the engine runs on other weights$"
    )
    # Its errors of opposite signs do not cancel: (1 + 0)/2, and (½ + ½)/2
    with pytest.raises(ActorDied, match=message):
        push_weights(Here(Side([-1.0, -2.0])), engines, 6, PROBE, tolerance=0.25)
    with pytest.raises(ActorDied, match=message):
        push_weights(Here(Side([-1.0, -2.0])), Here(Side([-1.5, -1.5])), 6, PROBE, tolerance=0.25)
