"""What actors are working on: results that need not pass through the driver, and what it means when they do not come."""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray
from ray import ObjectRef
from ray.exceptions import OutOfMemoryError, RayActorError, RayError, RayTaskError, WorkerCrashedError

from truing.errors import ActorDied, ActorLost, TruingError

T = TypeVar("T")
logger = logging.getLogger(__name__)

COLLECTIVES = ("gloo/transport", "ProcessGroup", "NCCL", "DistNetworkError")
"""What is in the text of an error of a rank whose peer went away."""
STARVED = ("OutOfMemory", "memory pressure", "low on memory")
"""What is in the text of a death for lack of memory, whoever tells of it."""
NODE = re.compile(r"(?:\bip|\bNode IP): ([^\s,]+)")
"""Where Ray's text of a death has the address of the node."""
STALL = 120.0
"""Seconds without any answer after which who is waited for is named, and again after as many."""
PATIENCE = 3.0
"""Seconds after a failure in which the group's other answers are listened to, to tell the cause from its effects."""


@dataclass(frozen=True, slots=True)
class Pending(Generic[T]):
    """Items that some actors are working on, in order. It may be an argument of the next call.

    `abreast` of such come at about the same time: the slices of as many actors.
    """

    shards: "tuple[ObjectRef[Any], ...]"
    sizes: tuple[int, ...]
    what: str
    deadline: float
    abreast: int = 1

    def followed_by(self, others: "Sequence[Pending[T]]") -> "Pending[T]":
        """These items and those of the others, in order."""
        every = (self, *others)
        shards = tuple(shard for one in every for shard in one.shards)
        return Pending(shards, tuple(size for one in every for size in one.sizes), self.what, self.deadline)

    def get(self) -> list[T]:
        """The items, in the driver.

        Raises:
            ActorLost: an actor ended, or the deadline passed; the message translates the cause.
            ActorDied: an actor could not be started.
        """
        return [item for shard in fetch(self.shards, self.what, self.deadline) for item in shard]


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """A value in whose making every actor of a group has a part. It stays in the object store, where the first actor put it."""

    value: "ObjectRef[T]"
    parts: Pending[None]

    def made(self) -> "ObjectRef[T]":
        """The value, still where it is, when every actor has done its part. Raises as `Pending.get`."""
        self.parts.get()
        return self.value


def held(subject: object, function: Callable[..., T], *args: object, **kwargs: object) -> tuple[T, list[None]]:
    """In an actor: the value, and an empty list beside it, which says to the driver that it is there, or why not."""
    return function(subject, *args, **kwargs), []


class Arriving(Generic[T]):
    """Items that some actors hand out in slices, each as soon as it is done; the last list of an actor is what is left over."""

    def __init__(self, streams: Sequence[Any], sizes: Sequence[tuple[int, ...]], what: str, deadline: float) -> None:
        """`sizes`: lengths of an actor's lists, what is left over last."""
        self._streams = dict(enumerate(streams))
        self._sizes, self._what, self._deadline = sizes, what, deadline
        self._come: list[list[ObjectRef[Any]]] = [[] for _ in sizes]

    def __iter__(self) -> "Iterator[tuple[tuple[int, int], Pending[T]]]":
        """Slices with their places, (actor, number): those that have come in order, then others as they come.

        Raises:
            ActorLost: an actor ended, or nothing came before the deadline.
        """
        for actor, refs in enumerate(self._come):
            for number in range(min(len(refs), len(self._sizes[actor]) - 1)):
                yield (actor, number), self._pending(actor, number)
        while self._streams:
            actor = self._next()
            number = len(self._come[actor]) - 1
            if number < len(self._sizes[actor]) - 1:
                yield (actor, number), self._pending(actor, number)

    def _next(self) -> int:
        """Take one list more, of whichever actor has it first."""
        ready, _ = ray.wait(list(self._streams.values()), timeout=self._deadline)
        if not ready:
            late = ", ".join(map(str, self._streams))
            raise ActorLost(
                f"{self._what} handed nothing out within {self._deadline:g} s (actor {late});"
                " raise cluster.call_deadline or look at its log",
                [actor_of(stream.completed()) for stream in self._streams.values()],
            )
        actor = next(actor for actor, stream in self._streams.items() if stream is ready[0])
        come = self._come[actor]
        try:
            come.append(next(self._streams[actor]))
        except StopIteration:
            # It ended early, and its last list is the reason.
            fetch(come, self._what, self._deadline)
            raise ActorDied(f"{self._what} ended after {len(come)} lists of {len(self._sizes[actor])}") from None
        if len(come) == len(self._sizes[actor]):
            del self._streams[actor]
        return actor

    def _pending(self, actor: int, number: int) -> Pending[T]:
        shard, size = self._come[actor][number], self._sizes[actor][number]
        return Pending((shard,), (size,), self._what, self._deadline, len(self._sizes))

    def _joined(self, numbers: Callable[[int], range]) -> Pending[T]:
        for _ in self:
            pass
        parts = [self._pending(actor, i) for actor, sizes in enumerate(self._sizes) for i in numbers(len(sizes))]
        return Pending((), (), self._what, self._deadline).followed_by(parts)

    def all(self) -> Pending[T]:
        """All slices, actor by actor, when the last one has come."""
        return self._joined(lambda lists: range(lists - 1))

    def left(self) -> Pending[T]:
        """What is left over."""
        return self._joined(lambda lists: range(lists - 1, lists))

    def everything(self) -> Pending[T]:
        """Slices and what is left over, actor by actor."""
        return self._joined(range)


def fetch(refs: "Sequence[ObjectRef[Any]]", what: str, deadline: float) -> list[Any]:
    """Values of references, or one translated error.

    Raises:
        ActorLost: death, or deadline and whose call missed it.
        ActorDied: an actor could not be started.
        TruingError: whatever such error the actor raised itself.
    """
    until = time.monotonic() + deadline
    values: dict[ObjectRef[Any], Any] = {}
    waiting = list(dict.fromkeys(refs))
    try:
        while waiting:
            # Who answers first is heard first: when one of a group fails, the others may wait for it in a collective.
            left = max(0.0, until - time.monotonic())
            ready, waiting = ray.wait(waiting, timeout=min(left, STALL))
            if ready:
                values[ready[0]] = ray.get(ready[0])
                continue
            late = f"{_numbers(refs, waiting)} of {len(refs)}"
            if left <= STALL:
                raise ActorLost(
                    f"{what} did not answer within {deadline:g} s (actor {late}); raise cluster.call_deadline or look at its log",
                    [actor_of(ref) for ref in waiting],
                )
            logger.warning("%s: nothing for %.0f s; still waiting for actor %s", what, deadline - left + STALL, late)
    except RayError as error:
        raise _cause([error, *_errors(waiting)], what) from None
    return [values[ref] for ref in refs]


def failed(ref: "ObjectRef[Any]") -> bool:
    """Whether what has come of a reference is an error."""
    return failure(ref, "") is not None


def failure(ref: "ObjectRef[Any]", what: str) -> str | None:
    """The error that has come of a reference, translated, in one line; None where a value has come."""
    try:
        ray.get(ref)
    except RayError as error:
        cause = _cause([error], what)
        return str(cause) if isinstance(cause, TruingError) else f"{what}: {_last_line(error)}"
    return None


def actor_of(ref: "ObjectRef[Any]") -> str:
    """The id of the actor whose call it is that a reference waits for."""
    return ref.task_id().actor_id().hex()


def _numbers(refs: "Sequence[ObjectRef[Any]]", late: "Sequence[ObjectRef[Any]]") -> str:
    """Which actors are late: their places in the group, the first ten."""
    places = [i for i, ref in enumerate(refs) if ref in set(late)]
    return ", ".join(map(str, places[:10])) + (" ..." if len(places) > 10 else "")


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
    roots = [_root(error) for error in errors]
    for root in roots:
        if isinstance(root, TruingError):
            return root
    for root in roots:
        if isinstance(root, RayError):
            kind = ActorDied if _never_started(root) else ActorLost
            return kind(f"{what}: {translated(root)}; run the same command again to go on from what is stored")
    if any(name in str(errors[0]) for name in COLLECTIVES):
        return ActorLost(
            f"{what}: a rank lost touch with another ({_last_line(errors[0])}); run the same command again to go on"
        )
    return errors[0]


def _last_line(error: RayError) -> str:
    """What was raised, without the traceback before it."""
    return str(error).strip().splitlines()[-1].strip()[:200]


def _root(error: BaseException) -> BaseException:
    """What was raised first: Ray hands it on through every call that was to get the value."""
    while isinstance(error, RayTaskError):
        error = error.cause
    return error


def _never_started(error: RayError) -> bool:
    """Whether its own constructor failed, as it would in the next process."""
    return "raised in its creation task" in " ".join(str(error).split())


def translated(error: RayError) -> str:
    """The cause of a death in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, OutOfMemoryError) or any(sign in text for sign in STARVED):
        return (
            "the process was killed for lack of memory: lower token_budget, batch, max_sequences or the number of actors, or set"
            " memory aside for its role (cluster.memory)"
        )
    if "node" in text and ("died" in text or "dead" in text) and "worker process has died" not in text:
        where = NODE.search(text)
        node = f"its node {where[1]}" if where else "its node"
        # A machine that is gone and one that no packet reaches look the same from here.
        return f"{node} was lost, or cut off the network"
    if _never_started(error):
        return f"it could not be started ({str(error).strip().splitlines()[-1].strip()[:300]})"
    if isinstance(error, (RayActorError, WorkerCrashedError)):
        return f"the process died ({text[:300]})"
    return text[:300]
