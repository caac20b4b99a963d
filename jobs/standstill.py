"""A pass that stands still: for lack of room, or without a sign for longer than anything in it may take."""

import logging
from collections.abc import Mapping

from ray._private.state import actors

from actors.group import Needs
from actors.placement import Together, no_room, without_room
from jobs.worker import Count
from truing.errors import ActorDied

logger = logging.getLogger(__name__)

FILES = {"CPU": 1.0}
"""What Ray Data asks of the cluster to look at the files of a pass."""
LOOK = 1.0
"""Seconds between two looks for room."""


def wait_to_read(title: str, needs: Needs) -> None:
    """Wait until there is room to look at the requests: Ray Data does so before it starts a worker.

    Raises:
        ShortOfResources: there is none.
    """
    Together.reserve(f"{title}: reading the requests", 1, FILES, needs.patience).release()


class Watch:
    """Follows the signs of a pass: a worker begins, has loaded, asks, has answered, ends itself."""

    def __init__(self, title: str, needs: Needs, reading: Mapping[str, float], now: float) -> None:
        """`reading`: what a task that reads requests asks of the cluster; `now`, here and below: seconds of any clock."""
        self._title, self._needs, self._reading = title, needs, reading
        self._signs = 0
        self._heard = self._room = self._looked = now
        self._told: set[str] = set()

    def at(self, count: Count, now: float) -> None:
        """See whether the pass has moved.

        Raises:
            ShortOfResources: there was no room, and no sign, for as long as the pass may wait for room.
            ActorDied: there was no sign for as long as a start and an answer may take together.
        """
        self._tell(count)
        longest = self._needs.start_deadline + self._needs.call_deadline
        if count.signs != self._signs:
            self._signs = count.signs
            self._heard = self._room = now
        elif now > self._heard + longest:
            raise ActorDied(
                f"{self._title}: no worker has begun, asked or answered for {longest:g} s, and none has ended; look at their logs,"
                " and run the same command again to go on from what is stored"
            )
        elif now > self._looked + LOOK:
            self._looked = now
            self._look(count, now)

    def _look(self, count: Count, now: float) -> None:
        role, bundles = self._may_want(count)
        short = next(((bundle, waiting) for bundle in bundles if (waiting := without_room(bundle))), None)
        if short is None:
            self._room = now
        elif now > self._room + self._needs.patience:
            raise no_room(role, short[1], short[0], self._needs.patience)

    def _may_want(self, count: Count) -> tuple[str, list[Mapping[str, float]]]:
        """Who may be waiting for room that keeps the pass waiting: a worker where none is there, else the requests' readers.

        Readers only before the first request has reached a worker: later some are always waiting for their turn.
        """
        if not any(_is_there(worker, times) for worker, times in count.begun.items()):
            return self._title, [self._needs.bundle]
        unread = not count.asked and len(count.loaded) == len(count.begun)
        return f"{self._title}: reading the requests", [self._reading, FILES] if unread else []

    def _tell(self, count: Count) -> None:
        """Say why the bar stands still: a worker has ended itself, and another is started."""
        for said in count.late.values():
            if said not in self._told:
                self._told.add(said)
                logger.warning("%s: %s", self._title, said)


def _is_there(worker: str, begun: int) -> bool:
    """Whether an actor that has begun so many times is alive or loads. Else it is dead, or waits to be started again."""
    found = actors(worker)
    return bool(found) and (found["State"] == "ALIVE" or (found["State"] != "DEAD" and begun > found["NumRestarts"]))
