"""The Ray boundary: groups of actors, calls that do not block, results that need not pass through the driver."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import ray
from ray import ObjectRef

from actors.host import ASIDE, Host, Interruptible
from actors.learner import Seat
from actors.pending import Arriving, Pending, fetch, shares, split_sizes

A = TypeVar("A")
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Needs:
    """What one actor of a role asks of the cluster, and how long it may take."""

    cpus: float
    gpus: float
    environment: dict[str, str]
    start_deadline: float
    call_deadline: float
    restarts: int = 0


class ActorGroup(Generic[A]):
    """Actors of one role. Work is scattered over them or broadcast to them; methods are passed as functions."""

    def __init__(self, role: str, hosts: Sequence[Any], starting: "Sequence[ObjectRef[Any]]", needs: Needs) -> None:
        self.role, self._hosts, self._starting, self._needs = role, list(hosts), list(starting), needs

    def __len__(self) -> int:
        return len(self._hosts)

    @classmethod
    def stateless(cls, role: str, count: int, make: Callable[[], A], needs: Needs) -> "ActorGroup[A]":
        """Begin to start actors that Ray may start again after a death; their unfinished calls are repeated."""
        hosts = [_start(needs, make) for _ in range(count)]
        return cls(role, hosts, [host.address.remote() for host in hosts], needs)

    @classmethod
    def interruptible(cls, role: str, count: int, make: Callable[[], A], needs: Needs) -> "ActorGroup[A]":
        """Begin to start actors that can be spoken to while they are at work."""
        host: Any = ray.remote(concurrency_groups={ASIDE: 1})  # pyright: ignore[reportCallIssue] - absent from its overloads
        hosts = [_start(needs, None, host(Interruptible)) for _ in range(count)]
        return cls(role, hosts, [host.build.remote(make) for host in hosts], needs)

    @classmethod
    def ranks(cls, role: str, count: int, make: Callable[[Seat], A], needs: Needs) -> "ActorGroup[A]":
        """Begin to start a group that meets in collectives. When one rank dies the group is lost."""
        hosts = [_start(needs, None) for _ in range(count)]
        address = fetch([hosts[0].address.remote()], f"{role}: start", needs.start_deadline)[0]
        seats = [Seat(rank, count, address, int(needs.call_deadline)) for rank in range(count)]
        built = [host.build.remote(partial(make, seat)) for host, seat in zip(hosts, seats, strict=True)]
        return cls(role, hosts, built, needs)

    def ready(self) -> "ActorGroup[A]":
        """Wait until every actor has loaded.

        Raises:
            ActorDied: one died while loading, or the start deadline passed.
        """
        fetch(self._starting, f"{self.role}: start", self._needs.start_deadline)
        return self

    def scatter(
        self,
        function: Callable[Concatenate[A, P], list[T]],
        *columns: "Sequence[object] | Pending[Any]",
        **common: object,
    ) -> Pending[T]:
        """Call with each actor's share of the columns (all of one length), in order, and the common arguments.

        The function returns one item for each item of the first column.
        """
        total = sum(columns[0].sizes) if isinstance(columns[0], Pending) else len(columns[0])
        sizes = split_sizes(total, len(self._hosts))
        split = [shares(column, sizes) for column in columns]
        refs = [
            host.call.remote(function, *(share[i] for share in split), **common) for i, host in enumerate(self._hosts)
        ]
        return Pending(tuple(refs), sizes, self._what(function), self._needs.call_deadline)

    def stream(
        self,
        function: Callable[..., Iterator[list[T]]],
        column: "Sequence[object] | Pending[Any]",
        *args: object,
        sizes: Callable[[int], tuple[int, ...]],
        **common: object,
    ) -> Arriving[T]:
        """Call with each actor's share of the column. It hands out lists of items, whose lengths `sizes(share)` foretells."""
        total = sum(column.sizes) if isinstance(column, Pending) else len(column)
        parts = split_sizes(total, len(self._hosts))
        streams = [
            host.stream.remote(function, share, *args, **common)
            for host, share in zip(self._hosts, shares(column, parts), strict=True)
        ]
        return Arriving(streams, [sizes(part) for part in parts], self._what(function), self._needs.call_deadline)

    def aside(self, function: Callable[[A], object]) -> None:
        """Call every actor beside what it is doing, and wait; the group must be an interruptible one."""
        refs = [host.aside.remote(function) for host in self._hosts]
        fetch(refs, self._what(function), self._needs.call_deadline)

    def broadcast(self, function: Callable[Concatenate[A, P], T], *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Call every actor with the same arguments (an `ObjectRef` arrives as its value) and wait."""
        refs = [host.call.remote(function, *args, **kwargs) for host in self._hosts]
        return fetch(refs, self._what(function), self._needs.call_deadline)

    def first(self, function: Callable[Concatenate[A, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the first actor and wait."""
        ref = self._hosts[0].call.remote(function, *args, **kwargs)
        return fetch([ref], self._what(function), self._needs.call_deadline)[0]

    def together(self, function: Callable[Concatenate[A, P], T], *args: P.args, **kwargs: P.kwargs) -> "ObjectRef[T]":
        """Call every actor, for they may meet in a collective; the first one's value stays in the object store."""
        refs = [host.call.remote(function, *args, **kwargs) for host in self._hosts]
        return refs[0]

    def close(self) -> None:
        """End the processes."""
        for host in self._hosts:
            ray.kill(host)
        self._hosts = []

    def _what(self, function: Callable[..., object]) -> str:
        return f"{self.role}: {getattr(function, '__name__')}"  # noqa: B009 - partials have none, and must not be passed


def _start(needs: Needs, make: Callable[[], object] | None, host: Any = None) -> Any:
    remote = (host or ray.remote(Host)).options(
        num_cpus=needs.cpus,
        num_gpus=needs.gpus,
        max_restarts=needs.restarts,
        max_task_retries=needs.restarts,
        runtime_env={"env_vars": needs.environment},
    )
    return remote.remote(make)
