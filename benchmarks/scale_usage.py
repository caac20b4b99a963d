"""What a driver and its local Ray use: CPU seconds by part, memory, and how memory goes over time."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import psutil

MB = 1e6


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds up to a moment: of this process, of GCS and raylet, of the whole machine."""

    at: float
    driver: float
    ray: float
    machine: float


def spent() -> Spent:
    """Up to now."""
    daemons = [one for one in psutil.Process().children() if one.name() in ("gcs_server", "raylet")]
    times = psutil.cpu_times()
    return Spent(
        time.time(),
        time.process_time(),
        sum(sum(one.cpu_times()[:2]) for one in daemons),
        times.user + times.nice + times.system,
    )


def resident() -> float:
    """MB of this process that are in memory."""
    return psutil.Process().memory_info().rss / MB


def shares(named: str) -> list[float]:
    """MB of each process of this driver's Ray whose name has `named` in it: its own, and its part of what it shares."""
    found: list[float] = []
    for process in psutil.Process().children(recursive=True):
        try:
            if named in " ".join(process.cmdline()):
                found.append(process.memory_full_info().pss / MB)
        except psutil.NoSuchProcess:
            continue
    return found


def slope(values: Sequence[float]) -> float:
    """Least-squares change from one value to the next; 0 where there are fewer than three."""
    return float(np.polyfit(range(len(values)), values, 1)[0]) if len(values) > 2 else 0.0


@dataclass
class Watch:
    """Looks on from a thread of the driver: at the `start`, once, what processes weigh and have spent; then this one's memory."""

    has_started: Callable[[], bool]
    named: str
    every: float = 1.0
    weights: list[float] = field(default_factory=list[float])
    start: Spent | None = None
    memory: list[float] = field(default_factory=list[float])
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.2):
            if self.has_started():
                break
        else:
            return
        self.weights = shares(self.named)
        self.start = spent()
        while not self._over.wait(self.every):
            self.memory.append(resident())

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
