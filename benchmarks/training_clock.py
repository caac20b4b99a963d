"""When actors are at work: every call notes its begin and its end. What no actor spends of a step, Ray and driver do.

Small on purpose: the actors' processes import it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

Interval = tuple[float, float]
"""Begin and end on the machine's monotonic clock, in seconds."""


@dataclass(frozen=True, slots=True)
class Clocked:
    """A function of an actor that writes down when it ran."""

    function: Callable[..., object]
    log: str

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run it."""
        with note(self.log):
            return self.function(*args, **kwargs)


@dataclass(frozen=True, slots=True)
class ClockedStream:
    """A function of an actor that hands out what it has as it comes, and writes down when it ran."""

    function: Callable[..., Iterator[object]]
    log: str

    def __call__(self, *args: object, **kwargs: object) -> Iterator[object]:
        """Run it."""
        with note(self.log):
            yield from self.function(*args, **kwargs)


@contextmanager
def note(log: str) -> Iterator[None]:
    """Write down when the block ran."""
    begun = time.monotonic()
    try:
        yield
    finally:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{begun} {time.monotonic()}\n")


@dataclass(frozen=True, slots=True)
class ClockedCall:
    """A host's method, with the clock around what is called."""

    method: Any
    clock: Callable[[Any, str], Callable[..., object]]
    log: str

    def options(self, **options: object) -> "ClockedCall":
        """As the host's own."""
        return replace(self, method=self.method.options(**options))

    def remote(self, function: Callable[..., object], *args: object, **kwargs: object) -> object:
        """As the host's own."""
        return self.method.remote(self.clock(function, self.log), *args, **kwargs)


@dataclass(frozen=True, slots=True)
class ClockedHost:
    """Stands for a host while its calls are timed."""

    call: ClockedCall
    stream: ClockedCall


@contextmanager
def clocked(groups: Sequence[Any], log: Path) -> Iterator[None]:
    """A block in which all calls of these actor groups are noted in `log`."""
    kept = [(group, list(group._hosts)) for group in groups]
    for group, hosts in kept:
        group._hosts[:] = [
            ClockedHost(ClockedCall(host.call, Clocked, str(log)), ClockedCall(host.stream, ClockedStream, str(log)))
            for host in hosts
        ]
    try:
        yield
    finally:
        for group, hosts in kept:
            group._hosts[:] = hosts


def noted(log: Path) -> list[Interval]:
    """What the actors wrote down."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [(float(begun), float(ended)) for begun, ended in map(str.split, lines)]


def busy(intervals: Sequence[Interval], begun: float, ended: float) -> float:
    """Seconds between `begun` and `ended` in which at least one of the intervals runs."""
    total, until = 0.0, begun
    for start, stop in sorted(intervals):
        fresh = min(stop, ended) - max(start, until)
        if fresh > 0:
            total, until = total + fresh, min(stop, ended)
    return total
