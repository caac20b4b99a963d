"""What a test puts on a node that it cuts off: work that waits there, and nowhere else, until it is let go."""

import os
import time
from pathlib import Path

import ray

from actors.learner import Seat
from truing.records import Failed, NotAsked, Row, Unparsable

Answer = Row | Failed | Unparsable | NotAsked
LONGEST = 600.0
"""Seconds after which waiting ends by itself, if a test forgets it."""


class Waiting:
    """It notes in a folder on which address it began and ended what, and waits in between: away from home until it is let go, at
    home until there is work away, for the first process that is up would do all of it.
    """

    def __init__(self, folder: Path, home: str) -> None:
        self.folder, self.home = folder, home
        self.here = ray.util.get_node_ip_address()

    def answer(self, rows: list[Row]) -> list[Row]:
        """Twice each row's number, and where that was worked out."""
        self.wait(rows)
        return [{"id": row["id"], "twice": 2 * row["number"], "where": self.here} for row in rows]

    def wait(self, rows: list[Row]) -> None:
        """Away from home until there is a file `go-KIND`, for rows of the ids KIND-NUMBER; at home until one has begun away."""
        self._note("begun", rows)
        kind = rows[0]["id"].partition("-")[0]
        until = time.monotonic() + LONGEST
        while not self._may_end(kind) and time.monotonic() < until:
            time.sleep(0.1)
        self._note("done", rows)

    def _may_end(self, kind: str) -> bool:
        if self.here != self.home:
            return (self.folder / f"go-{kind}").exists()
        return any(path.parent.name != self.home for path in self.folder.glob(f"begun/*/{kind}-*"))

    def _note(self, what: str, rows: list[Row]) -> None:
        folder = self.folder / what / self.here
        folder.mkdir(parents=True, exist_ok=True)
        for row in rows:
            (folder / f"{row['id']}.{os.getpid()}").touch()


def answer(subject: Waiting, rows: list[Row]) -> list[Answer]:
    """For a pool."""
    return [*subject.answer(rows)]


class WaitingRank(Waiting):
    """A rank: who is at home waits for the others in a collective."""

    def __init__(self, seat: Seat, folder: Path, home: str) -> None:
        from tests.actors.ranks import meet_others

        super().__init__(folder, home)
        meet_others(seat)

    def meet(self, rows: list[Row]) -> list[tuple[float, str]]:
        """How many have met, and where this one is."""
        import torch
        import torch.distributed as dist

        self.wait(rows)
        one = torch.tensor(1.0)
        dist.all_reduce(one)
        return [(float(one), self.here)]
