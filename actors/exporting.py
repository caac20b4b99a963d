"""Readings to Ray, which exports them for Prometheus on every node; from the driver at each step and look, from actors as they are.

A metric is made in the process that reports it, when it is first reported. In a process without a Ray nothing happens.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Self

from actors.gauges import (
    METRICS,
    WINDOW,
    Reached,
    Reading,
    engine_readings,
    memory_readings,
    pass_readings,
    step_readings,
)
from actors.spending import Usage

RUN, ROLE = "TRUING_RUN", "TRUING_ROLE"
"""Environment variables of an actor: the run that it works for, and what as."""

REFRESH = 5.0
"""Seconds after which a gauge is reported again."""


def publish(run: str, role: str, readings: Sequence[Reading]) -> None:
    """Report to Ray, from this process. Nothing happens in a process that is not connected to one."""
    import ray

    if not ray.is_initialized():
        return
    for one in readings:
        tags = {name: _ascii(value) for name, value in {"run": run, "role": role, **one.tags}.items()}
        metric = _made(one.metric)
        match METRICS[one.metric].kind:
            case "gauge":
                metric.set(float(one.value), tags)
            case "histogram":
                metric.observe(float(one.value), tags)
            case "counter":
                if one.value > 0:  # Ray refuses to add nothing
                    metric.inc(float(one.value), tags)


def _ascii(text: str) -> str:
    """Ray takes no other characters, in tags or descriptions."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


@cache
def _made(name: str) -> Any:
    from ray.util import metrics

    one = METRICS[name]
    said, tags = f"{one.meaning} [{one.unit}]", ("run", "role", *one.tags)
    if one.kind == "histogram":
        return metrics.Histogram(name, said, boundaries=list(one.bounds), tag_keys=tags)
    return (metrics.Counter if one.kind == "counter" else metrics.Gauge)(name, said, tag_keys=tags)


class StepGauges:
    """Takes each row of a training stage, as a tracker does. While it is open a step's figures stand until the next one's."""

    def __init__(self, run: str, role: str) -> None:
        self._run, self._role = run, role
        self._standing: list[Reading] = []
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        # Ray forgets a gauge that nobody has reported for two of its intervals of 10 s; a step may take minutes.
        self._thread = _again_and_again((self._run, self._role), lambda: self._standing, REFRESH, self._closed)
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed.set()
        self._thread.join()

    def log(self, row: Mapping[str, Any]) -> None:
        """Report a row of metrics.jsonl."""
        readings = step_readings(row)
        self._standing = [one for one in readings if METRICS[one.metric].kind == "gauge"]
        publish(self._run, self._role, readings)


class PassGauges:
    """Takes how far an offline pass has come, as often as the driver looks; it reports once a second."""

    def __init__(self, run: str, role: str, still_open: int) -> None:
        """`still_open`: requests without an answer as the pass begins."""
        self._run, self._role, self._open = run, role, still_open
        self._before = Reached()
        self._past: deque[tuple[float, int]] = deque()

    def at(self, answered: int, failed: int, usage: Usage, now: float, *, last: bool = False) -> None:
        """Report the counts of this pass; `now` in seconds of any clock. `last`: whatever the time."""
        if self._past and now - self._past[-1][0] < 1 and not last:
            return
        reached = Reached(answered, failed, usage)
        publish(self._run, self._role, self.readings(reached, now))

    def readings(self, reached: Reached, now: float) -> list[Reading]:
        """What has changed since the last time."""
        self._past.append((now, reached.answered))
        while len(self._past) > 2 and self._past[1][0] <= now - WINDOW:
            self._past.popleft()
        begun, then = self._past[0]
        seconds = now - begun
        rate = (reached.answered - then) / seconds if seconds > 0 else None
        before, self._before = self._before, reached
        return pass_readings(before, reached, max(0, self._open - reached.answered - reached.failed), rate)


def count_start() -> None:
    """Count this actor's process, and whether it took the place of one that died. Called once, in the actor."""
    import ray

    if not ray.is_initialized():
        return
    again = bool(ray.get_runtime_context().was_current_actor_reconstructed)
    publish(*own_place(), [Reading("truing_starts", 1), Reading("truing_restarts", int(again))])


def watch_engine(llm: Any, every: float = REFRESH) -> None:
    """Report the load of an actor's engine from a thread of its own, every so many seconds, as long as the process lives.

    It reads three numbers that the engine keeps; it takes nothing from it and waits for nothing. Outside Ray, none.
    """
    _report(own_place(), partial(engine_readings, llm), every)


def watch_memory(place: tuple[str, str], every: float = REFRESH) -> None:
    """Report this process's resident memory likewise, as that of a run and a role. Called once, in the actor."""
    _report(place, memory_readings, every)


def _report(place: tuple[str, str], read: Callable[[], Sequence[Reading]], every: float) -> None:
    import ray

    if ray.is_initialized():
        _again_and_again(place, read, every, threading.Event())


def _again_and_again(
    place: tuple[str, str], read: Callable[[], Sequence[Reading]], every: float, ended: threading.Event
) -> threading.Thread:
    """Report what is read, every so many seconds, from a thread of its own, until it is ended or the process is."""

    def watch() -> None:
        while not ended.wait(every):
            publish(*place, read())

    thread = threading.Thread(target=watch, name="gauges", daemon=True)
    thread.start()
    return thread


def own_place() -> tuple[str, str]:
    """Run and role of this process, of its environment."""
    return os.environ.get(RUN, ""), os.environ.get(ROLE, "")


def place(role: str, run: str | None = None) -> dict[str, str]:
    """Variables that tell an actor which run it works for (this process's, if not given), and what as."""
    return {RUN: os.environ.get(RUN, "") if run is None else run, ROLE: role}


def run_name(path: Path) -> str:
    """The run that something stored belongs to: the nearest folder with a study.yaml; a round's is `STUDY/round-N`."""
    here = path.resolve()
    folder = next((one for one in (here, *here.parents) if (one / "study.yaml").is_file()), here.parent)
    is_round = folder.name.startswith("round-") and folder.name.removeprefix("round-").isdigit()
    return f"{folder.parent.name}/{folder.name}" if is_round else folder.name
