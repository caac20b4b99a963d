"""What is said when Ray's memory monitor kills what is needed: a real monitor, for which any use is too much."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from actors.group import ActorGroup, Needs
from jobs.store import Table
from jobs.sweep import Pool, sweep
from tests.actors.ranks import Toy
from tests.jobs import workers
from tests.jobs.workers import Doubler
from tests.local_ray import local_ray
from truing.errors import ActorDied


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A local Ray that kills a worker, ten times a second, as long as more than a thousandth of the memory is in use."""
    before = dict(os.environ)
    os.environ |= {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
    try:
        with local_ray(2):
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_a_pass_whose_count_is_killed_ends_in_one_line(tmp_path: Path) -> None:
    pool = Pool(partial(Doubler, tmp_path / "asked"), workers.double, Needs(0, 0, {}, 60, 60, 2), batch=2)
    rows = [{"id": f"row-{i}", "number": i} for i in range(4)]
    with pytest.raises(ActorDied) as caught:
        sweep("doubling", rows, Table(tmp_path / "doubled"), pool, max_failed=0.5, connect=lambda: None)
    assert str(caught.value) == (
        "doubling: the actor that counts: the process was killed for lack of memory: lower token_budget, batch, max_sequences or"
        " the number of actors, or set memory aside for its role (cluster.memory);"
        " run the same command again to go on from what is stored"
    )


def test_a_group_knows_that_it_has_lost_an_actor() -> None:
    import ray
    from ray.exceptions import OutOfMemoryError

    group = ActorGroup.stateless("toys", 1, Toy, Needs(0, 0, {}, 60, 60))
    try:
        # Not the error of an actor that died otherwise: that is of another kind.
        with pytest.raises(OutOfMemoryError):
            ray.get(group._hosts[0].answers.remote(), timeout=60)
        assert group.lost() == [0]
    finally:
        group.close()
