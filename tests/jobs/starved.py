"""What is said when Ray's memory monitor kills what is needed, as a process of its own: the monitor may end it too."""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path

import ray
from ray.exceptions import OutOfMemoryError

from actors.group import ActorGroup, Needs
from jobs.store import Table
from jobs.sweep import Pool, sweep
from tests.actors.ranks import Toy
from tests.jobs import workers
from tests.jobs.workers import Doubler
from tests.local_ray import local_ray
from truing.errors import ActorDied


def counting(folder: Path) -> str:
    """What a pass says whose counting actor is killed."""
    pool = Pool(partial(Doubler, folder / "asked"), workers.double, Needs(0, 0, {}, 60, 60, 2), batch=2)
    rows = [{"id": f"row-{i}", "number": i} for i in range(4)]
    try:
        sweep("doubling", rows, Table(folder / "doubled"), pool, max_failed=0.5, connect=lambda: None)
    except ActorDied as died:
        return str(died)
    return "nobody was killed"


def group(_: Path) -> list[int]:
    """Which actors a group has lost after its only one was killed for memory."""
    toys = ActorGroup.stateless("toys", 1, Toy, Needs(0, 0, {}, 60, 60))
    try:
        ray.get(toys._hosts[0].answers.remote(), timeout=60)
    except OutOfMemoryError:
        # Not the error of an actor that died otherwise: that is of another kind.
        return toys.lost()
    return []


if __name__ == "__main__":
    with local_ray(2), tempfile.TemporaryDirectory() as scratch:
        found = {"counting": counting, "group": group}[sys.argv[1]](Path(scratch))
        # Not printed: Ray prints what the monitor kills, in between.
        Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")
