"""The manifest of a run in a bucket: which files it has, what is in each, and which object holds it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath

from truing.errors import TruingError

KEY = ".mirror/manifest.json"
CHANGED = ".mirror/changed"
"""Prefix of the objects of files whose path the manifest before had with other content, by that content's SHA-256."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A file: its size in bytes, the SHA-256 of its content, the key of the object that holds it."""

    size: int
    sha256: str
    object: str


Manifest = Mapping[str, Entry]
"""Relative path -> entry."""


def identity(text: bytes) -> str:
    """What tells one manifest from another."""
    return hashlib.sha256(text).hexdigest()


def written(manifest: Manifest) -> bytes:
    """The manifest as it is stored."""
    files = {path: asdict(manifest[path]) for path in sorted(manifest)}
    return json.dumps({"version": VERSION, "files": files}, indent=1, ensure_ascii=False).encode()


def read(text: bytes, address: str) -> dict[str, Entry]:
    """What `written` wrote.

    Raises:
        TruingError: it is no manifest of this version, or a path of it would lead out of the run's folder.
    """
    try:
        tree = json.loads(text)
        if tree["version"] != VERSION:
            raise ValueError(f"version {tree['version']}, {VERSION} is read")
        found = {str(path): Entry(**entry) for path, entry in tree["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TruingError(
            f"{address}: {KEY} cannot be read ({error}); restore it from a version of the bucket, or give name=... for a new run"
        ) from None
    for path in found:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or any(part.startswith(".") for part in parts):
            raise TruingError(f"{address}: {KEY} names {path!r}, which is no file of a run; who else writes there?")
    return found


def object_for(path: str, size: int, sha256: str, before: Manifest) -> Entry:
    """The entry of a file. An object that the manifest `before` names is never written over: new content of a path that it
    has goes to an object of its own."""
    old = before.get(path)
    if old is not None and (old.size, old.sha256) == (size, sha256):
        return old
    return Entry(size, sha256, path if old is None else f"{CHANGED}/{sha256}")
