"""What is seen of a pass that stands still, on a real Ray: who waits for room, and who only takes long."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from actors.group import Needs
from actors.placement import without_room
from jobs.standstill import Watch, _is_there
from jobs.worker import Count
from tests.local_ray import local_ray
from truing.errors import ActorDied, ShortOfResources

NEEDS = Needs(2, 0, {}, start_deadline=100, call_deadline=1000, patience=30)
READING = {"CPU": 0.1}


class Holder:
    """A worker that takes both CPUs. The one that takes its place loads until a file is there."""

    def __init__(self, folder: Path) -> None:
        with (folder / "begun").open("a") as file:
            file.write(".")
        while ray.get_runtime_context().was_current_actor_reconstructed and not (folder / "go").exists():
            time.sleep(0.1)

    def name(self) -> str:
        """Its actor's id."""
        return ray.get_runtime_context().get_actor_id()

    def die(self) -> None:
        """End the process."""
        os._exit(1)


def read() -> None:
    """What reads requests."""


@pytest.fixture(autouse=True)
def cluster() -> Iterator[None]:
    """A local Ray of two CPUs for each test: what waits in one must not be seen in another."""
    with local_ray(2):
        yield


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    """A worker, which may be started again once."""
    return start(tmp_path)


def start(folder: Path) -> Any:
    return ray.remote(Holder).options(num_cpus=2, max_restarts=1).remote(folder)


def loaded(holder: Any, asked: int) -> Count:
    """What is known of a pass with this worker alone: it has begun and loaded, and has asked so many batches."""
    name = ray.get(holder.name.remote())
    return Count(signs=2 + asked, begun=Counter({name: 1}), loaded={name}, asked=asked)


def until_waiting(bundle: dict[str, float]) -> None:
    """Ray knows a moment later what waits for room."""
    while not without_room(bundle):
        time.sleep(0.1)


def test_requests_that_cannot_be_read_beside_the_workers_end_the_pass(holder: Any):
    count = loaded(holder, asked=0)
    reading: Any = ray.remote(num_cpus=0.1)(read).remote()
    until_waiting(READING)
    watch = Watch("labels", NEEDS, READING, now=0)
    watch.at(count, now=10)
    # Heard at 10; the room that there must be within 30 s of it is not there.
    watch.at(count, now=12)
    watch.at(count, now=40)
    with pytest.raises(ShortOfResources) as caught:
        watch.at(count, now=42)
    assert str(caught.value).startswith(
        "labels: reading the requests: 1 actors of 0.1 CPU each found no room within 30 s; 0 CPU free: others use the rest"
    )
    assert reading


def test_an_answer_that_takes_long_is_waited_for_whoever_waits_for_room(holder: Any, tmp_path: Path):
    count = loaded(holder, asked=1)
    others: Any = [ray.remote(num_cpus=0.1)(read).remote(), start(tmp_path)]
    until_waiting(READING)
    until_waiting(NEEDS.bundle)
    watch = Watch("labels", NEEDS, READING, now=0)
    # Up to the last second of a start and an answer: 100 + 1000 s after the last sign.
    for now in range(0, 1101, 10):
        watch.at(count, now)
    with pytest.raises(ActorDied) as caught:
        watch.at(count, now=1101)
    assert str(caught.value) == (
        "labels: no worker has begun, asked or answered for 1100 s, and none has ended; look at their logs,"
        " and run the same command again to go on from what is stored"
    )
    assert others


def test_a_sign_is_a_sign(holder: Any):
    count = loaded(holder, asked=1)
    watch = Watch("labels", NEEDS, READING, now=0)
    watch.at(count, now=1000)
    count.signs += 1
    watch.at(count, now=2000)
    watch.at(count, now=3100)


def test_a_worker_that_died_and_finds_its_room_taken_ends_the_pass(holder: Any, tmp_path: Path):
    count = loaded(holder, asked=1)
    other = start(tmp_path)
    until_waiting(NEEDS.bundle)
    holder.die.remote()
    # The other one has been waiting for longer, and takes its place.
    ray.get(other.name.remote())
    until_waiting(NEEDS.bundle)
    watch = Watch("labels", NEEDS, READING, now=0)
    watch.at(count, now=0)
    watch.at(count, now=30)
    with pytest.raises(ShortOfResources) as caught:
        watch.at(count, now=32)
    assert str(caught.value).startswith("labels: 1 actors of 2 CPU each found no room within 30 s; 0 CPU free")


def test_a_worker_that_loads_in_the_place_of_another_has_its_room(holder: Any, tmp_path: Path):
    count = loaded(holder, asked=1)
    holder.die.remote()
    while (tmp_path / "begun").read_text() != "..":
        time.sleep(0.1)
    other = start(tmp_path)
    until_waiting(NEEDS.bundle)
    # What a worker tells the tally as it begins; until it has, it is taken for one that waits.
    (name,) = count.begun
    assert not _is_there(name, 1)
    count.begun[name] += 1
    watch = Watch("labels", NEEDS, READING, now=0)
    for now in range(0, 1101, 10):
        watch.at(count, now)
    assert other
