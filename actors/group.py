"""The Ray boundary: groups of actors, calls that do not block, results that need not pass through the driver."""

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import ray
from ray import ObjectRef
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError, WorkerCrashedError
from safetensors import SafetensorError

from actors.learner import Seat, free_address
from truing.errors import ActorDied, TruingError

A = TypeVar("A")
T = TypeVar("T")
P = ParamSpec("P")

PATIENCE = 3.0
"""Seconds after a failure in which the group's other answers are listened to, to tell the cause from its effects."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What one actor of a role asks of the cluster, and how long it may take."""

    cpus: float
    gpus: float
    environment: dict[str, str]
    start_deadline: float
    call_deadline: float
    restarts: int = 0


class Host:
    """The process of one actor. It holds the plain object that does the work, and calls functions on it."""

    def __init__(self, make: Callable[[], object] | None) -> None:
        self._subject: object = None
        self._fault: TruingError | None = None
        try:
            self._subject = make() if make else None
        except TruingError as fault:
            # Ray would make a death of it. Kept, it reaches the driver as itself, as the answer to the first call.
            self._fault = fault

    def address(self) -> str:
        """host:port at which a group can meet that has its rank 0 here."""
        self._check()
        return free_address(ray.util.get_node_ip_address())

    def build(self, make: Callable[[], object]) -> None:
        """Make the object after the process has started."""
        self._subject = make()

    def call(self, function: Callable[..., object], *args: object, **kwargs: object) -> object:
        """`function(object, ...)`: a method of the object's class, or any function of the object."""
        self._check()
        try:
            return function(self._subject, *args, **kwargs)
        except (OSError, SafetensorError) as error:
            if any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
                raise TruingError(f"an actor cannot write ({error}); free space or give another storage=...") from None
            raise

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """Items that some actors are working on, in order. It may be an argument of the next call."""

    shards: "tuple[ObjectRef[Any], ...]"
    sizes: tuple[int, ...]
    what: str
    deadline: float

    def get(self) -> list[T]:
        """The items, in the driver.

        Raises:
            ActorDied: an actor ended, or the deadline passed; the message translates the cause.
        """
        return [item for shard in fetch(self.shards, self.what, self.deadline) for item in shard]


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


def _start(needs: Needs, make: Callable[[], object] | None) -> Any:
    remote = ray.remote(Host).options(
        num_cpus=needs.cpus,
        num_gpus=needs.gpus,
        max_restarts=needs.restarts,
        max_task_retries=needs.restarts,
        runtime_env={"env_vars": needs.environment},
    )
    return remote.remote(make)


def split_sizes(total: int, parts: int) -> tuple[int, ...]:
    """Sizes of `parts` consecutive shares of `total` items; they differ by one at most."""
    return tuple(total // parts + (i < total % parts) for i in range(parts))


def shares(column: "Sequence[object] | Pending[Any]", sizes: tuple[int, ...]) -> list[Any]:
    """A column in consecutive shares of these sizes; what is pending stays where it is."""
    if isinstance(column, Pending):
        if sum(column.sizes) != sum(sizes):
            raise ValueError(f"columns of {sum(sizes)} and {sum(column.sizes)} items cannot be scattered together")
        if column.sizes == sizes:
            return list(column.shards)
        split = ray.remote(_split).options(num_returns=len(sizes), num_cpus=0)
        parts: Any = split.remote(sizes, *column.shards)
        return [parts] if len(sizes) == 1 else parts
    if len(column) != sum(sizes):
        raise ValueError(f"columns of {sum(sizes)} and {len(column)} items cannot be scattered together")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [column[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _split(sizes: tuple[int, ...], *shards: list[object]) -> Any:
    """A Ray task: the same items in other shares."""
    items = [item for shard in shards for item in shard]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    shares = [items[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    return shares[0] if len(shares) == 1 else shares


def fetch(refs: "Sequence[ObjectRef[Any]]", what: str, deadline: float) -> list[Any]:
    """Values of references, or one translated error.

    Raises:
        ActorDied: death or deadline.
        TruingError: whatever such error the actor raised itself.
    """
    until = time.monotonic() + deadline
    values: dict[ObjectRef[Any], Any] = {}
    waiting = list(dict.fromkeys(refs))
    try:
        while waiting:
            # Who answers first is heard first: when one of a group fails, the others may wait for it in a collective.
            ready, waiting = ray.wait(waiting, timeout=max(0.0, until - time.monotonic()))
            if not ready:
                raise ActorDied(
                    f"{what} did not answer within {deadline:g} s; raise cluster.call_deadline or look at its log"
                )
            values[ready[0]] = ray.get(ready[0])
    except RayError as error:
        raise _cause([error, *_errors(waiting)], what) from None
    return [values[ref] for ref in refs]


def _errors(refs: "list[ObjectRef[Any]]") -> list[RayError]:
    """What else went wrong, as far as it is known a moment later."""
    ready = ray.wait(refs, num_returns=len(refs), timeout=PATIENCE)[0] if refs else []
    errors: list[RayError] = []
    for ref in ready:
        try:
            ray.get(ref)
        except RayError as error:
            errors.append(error)
    return errors


def _cause(errors: list[RayError], what: str) -> BaseException:
    """The one error that explains the others: an actor's own message, then a death, then what came first.

    A rank whose peer failed sees a broken connection, nothing more.
    """
    for error in errors:
        if isinstance(error, RayTaskError) and isinstance(error.cause, TruingError):
            return error.cause
    for error in errors:
        if not isinstance(error, RayTaskError):
            return ActorDied(f"{what}: {translated(error)}; run the same command again to go on from what is stored")
    return errors[0]


def translated(error: RayError) -> str:
    """The cause of a death in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, OutOfMemoryError) or "OutOfMemory" in text or "memory pressure" in text:
        return "the process was killed for lack of memory: lower token_budget, max_sequences or the number of actors"
    if "node" in text and ("died" in text or "dead" in text) and "worker process has died" not in text:
        return "its node was lost"
    if "raised in its creation task" in text:
        return f"it could not be started ({str(error).strip().splitlines()[-1].strip()[:300]})"
    if isinstance(error, (RayActorError, WorkerCrashedError)):
        return f"the process died ({text[:300]})"
    return text[:300]
