"""The files of a run as they were at one moment, while the run goes on.

Files are looked at twice with nothing changed in between: the moment is the end of the first look. They are held by hard links,
so that a file that is replaced or deleted while it is read is still there, and of one that is appended to the bytes of that moment
are read. What stands in such a picture is what a kill at that moment would have left on the disk, without what is
temporary anyway; every stage goes on from that.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOOKS = 20
"""Times that files are looked at before a picture is given up."""
PAUSE = 0.1
"""Seconds between two tries."""


class Unsettled(Exception):  # noqa: N818 - named after what happened
    """The files did not hold still for as long as it takes to look at them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A file: its size in bytes, when it was changed (ns), its inode."""

    size: int
    changed: int
    inode: int


def is_temporary(name: str) -> bool:
    """Whether a file or folder of that name is being written, or is no part of the run: hidden, or ending in `.part`."""
    return name.startswith(".") or name.endswith(".part")


def looked_at(folder: Path) -> dict[str, Seen]:
    """Every file of a folder that is not temporary, by its relative path in posix form.

    Raises:
        FileNotFoundError: something went away meanwhile.
    """
    found: dict[str, Seen] = {}
    waiting = [""]
    while waiting:
        below = waiting.pop()
        with os.scandir(folder / below) as entries:
            for entry in entries:
                if is_temporary(entry.name):
                    continue
                if entry.is_dir():
                    waiting.append(f"{below}{entry.name}/")
                else:
                    found[f"{below}{entry.name}"] = _seen(entry.stat())
    return found


def _seen(stat: os.stat_result) -> Seen:
    return Seen(stat.st_size, stat.st_mtime_ns, stat.st_ino)


@contextmanager
def snapshot(folder: Path, links: Path, known: Mapping[str, Seen]) -> Iterator[dict[str, Seen]]:
    """All files of one moment. While the block runs, those that `known` does not have as they are lie under `links`.

    Raises:
        Unsettled: they never held still.
    """
    try:
        yield _held(folder, links, known)
    finally:
        shutil.rmtree(links, ignore_errors=True)


def _held(folder: Path, links: Path, known: Mapping[str, Seen]) -> dict[str, Seen]:
    for _ in range(LOOKS):
        shutil.rmtree(links, ignore_errors=True)
        try:
            found = looked_at(folder)
            for path, one in found.items():
                if known.get(path) != one:
                    target = links / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.hardlink_to((folder / path).resolve())
            if looked_at(folder) == found:
                return found
        except FileNotFoundError:
            pass  # something was deleted between two looks
        time.sleep(PAUSE)
    raise Unsettled(f"{folder} did not hold still for {LOOKS} looks")


def check_still(link: Path, before: Seen) -> None:
    """After a file has been read: that it was not written over in place. One that has grown was appended to.

    Raises:
        Unsettled: it was.
    """
    now = _seen(link.stat())
    if now.size < before.size or (now.size == before.size and now.changed != before.changed):
        raise Unsettled(f"{link.name} was written over while it was read")
