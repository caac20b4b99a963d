"""One command at a time works on a run. The lock ends with the process that holds it, however that ends."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        ConfigError: another one does, it is named; or the folder of the locks is not this user's.
    """
    # Not in the storage: a command that is refused for its configuration leaves nothing there.
    path = _own_folder() / f"{content_id('run', str(folder.resolve()))}.lock"
    with path.open("a+", encoding="utf-8") as file:
        if not locked(file):
            file.seek(0)
            raise ConfigError(f"{folder}: {file.read().strip()} works on this run; wait until it has ended, or end it")
        file.truncate(0)
        file.write(f"process {os.getpid()}\n")
        file.flush()
        yield


def _own_folder() -> Path:
    """This user's folder among the temporary ones, where others cannot put a link in a lock's place."""
    folder = Path(gettempdir()) / f"truing-{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"{folder}: is to be a folder that this user alone can write; remove it, or set TMPDIR")
    return folder
