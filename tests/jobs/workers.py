"""What a sweep's workers run in tests. A module of its own: the workers' processes import it by name."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import psutil

from actors.spending import Usage
from truing.errors import ConfigError
from truing.records import Failed, NotAsked, Row, Unparsable

Answer = Row | Failed | Unparsable | NotAsked
LONGEST = 200.0
"""Seconds after which what hangs ends by itself, if nobody ends it."""


class Doubler:
    """An actor without a model. It notes each row that it is asked."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.spent = 0

    def double(self, rows: list[Row]) -> list[Answer]:
        """Twice each row's number."""
        with self._log.open("a") as file:
            file.writelines(f"{row['id']}\n" for row in rows)
        return [{"id": row["id"], "twice": 2 * row["number"]} for row in rows]


def double(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """Every row is answered."""
    return subject.double(rows)


def double_even(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """Even numbers are answered; 1 is not read, the other odd ones fail."""
    answers = subject.double(rows)
    for i, row in enumerate(rows):
        if row["number"] == 1:
            answers[i] = Unparsable("no verdict")
        elif row["number"] % 2:
            answers[i] = Failed("odd")
    return answers


def send_slowly(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """A server that takes its time over each row."""
    for _ in rows:
        time.sleep(8)
        subject.spent += 1
    return subject.double(rows)


def sent(subject: Doubler) -> Usage:
    """What it has been asked."""
    return Usage(requests=subject.spent)


def fail_by_rest(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """Every row fails, for one of four reasons: rest 0 the commonest, rest 3 the rarest."""
    return [Failed(f"rest {min(row['number'] % 4, row['number'] // 4)}") for row in rows]


def fail_passing(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """0 fails for good; the other even numbers fail for a reason that may pass; the odd ones are answered."""
    answers = subject.double(rows)
    for i, row in enumerate(rows):
        if row["number"] == 0:
            answers[i] = Failed("too long")
        elif row["number"] % 2 == 0:
            answers[i] = Failed("HTTP 500", "passing")
    return answers


def die_once(subject: Doubler, rows: list[Row], *, marker: Path) -> list[Answer]:
    """The first process that is asked for row 3 ends before it answers."""
    if any(row["number"] == 3 for row in rows) and not marker.exists():
        marker.touch()
        os._exit(1)
    return subject.double(rows)


def hang_at_three(subject: Doubler, rows: list[Row], *, marker: Path, times: int) -> list[Answer]:
    """Row 3 hangs whoever is asked for it, so many times."""
    if any(row["number"] == 3 for row in rows) and noted(marker) < times:
        note(marker)
        time.sleep(LONGEST)
        return [Failed("nobody ended it") for _ in rows]
    return subject.double(rows)


def hang_to_start(marker: Path) -> Any:
    """A model whose files do not come."""
    note(marker)
    time.sleep(LONGEST)
    raise ConfigError("nobody ended it")


def note(marker: Path) -> None:
    """Add this process to a file."""
    with marker.open("a") as file:
        file.write(f"{os.getpid()}\n")


def noted(marker: Path) -> int:
    """How many processes are in a file."""
    return len(marker.read_text().split()) if marker.exists() else 0


def freeze(subject: Doubler, rows: list[Row], *, marker: Path) -> list[Answer]:
    """The whole process stands still, as one does whose engine never lets go of Python's lock."""
    note(marker)
    os.kill(os.getpid(), signal.SIGSTOP)
    return subject.double(rows)


def raise_at_three(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """An engine that cannot take row 3, and with it no batch that holds it."""
    if any(row["number"] == 3 for row in rows):
        raise ValueError("no such token\nhf_" + "a" * 20)
    return subject.double(rows)


def raise_always(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """An engine that has broken."""
    subject.double(rows)
    raise RuntimeError("no blocks are left")


def lose_the_gpu(subject: Doubler, rows: list[Row], *, marker: Path, times: int) -> list[Answer]:
    """So many processes lose their GPU over row 3; a process that has lost it fails each call."""
    if any(row["number"] == 3 for row in rows) and noted(marker) < times:
        note(marker)
    if marker.exists() and str(os.getpid()) in marker.read_text().split():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return subject.double(rows)


def kill_the_count(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """The process of the actor that counts, a child of the same raylet, is killed before anything is answered."""
    for process in psutil.Process().parent().children():
        if process.cmdline()[:1] and process.cmdline()[0].startswith("ray::Tally"):
            process.kill()
    return subject.double(rows)


def refuse(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """A fault with a remedy, found while answering."""
    raise ConfigError("label 'one' is 2 tokens of this judge; use one-token labels")


def refuse_to_start(log: Path) -> Any:
    """A fault with a remedy, found while loading."""
    raise ConfigError("model x: cannot be loaded; give a Hugging Face folder")


def fail_to_start(log: Path) -> Any:
    """What an engine says of a model that it does not know."""
    raise ValueError("Model architectures ['X'] are not supported\nfor now")


def stop_at_three(subject: Doubler, rows: list[Row]) -> list[Answer]:
    """A labeler whose budget is spent after three rows, whichever come first."""
    answers: list[Answer] = []
    for row in rows:
        subject.spent += 1
        answered: Row = {"id": row["id"], "twice": 2 * row["number"]}
        answers.append(answered if subject.spent <= 3 else NotAsked("the budget is spent"))
    return answers
