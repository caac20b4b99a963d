"""The Ray boundary: groups of actors, calls that do not block, results that need not pass through the driver."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

import ray
from ray import ObjectRef

from actors.learner import Seat
from actors.pending import PATIENCE, Arriving, Held, Pending, actor_of, failed, failure, fetch, held
from actors.placement import wait_for_room, without_room
from actors.sharing import length, shares, split_sizes, takers
from actors.starting import Joiner, Needs, Started, start_interruptible, start_ranks, start_stateless

A = TypeVar("A")
T = TypeVar("T")
P = ParamSpec("P")
logger = logging.getLogger(__name__)

FAILURES = 3
"""Times in a row that actors cannot be started, after which an elastic group starts no more."""


class ActorGroup(Generic[A]):
    """Actors of one role. Work is scattered over them or broadcast to them; methods are passed as functions."""

    def __init__(self, role: str, count: int, start: Callable[[int], Started], needs: Needs) -> None:
        """`start` begins to start so many processes; called again when some are to be replaced."""
        self.role, self._count, self._start, self._needs = role, count, start, needs
        self._started = start(count)
        self._given_up: set[str] = set()
        self._turns: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._hosts)

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of who is in it: others, when somebody was replaced, has joined or has left."""
        return tuple(actor_of(loading) for loading in self._started.loading)

    @property
    def _hosts(self) -> list[Any]:
        return self._started.hosts

    @classmethod
    def stateless(cls, role: str, count: int, make: Callable[[], A], needs: Needs) -> "ActorGroup[A]":
        """Begin to start actors that Ray may start again after a death; their unfinished calls are repeated."""
        return cls(role, count, partial(start_stateless, role, make, needs), needs)

    @classmethod
    def elastic(cls, role: str, least: int, most: int, make: Callable[[], A], needs: Needs) -> "Elastic[A]":
        """Begin to start actors that can be spoken to while they are at work, and whose number may change: `least` at first."""
        return Elastic(role, least, most, partial(start_interruptible, role, make, needs), needs)

    @classmethod
    def ranks(cls, role: str, count: int, make: Callable[[Seat], A], needs: Needs) -> "ActorGroup[A]":
        """Begin to start a group that meets in collectives, its ranks near each other. When one dies the group is lost."""
        return Ranks(role, count, partial(start_ranks, role, make, needs), needs)

    def ready(self) -> "ActorGroup[A]":
        """Wait until every actor has loaded.

        Raises:
            ShortOfResources: it finds no room in time.
            ActorDied: one died while loading, or the start deadline passed.
        """
        loading, needs = self._started.loading, self._needs
        wait_for_room(self.role, needs.bundle, needs.patience, loading, needs.start_deadline)
        fetch(loading, f"{self.role}: start", needs.start_deadline)
        return self

    def give_up(self, ids: Collection[str]) -> None:
        """Count these as lost from now on, where they are members, whatever they answer: they hang."""
        self._given_up |= set(ids)

    def lost(self) -> list[int]:
        """Which actors are given up or gone or, a moment after the work of their group has failed, still hang in it."""
        asked = [host.answers.remote() for host in self._hosts]
        ready, _ = ray.wait(asked, num_returns=len(asked), timeout=PATIENCE)
        # An actor that Ray may start again can be silent because it is being started.
        gone = [failed(ref) if ref in ready else not self._needs.restarts for ref in asked]
        return [i for i, who in enumerate(self.members) if gone[i] or who in self._given_up]

    def renew(self) -> None:
        """Begin to start others in the place of those that are lost."""
        lost = self.lost()
        for i in lost:
            ray.kill(self._hosts[i])
        fresh = self._start(len(lost))
        for i, host, loading in zip(lost, fresh.hosts, fresh.loading, strict=True):
            self._started.hosts[i], self._started.loading[i] = host, loading

    def scatter(
        self,
        function: Callable[Concatenate[A, P], list[T]],
        *columns: "Sequence[object] | Pending[Any]",
        **common: object,
    ) -> Pending[T]:
        """Call with each actor's share of the columns (all of one length), in order, and the common arguments.

        The function returns one item for each item of the first column. Where not all actors take part (`sharing.takers`),
        those work whose turn it is.
        """
        what = self._what(function)
        hosts = self._takers(what, columns[0])
        sizes = split_sizes(length(columns[0]), len(hosts))
        split = [shares(column, sizes) for column in columns]
        refs = [
            host.call.options(name=what).remote(function, *(share[i] for share in split), **common)
            for i, host in enumerate(hosts)
        ]
        return Pending(tuple(refs), sizes, what, self._needs.call_deadline)

    def _takers(self, what: str, column: "Sequence[object] | Pending[Any]") -> list[Any]:
        """Who shares a column: those whose turn it is at this function.

        With one turn for all functions, two that are called one after the other for each slice would go to the same halves of
        the group for ever, the long one to one half. Who has an item more than others has had a turn, and nobody else.
        """
        count = len(self._hosts)
        begin, taken = self._turns[what] % count, takers(column, count)
        self._turns[what] = begin + (length(column) % taken or taken)
        return [self._hosts[(begin + i) % count] for i in range(taken)]

    def stream(
        self,
        function: Callable[..., Iterator[list[T]]],
        column: "Sequence[object] | Pending[Any]",
        *args: object,
        sizes: Callable[[int], tuple[int, ...]],
        **common: object,
    ) -> Arriving[T]:
        """Call with each actor's share of the column. It hands out lists of items, whose lengths `sizes(share)` foretells."""
        parts = split_sizes(length(column), len(self._hosts))
        streams = [
            host.stream.options(name=self._what(function)).remote(function, share, *args, **common)
            for host, share in zip(self._hosts, shares(column, parts), strict=True)
        ]
        return Arriving(streams, [sizes(part) for part in parts], self._what(function), self._needs.call_deadline)

    def begin(self, function: Callable[Concatenate[A, P], list[T]], *args: P.args, **kwargs: P.kwargs) -> Pending[T]:
        """Call every actor with the same arguments and do not wait: another group's calls may have to meet these."""
        refs = tuple(host.call.remote(function, *args, **kwargs) for host in self._hosts)
        return Pending(refs, (), self._what(function), self._needs.call_deadline)

    def broadcast(self, function: Callable[Concatenate[A, P], T], *args: P.args, **kwargs: P.kwargs) -> list[T]:
        """Call every actor with the same arguments (an `ObjectRef` arrives as its value) and wait."""
        refs = [host.call.remote(function, *args, **kwargs) for host in self._hosts]
        return fetch(refs, self._what(function), self._needs.call_deadline)

    def first(self, function: Callable[Concatenate[A, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the first actor and wait."""
        ref = self._hosts[0].call.remote(function, *args, **kwargs)
        return fetch([ref], self._what(function), self._needs.call_deadline)[0]

    def together(self, function: Callable[Concatenate[A, P], T], *args: P.args, **kwargs: P.kwargs) -> Held[T]:
        """Call every actor, for they may meet in a collective; the first one's value stays in the object store."""
        refs = [host.call.options(num_returns=2).remote(held, function, *args, **kwargs) for host in self._hosts]
        parts = tuple(part for _, part in refs)
        return Held(refs[0][0], Pending(parts, (), self._what(function), self._needs.call_deadline))

    def close(self) -> None:
        """End the processes."""
        for host in self._hosts:
            ray.kill(host)
        if self._started.together is not None:
            self._started.together.release()
        self._started = Started([], [])

    def _what(self, function: Callable[..., object]) -> str:
        return f"{self.role}: {getattr(function, '__name__')}"  # noqa: B009 - partials have none, and must not be passed


class Elastic(ActorGroup[A]):
    """Actors that join between two calls, when they have loaded, and leave when they are lost."""

    def __init__(self, role: str, least: int, most: int, start: Callable[[int], Started], needs: Needs) -> None:
        super().__init__(role, least, start, needs)
        self._most, self._failures = most, 0
        self._coming: list[Joiner] = []

    def aside(self, function: Callable[[A], object]) -> None:
        """Call every actor beside what it is doing, and wait."""
        refs = [host.aside.remote(function) for host in self._hosts]
        fetch(refs, self._what(function), self._needs.call_deadline)

    def join(self) -> int:
        """Take in who has loaded meanwhile, and begin to start as many as are missing of the most; how many there are now."""
        coming, loaded, now, count = self._coming, self._loaded(), time.monotonic(), len(self._hosts)
        # Whose room is missing is not said: while anybody's is, nobody is late.
        room = len(loaded) == len(coming) or not without_room(self._needs.bundle)
        self._coming = []
        reasons: list[str] = []
        for one in (each.seen(now, room=room) for each in coming):
            reason = failure(one.loading, "start") if one.loading in loaded else self._late(one, now)
            if reason is not None:
                reasons.append(reason)
                ray.kill(one.host)
            elif one.loading in loaded:
                self._started.hosts.append(one.host)
                self._started.loading.append(one.loading)
            else:
                self._coming.append(one)
        self._count_failures(reasons, joined=len(self._hosts) - count)
        missing = self._most - len(self._hosts) - len(self._coming) if self._failures < FAILURES else 0
        fresh = self._start(max(0, missing))
        self._coming += map(Joiner, fresh.hosts, fresh.loading)
        return len(self._hosts)

    def _loaded(self) -> "list[ObjectRef[Any]]":
        """What has come of the loading of those that are to join, where something has."""
        refs = [one.loading for one in self._coming]
        return ray.wait(refs, num_returns=len(refs), timeout=0)[0] if refs else []

    def _late(self, one: Joiner, now: float) -> str | None:
        """What is against who has had room for so long that it should have loaded."""
        late = one.placed is not None and now > one.placed + self._needs.start_deadline
        return f"it has not loaded within {self._needs.start_deadline:g} s" if late else None

    def _count_failures(self, reasons: Sequence[str], *, joined: int) -> None:
        """Log why some cannot join. Several at once are one failure: of a node, it may be."""
        self._failures = 0 if joined else self._failures + bool(reasons)
        more = f"; {self._failures} in a row, no more are started" if self._failures >= FAILURES else ""
        for reason in reasons:
            said = reason.partition("; run the same command")[0]
            logger.warning("%s: an actor cannot join: %s%s", self.role, said, more)

    def renew(self) -> None:
        """Go on without those that are lost; where nobody is left, begin with as many as at first."""
        lost = set(self.lost())
        for i in lost:
            ray.kill(self._hosts[i])
        stay = [i for i in range(len(self._hosts)) if i not in lost]
        hosts, loading = self._started.hosts, self._started.loading
        self._started = Started([hosts[i] for i in stay], [loading[i] for i in stay]) if stay else self._successors()

    def _successors(self) -> Started:
        """As many as at first: who is about to join, for they may have the room that is left, and others."""
        gone = [loading for loading in self._loaded() if failed(loading)]
        able = [one for one in self._coming if one.loading not in gone]
        taken, others, self._coming = able[: self._count], able[self._count :], []
        for one in others:
            ray.kill(one.host)
        fresh = self._start(self._count - len(taken))
        return Started([*(one.host for one in taken), *fresh.hosts], [*(one.loading for one in taken), *fresh.loading])

    def close(self) -> None:
        """End the processes, those that are still loading too."""
        for one in self._coming:
            ray.kill(one.host)
        self._coming = []
        super().close()


class Ranks(ActorGroup[A]):
    """Actors that meet in collectives: all of them, or none."""

    def _takers(self, what: str, column: "Sequence[object] | Pending[Any]") -> list[Any]:  # noqa: ARG002 - as other groups'
        """All: an empty share is a part in the collective."""
        return self._hosts

    def renew(self) -> None:
        """End what is left of the group and begin to start another."""
        self.close()
        self._started = self._start(self._count)
