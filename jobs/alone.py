"""One command at a time works on a run. The lock ends with the process that holds it, however that ends."""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from jobs.store import cannot_write
from truing.errors import ConfigError

WRITERS = {"run_pipeline", "run_label", "run_train", "run_evaluate", "run_harness"}
"""Commands that write stages of a run."""


def locked(file: IO[str]) -> bool:
    """Whether this process has the lock of an open file now; another one has it if not."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def working_alone(folder: Path) -> Iterator[None]:
    """A block in which no other command writes stages of the run in this folder.

    Raises:
        ConfigError: another one does; it is named.
        TruingError: what the folder is in cannot be written.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = folder.with_name(f".{folder.name}.working").open("a+", encoding="utf-8")
    except OSError as error:
        raise cannot_write(folder.parent, error) from None
    with file:
        if not locked(file):
            file.seek(0)
            raise ConfigError(f"{folder}: {file.read().strip()} works on this run; wait until it has ended, or end it")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n")
        file.flush()
        yield
