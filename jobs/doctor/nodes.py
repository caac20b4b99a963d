"""The cluster: connecting to it, and a process on every node that says how it is there."""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import ObjectRef
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.host import Host
from actors.pending import translated
from jobs.cluster.capacity import Nodes, check_capacity
from jobs.cluster.connect import address, connect
from jobs.cluster.demands import demands
from jobs.doctor import storage
from jobs.doctor.found import Found, judged, ok
from jobs.doctor.machine import Asked, Machine, looked
from truing.config.study import Study
from truing.errors import ShortOfResources

T = TypeVar("T")

STARTED = 60.0
"""Seconds that a process on a node may take to start."""
ANSWERED = 30.0
"""Seconds that one answer of such a process may take."""
APART = 5.0
"""Seconds that two clocks may be apart."""
TRIPS = 5
"""Times that a node is asked for its time; the shortest trip counts."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is up: Ray's id, a name to print, and the bytes of its object store."""

    id: str
    name: str
    store: int


@dataclass(frozen=True, slots=True)
class Offset:
    """Seconds that a clock is ahead of the driver's, and by how much that may be wrong: half of the trip."""

    seconds: float
    bound: float


def connected(study: Study) -> Found:
    """Connect, as a run does. What does not fit is said by `placement`."""
    with suppress(ShortOfResources):
        connect(study)
    return ok("cluster", f"{address(study) or 'a local one'}, {len(up())} nodes up")


def up() -> list[Node]:
    """The nodes that are there now; the autoscaler may bring up more."""
    return [
        Node(
            one["NodeID"],
            f"{one['NodeManagerAddress']} ({one['NodeID'][:6]})",
            int(one["Resources"].get("object_store_memory", 0)),
        )
        for one in ray.nodes()
        if one["Alive"]
    ]


def placement(study: Study, nodes: Sequence[Nodes]) -> Found:
    """What is asked against what could be had.

    Raises:
        ShortOfResources: with the shortfall and the nearest layout.
    """
    check_capacity(study, nodes)
    asked = ", ".join(f"{one.count} x {one.key}" for one in demands(study)) or "no actor"
    return ok("placement", f"{asked} find room on {', '.join(map(str, nodes))}")


def started(nodes: Sequence[Node]) -> tuple[dict[Node, Any], dict[str, str]]:
    """A process on each, and why there is none on some, by name."""
    hosts: dict[Node, Any] = {}
    for node in nodes:
        place = NodeAffinitySchedulingStrategy(node.id, soft=False)
        hosts[node] = ray.remote(Host).options(num_cpus=0, scheduling_strategy=place).remote(None)
    _, silent = answers({node: host.answers.remote() for node, host in hosts.items()}, STARTED)
    return {node: host for node, host in hosts.items() if node.name not in silent}, silent


def asked(hosts: Mapping[Node, Any], function: Callable[..., T], *args: object) -> tuple[dict[Node, T], dict[str, str]]:
    """`function(None, ...)` on each node, with what did not answer and why."""
    return answers({node: host.call.remote(function, *args) for node, host in hosts.items()}, ANSWERED)


def answers(refs: "Mapping[Node, ObjectRef[Any]]", seconds: float) -> tuple[dict[Node, Any], dict[str, str]]:
    """The values that come in time, and why the others do not, by the node's name."""
    ready, _ = ray.wait(list(refs.values()), num_returns=len(refs), timeout=seconds) if refs else ([], [])
    found: dict[Node, Any] = {}
    silent: dict[str, str] = {}
    for node, ref in refs.items():
        if ref not in ready:
            silent[node.name] = f"did not answer within {seconds:g} s: see that the node is up, and its raylet's log"
            continue
        try:
            found[node] = ray.get(ref)
        except RayError as error:
            silent[node.name] = f"ended ({translated(error)})"
    return found, silent


def alike(driver: Machine, machines: Sequence[Machine], silent: Mapping[str, str]) -> Found:
    """Every node answers, with the driver's Python and packages."""
    faults = [f"a process on {name} {why}" for name, why in silent.items()]
    for one in machines:
        theirs, ours = {"Python": one.python, **one.packages}, {"Python": driver.python, **driver.packages}
        other = [f"{name} {theirs.get(name, 'not there')}, here {version}" for name, version in ours.items()
                 if theirs.get(name) != version]  # fmt: skip
        if other:
            faults.append(f"{one.name} has {', '.join(other)}: install the same environment on every node")
    return judged(
        "nodes", faults, f"{len(machines)} answer, each with Python {driver.python} and the driver's packages"
    )


def machine(_: object, name: str, wanted: Asked) -> Machine:
    """A node, seen from the process there."""
    return looked(name, wanted)


def now(_: object) -> float:
    """The node's time."""
    return time.time()


def offset(host: Any) -> Offset:
    """A node's clock against this one's: halfway through the trip the node's time should be the mean of both ends."""
    trips: list[Offset] = []
    for _ in range(TRIPS):
        begun = time.time()
        theirs: float = ray.get(host.call.remote(now), timeout=ANSWERED)
        ended = time.time()
        trips.append(Offset(theirs - (begun + ended) / 2, (ended - begun) / 2))
    return min(trips, key=lambda one: one.bound)


def clock(offsets: Mapping[str, Offset]) -> Found:
    """Clocks that are further apart than `APART`."""
    faults = [
        f"the clock of {name} is {abs(one.seconds):.1f} s {'ahead' if one.seconds > 0 else 'behind'} (± {one.bound:.3f}), and"
        f" {APART:g} are allowed: start chrony or systemd-timesyncd there"
        for name, one in offsets.items()
        if abs(one.seconds) > APART
    ]
    furthest = max(offsets.values(), key=lambda one: abs(one.seconds), default=Offset(0, 0))
    return judged("clock", faults, f"at most {abs(furthest.seconds):.3f} s apart (± {furthest.bound:.3f})")


def shared(folder: Path, hosts: Mapping[Node, Any]) -> Found:
    """Driver and nodes see each other's files in the run folder.

    Raises:
        TruingError: the driver cannot write there.
    """
    token = uuid.uuid4().hex
    theirs = folder / f".doctor-{token}"
    mine = {node: folder / f".doctor-{token}-{i}" for i, node in enumerate(hosts)}
    with storage.there(folder):
        try:
            theirs.write_text(storage.TEXT, encoding="utf-8")
            refs = {n: host.call.remote(storage.exchanged, str(theirs), str(mine[n])) for n, host in hosts.items()}
            said, silent = answers(refs, ANSWERED)
            unseen = [node for node, line in said.items() if not line and not storage.seen(mine[node])]
            answers({n: hosts[n].call.remote(storage.removed, str(mine[n])) for n in unseen}, ANSWERED)
        finally:
            for path in (theirs, *mine.values()):
                path.unlink(missing_ok=True)
    lines = {node.name: line for node, line in said.items()} | silent
    return storage.from_nodes(folder, lines, [node.name for node in unseen])
