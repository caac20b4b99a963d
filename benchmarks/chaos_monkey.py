"""Who can be killed in a run that is under way, and what a kill costs until the run is further than it was."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parent.parent
MARK, ROLE = "TRUING_CHAOS", "TRUING_ROLE"
"""Environment variables: of all that a command has started; of an actor."""
POLL = 0.1


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: who, at which second of the run, how far the run was, and what it cost.

    `seconds`: from the kill until the run is two further than it was. `again`: what had been done and was done again.
    """

    who: str
    at: float
    reached: int
    seconds: float
    again: int


class Command:
    """A `truing` command that is started again, as it is, when its driver is killed."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._arguments, self._log, self._mark = list(arguments), log, uuid.uuid4().hex
        self.process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        with self._log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "jobs.cli", *self._arguments],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {MARK: self._mark},
            )  # fmt: skip

    def again(self) -> None:
        """The same command once more."""
        self.process.wait()
        self.process = self._start()

    def left(self) -> list[str]:
        """Processes of this command's drivers that are still there."""
        return [f"{process.pid} {process.name()}" for process in _with(MARK, self._mark)]


def _with(variable: str, value: str) -> list[psutil.Process]:
    """Every living process with this variable, the longest-lived first."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable) == value and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return sorted(found, key=lambda process: process.pid)


class Monkey:
    """Kills one process after another at random moments of a run, and waits each time until the run has got over it."""

    def __init__(
        self,
        losses: Mapping[str, Callable[[], None]],
        command: Command,
        reached: Callable[[], int],
        roles: Sequence[str],
        seed: int,
        deadline: float,
    ) -> None:
        """`losses`: what can happen to a node. `reached`: how far the run is. `roles`: `driver`, a loss, or whose actor to kill."""
        self._losses, self._command, self._reached, self._deadline = losses, command, reached, deadline
        self._roles, self._random = list(roles), random.Random(seed)
        self._begun = time.monotonic()

    def kill(self, count: int, pause: float) -> list[Kill]:
        """So many kills, each up to `pause` seconds after the run is further than it was at the one before.

        Raises:
            TimeoutError: the run has not got over one within the deadline.
        """
        # A study need not have every role, and a cluster not every loss.
        self._roles = [role for role in self._roles if role in ("driver", *self._losses) or _with(ROLE, role)]
        order = [role for _ in range(count // len(self._roles) + 1) for role in self._shuffled()][:count]
        kills: list[Kill] = []
        for role in order:
            time.sleep(self._random.uniform(0, pause))
            if self._has_ended() or (kill := self._one(role)) is None:
                break
            kills.append(kill)
        return kills

    def _has_ended(self) -> bool:
        return self._command.process.poll() is not None

    def _shuffled(self) -> list[str]:
        return self._random.sample(self._roles, len(self._roles))

    def _one(self, role: str) -> Kill | None:
        """The kill; None where the run has ended before there was whom to kill."""
        reached, at = self._reached(), time.monotonic()
        lowest = reached
        if not self._end(role):
            return None
        # The step or block that was under way may still come: two further is over it.
        while (now := self._reached()) <= reached + 1:
            lowest = min(lowest, now)
            if self._has_ended():
                break
            if time.monotonic() - at > self._deadline:
                raise TimeoutError(f"{role}: nothing new within {self._deadline:g} s of its kill")
            time.sleep(POLL)
        return Kill(role, round(at - self._begun, 1), reached, round(time.monotonic() - at, 1), reached - lowest)

    def _end(self, role: str) -> bool:
        """End a process, or take a node away; False where the run has ended before."""
        if role == "driver":
            self._command.process.kill()
            self._command.again()
        elif role in self._losses:
            self._losses[role]()
        else:
            until = time.monotonic() + self._deadline
            while not (there := _with(ROLE, role)):
                if self._has_ended():
                    return False
                if time.monotonic() > until:
                    raise TimeoutError(f"{role}: there is no such process")
                time.sleep(POLL)
            os.kill(self._random.choice(there).pid, signal.SIGKILL)
        return True


def rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file, without what no two runs share."""
    if not path.exists():
        return []
    whole = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return [{name: value for name, value in row.items() if name != "timings"} for row in whole]
