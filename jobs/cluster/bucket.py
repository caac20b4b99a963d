"""The objects of a run at a URI (S3, Google Cloud Storage, whatever `pyarrow.fs` opens): put, got, listed, deleted.

Credentials are those that the storage's own client finds in the environment.
"""

import hashlib
import mimetypes
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

import pyarrow as pa
from pyarrow import fs

from jobs.run_path import run_address
from truing.config.study import Study
from truing.errors import ConfigError
from truing.redaction import redacted

FAULTS = (OSError, pa.ArrowException)
"""What a storage that refuses, or does not answer, raises."""
PAUSES = (1.0, 4.0)
"""Seconds before an object is tried again; the clients' own tries within each are not counted."""
WORKERS = 4
"""Objects under way at the same time."""
CHUNK = 8 << 20
"""Bytes that are read and sent at once."""
OBJECT_STORES = {"s3", "gcs"}
"""Kinds of storage that have no folders to be made."""
PROBE = b"written by truing; it may be deleted\n"
REMEDY = (
    "look at the bucket, its region, the network and the credentials of the environment, or give another storage=..."
)

T = TypeVar("T")


class Bucket:
    """Objects below a prefix, by their keys relative to it. What a method cannot do it raises as one of `FAULTS`."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self._fs, self._root = filesystem, root.rstrip("/")
        self._folders = filesystem.type_name not in OBJECT_STORES

    @classmethod
    def of(cls, study: Study) -> Self:
        """The prefix of the study's run, once an object has been written there, read back and deleted.

        Raises:
            ConfigError: the URI is none, or the storage cannot be reached, written or read.
        """
        address = run_address(study)
        try:
            filesystem, root = fs.FileSystem.from_uri(address)
            bucket = cls(filesystem, root)
            bucket.exercise()
        except FAULTS as error:
            raise ConfigError(f"storage {address}: cannot be used ({said(error)}); {REMEDY}") from None
        return bucket

    def exercise(self) -> None:
        """Write an object, read it back, delete it; each once, so that a storage that is not there is soon known.

        Raises:
            OSError: something of it is refused, or what is read is not what was written.
        """
        key = f".mirror/probe-{uuid.uuid4().hex}"
        self._write(key, PROBE)
        with self._fs.open_input_stream(self._at(key)) as stream:
            read = stream.read()
        self._fs.delete_file(self._at(key))
        if read != PROBE:
            raise OSError(f"{len(PROBE)} bytes were written, and {len(read)} or others are read back")

    def keys(self, older: float | None = None) -> set[str]:
        """Every object below the prefix; those alone that were written more than `older` seconds ago, if that is given."""
        where = fs.FileSelector(self._root, allow_not_found=True, recursive=True)
        found: list[Any] = tried(lambda: self._fs.get_file_info(where))
        now = time.time()
        return {
            one.path[len(self._root) + 1 :]
            for one in found
            if one.type == fs.FileType.File and (older is None or now - one.mtime.timestamp() > older)
        }

    def read(self, key: str) -> bytes | None:
        """An object's bytes; None where there is none."""

        def read() -> bytes:
            with self._fs.open_input_stream(self._at(key)) as stream:
                return stream.read()

        try:
            return tried(read)
        except FileNotFoundError:
            return None

    def replace(self, key: str, data: bytes) -> None:
        """Write an object under another name, then rename it: whoever reads sees the old one or the new one, on any storage."""
        part = f"{key}.new"

        def replace() -> None:
            self._write(part, data)
            self._fs.move(self._at(part), self._at(key))

        tried(replace)

    def put(self, key: str, source: Path, size: int) -> None:
        """The first `size` bytes of a file as an object. One that did not come to its end is worth nothing, whatever its name."""

        def put() -> None:
            with source.open("rb") as file, self._open(key) as stream:
                _copy(file, stream.write, size)

        tried(put)

    def get(self, key: str, target: Path) -> str:
        """An object as a file; returns the SHA-256 of what came."""

        def get() -> str:
            with self._fs.open_input_stream(self._at(key)) as stream, target.open("wb") as file:
                digest = hashlib.sha256()
                while data := stream.read(CHUNK):
                    digest.update(data)
                    file.write(data)
                return digest.hexdigest()

        target.parent.mkdir(parents=True, exist_ok=True)
        return tried(get)

    def delete(self, key: str) -> None:
        """Delete an object; one that is not there is no fault."""
        with suppress(FileNotFoundError):
            tried(lambda: self._fs.delete_file(self._at(key)))

    def _at(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _write(self, key: str, data: bytes) -> None:
        with self._open(key) as stream:
            stream.write(data)

    def _open(self, key: str) -> Any:
        where = self._at(key)
        if self._folders:
            self._fs.create_dir(where.rpartition("/")[0], recursive=True)
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        return self._fs.open_output_stream(where, metadata={"Content-Type": kind})


def tried(call: Callable[[], T]) -> T:
    """What the call returns, tried again after each of `PAUSES`; what is not there is not looked for twice."""
    for pause in PAUSES:
        try:
            return call()
        except FileNotFoundError:
            raise
        except FAULTS:
            time.sleep(pause)
    return call()


def each(call: Callable[[T], object], items: Iterable[T]) -> None:
    """The call for every item, some at a time. After the first fault no further one is begun."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="mirror") as pool:
        list(pool.map(call, items))


def digest_of(path: Path, size: int) -> str:
    """SHA-256 of a file's first `size` bytes.

    Raises:
        OSError: it has fewer.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        _copy(file, digest.update, size)
    return digest.hexdigest()


def said(error: BaseException) -> str:
    """What a storage has to say, in one line that ends somewhere."""
    return redacted(" ".join(str(error).split()))[:300] or type(error).__name__


def _copy(file: BinaryIO, take: Callable[[bytes], object], size: int) -> None:
    while size > 0:
        data = file.read(min(CHUNK, size))
        if not data:
            raise OSError(f"{file.name}: has become shorter while it was read")
        take(data)
        size -= len(data)
