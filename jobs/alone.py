"""One command at a time works on a run. The lock ends with the process that holds it, however that ends."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import IO

from truing.errors import ConfigError
from truing.records import content_id

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
    """A block in which no other command of this machine writes stages of the run in this folder, which need not be there yet.

    Raises:
        ConfigError: another one does; it is named.
    """
    # Not in the storage: a command that is refused for its configuration leaves nothing there.
    path = Path(gettempdir()) / f"truing-{os.getuid()}-{content_id('run', str(folder.resolve()))}.lock"
    with path.open("a+", encoding="utf-8") as file:
        if not locked(file):
            file.seek(0)
            raise ConfigError(f"{folder}: {file.read().strip()} works on this run; wait until it has ended, or end it")
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield
