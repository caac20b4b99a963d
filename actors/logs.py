"""Log lines of an actor: one JSON object a line, with the run, the role and the step that it was about."""

import json
import logging
import os
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime

from actors.exporting import own_place

LEVEL = "TRUING_LOG_LEVEL"
"""Environment variable: the least level that our own modules log; others' loggers stay at WARNING."""
OURS = ("actors", "jobs", "trainers", "truing")

_step: ContextVar[int | None] = ContextVar("step", default=None)


class Lines(logging.Formatter):
    """A record as one line of JSON."""

    def __init__(self, run: str, role: str) -> None:
        super().__init__()
        self._run, self._role = run, role

    def format(self, record: logging.LogRecord) -> str:
        """Time (UTC), level, run, role, step where it is known, process, logger, message, and what was raised."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "run": self._run,
            "role": self._role,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if (step := _step.get()) is not None:
            line["step"] = step
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(environment: Mapping[str, str] = os.environ) -> None:
    """Give this process's loggers one handler, which writes to standard error: Ray keeps that in a file for each worker.

    Called once, as an actor begins. Calling it again changes nothing.
    """
    root = logging.getLogger()
    if any(isinstance(handler.formatter, Lines) for handler in root.handlers):
        return
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(*own_place()))
    root.addHandler(handler)
    for name in OURS:
        logging.getLogger(name).setLevel(environment.get(LEVEL, "INFO").upper())


def at_step(step: int | None) -> None:
    """What this thread does from now on is about that step; None: about none."""
    _step.set(step)
