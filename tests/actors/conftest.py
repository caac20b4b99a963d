"""One small Ray cluster for all tests of the actors; gone before other tests start."""

import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.local_ray import local_ray


@pytest.fixture(scope="package", autouse=True)
def environment() -> Iterator[None]:
    """An engine or a learner sets variables of its process; here that is the process of all tests."""
    before = dict(os.environ)
    os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="package")
def cluster(environment: None) -> Iterator[None]:
    """A local Ray cluster."""
    with local_ray(4):
        yield


@pytest.fixture(scope="module")
def worlds(cluster: None) -> Iterator[dict[int, Any]]:
    """Groups of `Room`s by the number of their ranks: 1 in this process, 2 and 4 as real actors."""
    from actors.group import ActorGroup, Needs
    from actors.learner import learner_environment
    from tests.actors.examples import LEARNER, Here, alone
    from tests.actors.ranks import Room

    needs = Needs(0, 0, learner_environment(LEARNER), 600, 300)
    groups = {count: ActorGroup.ranks(f"{count} ranks", count, Room, needs) for count in (2, 4)}
    for group in groups.values():
        group.ready()
    yield {1: Here(Room(alone())), **groups}
    for group in groups.values():
        group.close()
