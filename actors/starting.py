"""How the processes of a group are started: what one needs, where they are put, and where ranks will meet."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import ray
from ray import ObjectRef

from actors.exporting import place
from actors.host import ASIDE, Host, Interruptible
from actors.learner import Seat
from actors.pending import fetch
from actors.placement import MEMORY, ROOM, Together
from truing.errors import TruingError

# Made once: Ray keeps every class that is made remote, for the life of the cluster.
_HOST: Any = ray.remote(Host)
_INTERRUPTIBLE: Any = ray.remote(concurrency_groups={ASIDE: 1})(Interruptible)  # pyright: ignore[reportCallIssue] - no overload


@dataclass(frozen=True, slots=True)
class Needs:
    """What one actor of a role asks of the cluster, and how long it may take."""

    cpus: float
    gpus: float
    environment: dict[str, str]
    start_deadline: float
    call_deadline: float
    restarts: int = 0
    resources: Mapping[str, float] = field(default_factory=dict[str, float])
    patience: float = ROOM
    """Seconds in which there must be room."""
    memory: int = 0
    """Bytes that are set aside."""

    @property
    def bundle(self) -> dict[str, float]:
        """What Ray reserves for one actor, by resource."""
        wanted = {"CPU": self.cpus, "GPU": self.gpus, MEMORY: self.memory, **self.resources}
        return {name: amount for name, amount in wanted.items() if amount}


@dataclass(frozen=True, slots=True)
class Started:
    """The processes of a group: their handles, what each answers when it has loaded, where they were put together."""

    hosts: list[Any]
    loading: "list[ObjectRef[Any]]"
    together: Together | None = None


@dataclass(frozen=True, slots=True)
class Joiner:
    """A process that is to join a group: its handle, what it answers when it has loaded, since when it is known to have room."""

    host: Any
    loading: "ObjectRef[Any]"
    placed: float | None = None

    def seen(self, now: float, *, room: bool) -> "Joiner":
        """The same, loading still at this time, with room or perhaps without."""
        placed = now if self.placed is None else self.placed
        return replace(self, placed=placed if room else None)


def start_stateless(role: str, make: Callable[[], object], needs: Needs, count: int) -> Started:
    """Actors that Ray may start again: they are made as they start."""
    hosts = [_start(role, needs, make) for _ in range(count)]
    return Started(hosts, [host.loaded.remote() for host in hosts])


def start_interruptible(role: str, make: Callable[[], object], needs: Needs, count: int) -> Started:
    """Actors that can be spoken to while they are at work."""
    hosts = [_start(role, needs, None, _INTERRUPTIBLE) for _ in range(count)]
    return Started(hosts, [host.build.remote(make) for host in hosts])


def start_ranks(role: str, make: Callable[[Seat], object], needs: Needs, count: int) -> Started:
    """Ranks, near each other; each is made with its seat.

    Raises:
        ShortOfResources: there is no room for all of them.
        ActorDied: rank 0 did not start.
    """
    together = Together.reserve(role, count, needs.bundle, needs.patience)
    hosts = [_start(role, needs, None, strategy=together.place(rank)) for rank in range(count)]
    try:
        address = fetch([hosts[0].address.remote()], f"{role}: start", needs.start_deadline)[0]
    except TruingError:
        together.release()
        raise
    seats = [Seat(rank, count, address, int(needs.call_deadline)) for rank in range(count)]
    loading = [host.build.remote(partial(make, seat)) for host, seat in zip(hosts, seats, strict=True)]
    return Started(hosts, loading, together)


def _start(
    role: str, needs: Needs, make: Callable[[], object] | None, host: Any = None, strategy: Any = "SPREAD"
) -> Any:
    remote = (host or _HOST).options(
        num_cpus=needs.cpus,
        num_gpus=needs.gpus,
        memory=needs.memory or None,
        resources=dict(needs.resources),
        scheduling_strategy=strategy,
        max_restarts=needs.restarts,
        max_task_retries=needs.restarts,
        runtime_env={"env_vars": place(role) | needs.environment},
    )
    return remote.remote(make)
