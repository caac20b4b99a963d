"""The command line as a user starts it: a process of its own, whose every descendant can be found again and ended."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1500
"""Seconds after which a command that hangs is ended. No test is about speed."""
MARK = "TRUING_TEST_COMMAND"
"""Environment variable that every descendant of a command inherits, whatever its parent or process group has become."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """Last line of standard output that is not blank."""
        return [line for line in self.out.splitlines() if line.strip()][-1]

    def tail(self) -> str:
        """What to show of a command that did otherwise than expected."""
        return f"exit {self.code}\n--- stdout\n{self.out[-3000:]}\n--- stderr\n{self.err[-6000:]}"

    def expect(self, code: int) -> "Outcome":
        """The outcome itself, if the command ended with this exit code."""
        assert self.code == code, self.tail()
        return self


class Command:
    """A running `truing` command. What it prints goes to files: a pipe would wait for every descendant that holds it."""

    def __init__(self, folder: Path, *arguments: str, module: str = "jobs.cli") -> None:
        self._mark = uuid.uuid4().hex
        self._out, self._err = folder / f"{self._mark}.out", folder / f"{self._mark}.err"
        environment = os.environ | {MARK: self._mark, "HF_HUB_OFFLINE": "1"}
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                start_new_session=True,
            )

    def outcome(self) -> Outcome:
        """What is known now."""
        code = self.process.returncode
        return Outcome(-999 if code is None else code, self._out.read_text(), self._err.read_text())

    def wait(self, seconds: float = PATIENCE) -> Outcome:
        """Wait for the end; a command that does not end is a failure."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"still running after {seconds:.0f} s\n{self.outcome().tail()}") from None
        return self.outcome()

    def until(self, reached: Callable[[], bool]) -> None:
        """Wait for something that a running command is to bring about."""
        end = time.monotonic() + PATIENCE
        while not reached():
            if self.process.poll() is not None or time.monotonic() > end:
                self.end()
                raise AssertionError(f"not reached\n{self.outcome().tail()}")
            time.sleep(0.02)

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the whole process group, as a terminal does with Ctrl-C."""
        os.killpg(self.process.pid, number)

    def descendants(self) -> list[psutil.Process]:
        """Every living process that this command has started, also those that it no longer is a parent of."""
        found: list[psutil.Process] = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self._mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found

    def survivors(self, seconds: float) -> list[str]:
        """Descendants that are still there after so many seconds."""
        end = time.monotonic() + seconds
        while (alive := self.descendants()) and time.monotonic() < end:
            time.sleep(0.2)
        return [f"{process.pid} {process.status()} {process.name()}" for process in alive]

    def end(self) -> None:
        """End this command and everything that it started."""
        for process in self.descendants():
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        self.process.wait()


def truing(folder: Path, *arguments: str) -> Outcome:
    """Run a command to its end; nothing of it stays behind, whatever happens."""
    command = Command(folder, *arguments)
    try:
        return command.wait()
    finally:
        command.end()


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def metrics(path: Path, *, timings: bool = False) -> list[dict[str, Any]]:
    """Rows of a metrics file that have been written whole; without the timings, which no two runs share."""
    if not path.exists():
        return []
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    rows = [json.loads(line) for line in lines]
    return rows if timings else [{key: value for key, value in row.items() if key != "timings"} for row in rows]
