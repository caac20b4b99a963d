"""Watching a run's nodes: node-hours by kind, a budget that ends the run in order, gauges of both."""

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from actors.exporting import publish, run_name
from actors.gauges import memory_readings, node_readings
from jobs.cluster.budget import coming, kinds_here, nodes_folder, spent
from jobs.cluster.connect import session
from jobs.cluster.node_hours import NodeHours
from jobs.progress import console
from truing.config.study import Study
from truing.errors import TruingError

EVERY = 8.0
"""Seconds between two looks: less than one counts at most, for a look takes time itself."""
JOINED = 0.5
"""Seconds between two looks at whether this process has joined a cluster."""
GRACE = 60.0
"""Seconds in which a run whose budget is spent must have ended in order; then its process ends all the same."""


@contextmanager
def watched(study: Study) -> Iterator[None]:
    """A `session` of a run, whose nodes are watched.

    Raises:
        ShortOfResources: as `session`.
        ConfigError: the autoscaler's file cannot be used.
        BudgetSpent: `cluster.budget` is spent; the block was ended as Ctrl-C ends it.
        TruingError: what was seen cannot be kept, and there is a budget.
    """
    with NodeWatch(study) as watch:
        try:
            with session(study):
                try:
                    yield
                except KeyboardInterrupt:
                    watch.stop()
                    raise
                finally:
                    watch.close()
        except KeyboardInterrupt:
            if watch.reason is None:
                raise
    if watch.reason is not None:
        raise watch.reason


class NodeWatch:
    """A thread that looks at the cluster's nodes as long as this process is connected to one.

    When the budget is spent it interrupts the main thread, as Ctrl-C does, and `reason` says why.
    """

    def __init__(self, study: Study, every: float = EVERY, grace: float = GRACE) -> None:
        self._study, self._every, self._grace = study, every, grace
        self._coming = coming(study)
        self._hours = NodeHours(nodes_folder(study))
        self._run = run_name(nodes_folder(study))
        self._told: set[str] = set()
        self._deciding, self._closing, self._over = threading.Lock(), threading.Event(), threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="nodes", daemon=True)
        self.reason: TruingError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Look no more: who interrupted this process may have ended a Ray of its own, which then ends whoever asks it."""
        self._stopped.set()

    def close(self) -> None:
        """Look for the last time, unless stopped, while the process is still connected; from now on nothing is interrupted."""
        with self._deciding:
            self._closing.set()
        if self.reason is None:
            # Not for ever: a head that is gone does not answer.
            self._thread.join(self._every)

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        self._over.set()

    def _watch(self) -> None:
        while not self._closing.wait(self._every if self._hours.looked else JOINED):
            if fault := self._look():
                self._end(fault)
                return
        if not self._stopped.is_set():
            self._look()

    def _look(self) -> TruingError | None:
        """One look; why the run may not go on, if so."""
        kinds = self._kinds()
        if kinds is None:
            return None
        prices, budget = self._study.cluster.prices, self._study.cluster.budget
        try:
            self._hours.look(kinds, time.monotonic())
        except TruingError as fault:
            # Without a budget nobody is harmed but the table of node-hours: the time is missing there.
            return None if budget is None else fault
        hours = {kind: seen.hours for kind, seen in self._hours.record.items()}
        publish(self._run, "driver", [*memory_readings(), *node_readings(Counter(kinds), hours, prices)])
        if budget is None:
            return None
        self._tell(set(kinds) - set(prices))
        return None if self._hours.has_room(kinds, prices, budget) else spent(self._hours, self._study)

    def _kinds(self) -> list[str] | None:
        """Kinds of the nodes that are there; None where this process has joined no cluster, or it does not answer."""
        if "ray" not in sys.modules:
            return None
        import ray
        from ray.exceptions import RayError

        try:
            return kinds_here(self._coming) if ray.is_initialized() else None
        except (RayError, RuntimeError, ConnectionError):
            # Whoever works will notice; what nobody saw is not counted.
            return None

    def _tell(self, unpriced: set[str]) -> None:
        """Once of each kind. A node that came unasked for is no reason to throw a run away, and cannot be counted."""
        for kind in sorted(unpriced - self._told):
            console.print(
                f"  nodes: of the kind {kind} there is one now; it has no price in cluster.prices and is not in the budget"
            )
        self._told |= unpriced

    def _end(self, fault: TruingError) -> None:
        with self._deciding:
            main = threading.main_thread().ident
            if self._closing.is_set() or main is None:
                return
            self.reason = fault
            signal.pthread_kill(main, signal.SIGINT)
        if not self._over.wait(self._grace):
            print(f"truing: {fault}", file=sys.stderr, flush=True)
            os._exit(fault.exit_code)
