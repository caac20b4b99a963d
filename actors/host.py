"""The process of one actor, in which a plain object does the work."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ray
import torch.distributed as dist
from safetensors import SafetensorError

from actors import logs
from actors.broken import ends_if_broken
from actors.exporting import count_start, own_place, watch_memory
from truing.errors import TruingError

ASIDE = "aside"
"""The threads, one an actor, in which it is spoken to while it is at work."""


class Host:
    """The process of one actor. It holds the plain object that does the work, and calls functions on it."""

    def __init__(self, make: Callable[[], object] | None) -> None:
        logs.configure()
        count_start()
        watch_memory(own_place())
        self._subject: object = None
        self._store: object = None
        self._fault: TruingError | None = None
        try:
            self._subject = make() if make else None
        except TruingError as fault:
            # Ray would make a death of it. Kept, it reaches the driver as itself, as the answer to the first call.
            self._fault = fault

    def answers(self) -> None:
        """Say that the process is there and has nothing else to do."""

    def loaded(self) -> None:
        """Say that the object is made."""
        self._check()

    def address(self) -> str:
        """host:port at which a group can meet that has its rank 0 here.

        The store at which the ranks meet is open from now on: they come when their models have loaded, minutes later, and by
        then another process might have the port. torch's rank 0 takes the store of its own process.
        """
        node = ray.util.get_node_ip_address()
        store: Any = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage] - documented there
            node, 0, is_master=True, wait_for_workers=False, multi_tenant=True
        )
        self._store = store
        return f"{node}:{store.port}"

    def build(self, make: Callable[[], object]) -> None:
        """Make the object after the process has started."""
        self._subject = make()

    def call(self, function: Callable[..., object], *args: object, **kwargs: object) -> object:
        """`function(object, ...)`: a method of the object's class, or any function of the object."""
        self._check()
        logs.at_step(_step(kwargs))
        try:
            with ends_if_broken():
                return function(self._subject, *args, **kwargs)
        except (OSError, SafetensorError) as error:
            if any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
                raise TruingError(f"an actor cannot write ({error}); free space or give another storage=...") from None
            raise

    def stream(self, function: Callable[..., Iterator[object]], *args: object, **kwargs: object) -> Iterator[object]:
        """`function(object, ...)`, which hands out what it has as it comes."""
        self._check()
        logs.at_step(_step(kwargs))
        with ends_if_broken():
            yield from function(self._subject, *args, **kwargs)

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault


def _step(arguments: Mapping[str, object]) -> int | None:
    step = arguments.get("step")
    return step if isinstance(step, int) else None


class Interruptible(Host):
    """A host whose object can be spoken to while it is at work.

    Its calls run in one thread of their own and not in the one that starts the process: `build` makes the object there,
    for an engine computes with all its threads only where it was made.
    """

    @ray.method(concurrency_group=ASIDE)
    def answers(self) -> None:
        """Say that the process is there, whatever it is doing."""

    @ray.method(concurrency_group=ASIDE)
    def aside(self, function: Callable[..., object]) -> object:
        """`function(object)` beside the call that is under way."""
        return function(self._subject)
