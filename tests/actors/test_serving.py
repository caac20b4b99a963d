"""A served labeler on a real Ray Serve: the same answers as unserved, replicas that come and go, bounded waiting."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.group import Needs
from actors.labeler import Labeler
from actors.labelers import open_labeler
from actors.pending import Pending
from actors.scoring import labeler_scores
from actors.serving import ServedLabelers
from tests.actors.examples import random_rollouts
from truing.config.labeling import EndpointLabeler, EngineLabeler, Style
from truing.config.roles import Engine, Model
from truing.config.serving import Replicas
from truing.errors import LabelerStopped
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
    labelers = ServedLabelers("test-labeler", settings, tmp_path_factory.mktemp("spent"), replicas, NEEDS).ready()
    yield labelers
    labelers.close()


def replicas() -> int:
    """Replicas that run now."""
    from ray import serve

    deployments = serve.status().applications["test-labeler"].deployments
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


def slow(labeler: Labeler, items: list[int]) -> list[int]:
    """Keeps a replica busy."""
    time.sleep(8)
    return items


def test_replicas_come_with_the_requests_and_go_with_them(served: ServedLabelers):
    assert until(lambda: replicas() == 1)
    busy = [served.scatter(slow, list(range(4))) for _ in range(4)]
    assert until(lambda: replicas() == 2)
    assert [pending.get() for pending in busy] == [[0, 1, 2, 3]] * 4
    assert until(lambda: replicas() == 1)


def test_an_endpoint_that_does_not_answer_is_named_before_replicas_are_started(cluster: None, tmp_path: Path):
    settings = EndpointLabeler(url="http://127.0.0.1:9/v1", model="m", retries=0)
    with pytest.raises(LabelerStopped, match=r"see that the server at http://127\.0\.0\.1:9/v1 is up"):
        ServedLabelers("not-there", settings, tmp_path, Replicas(), NEEDS)
