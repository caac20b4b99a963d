"""A served labeler on a real Ray Serve: the same answers as unserved, replicas that come and go, what keeps them from starting."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from actors.group import Needs
from actors.labeler import Labeler
from actors.labelers import open_labeler
from actors.pending import Pending
from actors.scoring import labeler_scores
from actors.serving import ServedLabelers
from tests.actors.chat_server import serving
from tests.actors.examples import random_rollouts
from truing.config.labeling import EndpointLabeler, EngineLabeler, Style
from truing.config.roles import Engine, Model
from truing.config.serving import Replicas
from truing.errors import ActorDied, ActorLost, ConfigError, LabelerStopped, ShortOfResources
from truing.labeling.asking import Asking
from truing.labeling.templates import load_template

ASKING = Asking({"*": load_template("score")}, Style())
GROUPS = random_rollouts(0, prompts=5)
NEEDS = Needs(0, 0, {"HF_HUB_OFFLINE": "1"}, 300, 300)


@pytest.fixture(scope="module")
def settings(tiny: str) -> EngineLabeler:
    return EngineLabeler(
        model=Model(path=tiny, context=1024), engine=Engine(cpus=1, dtype="float32", max_sequences=8, cache_gb=0.1)
    )


@pytest.fixture(scope="module")
def served(
    cluster: None, settings: EngineLabeler, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedLabelers]:
    replicas = Replicas(min=1, max=2, ongoing=1, upscale_seconds=0, downscale_seconds=1)
    labelers = ServedLabelers("ai_score", settings, tmp_path_factory.mktemp("spent"), replicas, NEEDS).ready()
    yield labelers
    labelers.close()


def replicas(served: ServedLabelers) -> int:
    """Replicas that run now."""
    from ray import serve

    deployments = serve.status().applications[served.app].deployments
    return sum(one.replica_states.get("RUNNING", 0) for one in deployments.values())


def until(reached: Any) -> bool:
    end = time.monotonic() + 120
    while not reached() and time.monotonic() < end:
        time.sleep(0.5)
    return reached()


def test_scores_are_those_of_the_labeler_itself(served: ServedLabelers, settings: EngineLabeler):
    labeler = open_labeler(settings)
    expected = labeler_scores(labeler, GROUPS, asking=ASKING, steps="")
    found = served.scatter(labeler_scores, GROUPS, asking=ASKING, steps="").get()
    assert [len(scores) for scores in found] == [len(group) for group in GROUPS]
    for some, others in zip(found, expected, strict=True):
        assert some == pytest.approx(others, abs=1e-4)


def test_what_other_actors_hold_is_not_sent_through_the_driver(served: ServedLabelers, settings: EngineLabeler):
    import ray

    whole = Pending((ray.put(GROUPS[:2]), ray.put(GROUPS[2:])), (2, 3), "rollouts", 60)
    found = served.scatter(labeler_scores, whole, asking=ASKING, steps="").get()
    straight = served.scatter(labeler_scores, GROUPS, asking=ASKING, steps="").get()
    for some, others in zip(found, straight, strict=True):
        assert some == pytest.approx(others, abs=1e-4)


def test_a_slice_among_many_is_one_request(served: ServedLabelers):
    import ray

    groups = ray.put(GROUPS)
    # Two replicas with a request each take five groups in shares of three and two, and whole if others come with them.
    alone, among = (Pending((groups,), (len(GROUPS),), "rollouts", 60, abreast) for abreast in (1, 100))
    asked = [served.scatter(labeler_scores, column, asking=ASKING, steps="") for column in (alone, among)]
    assert [pending.sizes for pending in asked] == [(3, 2), (5,)]
    whole, parts = (pending.get() for pending in asked)
    assert len(whole) == len(parts) == 5


def slow(labeler: Labeler, items: list[int]) -> list[int]:
    """Keeps a replica busy."""
    time.sleep(8)
    return items


def test_replicas_come_with_the_requests_and_go_with_them(served: ServedLabelers):
    assert until(lambda: replicas(served) == 1)
    busy = [served.scatter(slow, list(range(4))) for _ in range(4)]
    assert until(lambda: replicas(served) == 2)
    assert [pending.get() for pending in busy] == [[0, 1, 2, 3]] * 4
    assert until(lambda: replicas(served) == 1)


def model(labeler: Any, items: list[None]) -> list[str]:
    """Who answers."""
    return [labeler.judge.settings.model for _ in items]


def test_each_run_and_part_has_replicas_of_its_own(cluster: None, tmp_path: Path):
    """Two runs with a part in common; one has another, whose name differs in what the name of an application may not hold."""
    with serving() as server:

        def labelers(run: str, part: str) -> ServedLabelers:
            judge = EndpointLabeler(url=f"http://127.0.0.1:{server.server_port}/v1", model=f"{run} {part}")
            return ServedLabelers(part, judge, tmp_path / run / "spent" / "judge", Replicas(), NEEDS)

        every = [labelers("one", "ai_score a b"), labelers("one", "ai_score a-b"), labelers("other", "ai_score a b")]
        try:
            for one in every:
                one.ready()
            assert len({one.app for one in every}) == 3
            assert every[2].app.startswith("truing-other-ai-score-a-b-")
            asked = [one.scatter(model, [None]).get() for one in every]
            assert asked == [["one ai_score a b"], ["one ai_score a-b"], ["other ai_score a b"]]
            # The end of one run is not that of another.
            every[0].close()
            assert every[2].scatter(model, [None]).get() == ["other ai_score a b"]
        finally:
            for one in every:
                one.close()


def test_an_endpoint_that_does_not_answer_is_named_before_replicas_are_started(cluster: None, tmp_path: Path):
    settings = EndpointLabeler(url="http://127.0.0.1:9/v1", model="m", retries=0)
    with pytest.raises(LabelerStopped, match=r"see that the server at http://127\.0\.0\.1:9/v1 is up"):
        ServedLabelers("not-there", settings, tmp_path, Replicas(), NEEDS)


@dataclass(frozen=True)
class Fault:
    """Settings of a labeler that does not load: `function(argument)` takes place when an endpoint is made of them."""

    function: Any
    argument: Any

    @property
    def price(self) -> Any:
        return self.function(self.argument)


def refuse(line: str) -> None:
    raise ConfigError(line)


@pytest.mark.parametrize(
    ("fault", "needs", "kind", "said"),
    [
        (Fault(refuse, "m: no such model"), NEEDS, ConfigError, "m: no such model$"),
        (
            Fault(int, "x"), NEEDS, ActorDied,
            r"ai_score: start: it could not be started \(ValueError: invalid literal .*\); run the same command again",
        ),
        (
            Fault(os._exit, 7), NEEDS, ActorDied,
            r"ai_score: start: the process died \(.*\); run the same command again",
        ),
        (
            Fault(time.sleep, 3600), replace(NEEDS, start_deadline=1), ActorLost,
            "ai_score: start did not answer within 1 s",
        ),
        (
            Fault(time.sleep, 3600), replace(NEEDS, cpus=64, patience=1), ShortOfResources,
            "ai_score: 1 actors of 64 CPU each found no room within 1 s",
        ),
    ],
    ids=["refusal", "error", "death", "deadline", "no room"],
)  # fmt: skip
def test_labelers_that_cannot_be_started_end_in_one_line(
    cluster: None, tmp_path: Path, fault: Any, needs: Needs, kind: type[Exception], said: str
):
    from ray import serve

    served = ServedLabelers("ai_score", fault, tmp_path / "run" / "spent" / "judge", Replicas(), needs)
    try:
        with pytest.raises(kind, match=f"^{said}") as caught:
            served.ready()
        assert "\n" not in str(caught.value)
    finally:
        # Serve gives a replica that never came up 20 s to end in order, as it does any other.
        serve.delete(served.app, _blocking=False)
