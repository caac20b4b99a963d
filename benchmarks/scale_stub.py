"""A labeler that judges nothing and takes as long as one that does. Small on purpose: the workers' processes import it."""

import json
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from truing.records import Failed, NotAsked, Row, Unparsable

LOOK = 0.2
"""Seconds between two looks at who has come."""
TEXTS = ("prompt", "first", "second")


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of one worker: its times on the machine's clock, its rows, and the seconds that it was to take."""

    worker: str
    begun: float
    ended: float
    rows: int
    work: float


class Sleeper:
    """A labeler that sleeps for every character that it is given. It is made when all the others are: then all begin."""

    def __init__(self, folder: Path, workers: int, seconds: float) -> None:
        """`seconds` for a character; `workers` note in `folder` that they have come, and what they do."""
        self._name, self._seconds = uuid.uuid4().hex, seconds
        self._log = folder / f"{self._name}.log"
        (folder / f"{self._name}.come").touch()
        while len(list(folder.glob("*.come"))) < workers:
            time.sleep(LOOK)

    def label(self, rows: list[Row]) -> list[Row | Failed | Unparsable | NotAsked]:
        """A label of each row, of the size of a real one: two orders, neither verdict likelier."""
        begun = time.time()
        work = self._seconds * sum(len(row[text]) for row in rows for text in TEXTS)
        done: list[Row | Failed | Unparsable | NotAsked] = [
            {**row, **dict.fromkeys(("logp_first_ab", "logp_second_ab", "logp_first_ba", "logp_second_ba"), -0.7)}
            for row in rows
        ]
        # What the answers cost by themselves is part of what they take.
        time.sleep(max(0.0, begun + work - time.time()))
        with self._log.open("a", encoding="ascii") as log:
            log.write(json.dumps([self._name, begun, time.time(), len(rows), work]) + "\n")
        return done


def label(sleeper: Sleeper, rows: list[Row]) -> list[Row | Failed | Unparsable | NotAsked]:
    """What a pool asks of it."""
    return sleeper.label(rows)


def batches(folder: Path) -> list[Batch]:
    """What all of them wrote down, by their begin."""
    lines = [line for path in folder.glob("*.log") for line in path.read_text(encoding="ascii").splitlines()]
    return sorted((Batch(*json.loads(line)) for line in lines), key=lambda one: one.begun)
