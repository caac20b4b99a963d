"""Storage: a file is written, read back, renamed and deleted in the run folder, by the driver and by every node."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from jobs.doctor.found import Found, judged
from truing.config.study import Study
from truing.errors import ConfigError

TEXT = "written by truing doctor; it may be deleted\n"
SEEN = 5.0
"""Seconds after which a file that a node has written must be seen here: a network file system looks again that often."""
SHARE = (
    "the storage is not shared: give a storage=... that all nodes mount, or with a URI such a TRUING_CACHE (docs/cluster.md, Shared"
    " storage)"
)


@contextmanager
def there(folder: Path) -> Iterator[None]:
    """The folder, while the block runs; what was not there before is gone after it."""
    fresh = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        from jobs.store import cannot_write

        raise cannot_write(folder, error) from None
    finally:
        for one in fresh:
            with suppress(OSError):
                one.rmdir()


def exercised(folder: Path) -> None:
    """All that a run does with files.

    Raises:
        OSError: something of it is refused.
        ConfigError: what is read is not what was written.
    """
    part, whole = (folder / f".doctor-{uuid.uuid4().hex}{end}" for end in (".part", ""))
    try:
        part.write_text(TEXT, encoding="utf-8")
        part.rename(whole)
        if (read := whole.read_text(encoding="utf-8")) != TEXT:
            raise ConfigError(
                f"{folder}: {len(TEXT)} characters were written, and {len(read)} or others are read back; give another storage=..."
            )
    finally:
        for one in (part, whole):
            one.unlink(missing_ok=True)


def from_driver(folder: Path) -> Found:
    """The driver's part.

    Raises:
        TruingError: the folder cannot be written, or does not give back what was written.
    """
    with there(folder):
        exercised(folder)
    return judged("storage", [], f"{folder} can be written, read and renamed")


def kept(study: Study, found: Found) -> Found:
    """The part of the URI, beside what was found of the folder.

    Raises:
        ConfigError: it cannot be reached, written or read.
    """
    from jobs.cluster.bucket import Bucket
    from jobs.run_path import run_address

    Bucket.of(study)
    return judged("storage", [], f"{run_address(study)} can be written, read and deleted; {found.line}")


def exchanged(_: object, theirs: str, mine: str) -> str:
    """A node's part: read the driver's file, write one of its own beside it; what went wrong, or nothing."""
    folder = Path(theirs).parent
    try:
        if not Path(theirs).is_file():
            return f"does not see what the driver writes in {folder}: {SHARE}"
        exercised(folder)
        Path(mine).write_text(TEXT, encoding="utf-8")
    except OSError as error:
        return f"cannot write {folder} ({error.strerror or error}): mount it there for writing, for the same user"
    return ""


def removed(_: object, mine: str) -> None:
    """What a node has written where nobody else sees it."""
    Path(mine).unlink(missing_ok=True)


def seen(path: Path) -> bool:
    """Whether the driver sees a node's file, and what is in it."""
    until = time.monotonic() + SEEN
    while not path.is_file():
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return path.read_text(encoding="utf-8") == TEXT


def from_nodes(folder: Path, said: Mapping[str, str], unseen: list[str]) -> Found:
    """What each node said, and the nodes whose files the driver does not see."""
    faults = [f"{node} {line}" for node, line in said.items() if line]
    faults += [f"the driver does not see what {node} writes in {folder}: {SHARE}" for node in unseen]
    return judged("storage of nodes", faults, f"{len(said)} nodes and the driver see each other's files in {folder}")
