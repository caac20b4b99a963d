"""A run that is kept at a URI: it is worked on in a folder of this machine, and what is new there is uploaded.

What the bucket has is, at any moment, one state of the run as a whole. A pass takes a picture of one moment (`snapshot`), puts what
is new in it, replaces the manifest in one stroke, and only then deletes what no manifest names any more. An object that a manifest
names is never written over: new content of a path goes to an object of its own and, after the manifest, to the path too, for people
who look into the bucket. A fetch reads what the manifest names and nothing else, and checks it. So a kill at any point leaves the
state before or the state after; a half-uploaded checkpoint is in neither. A metrics.jsonl that grows is as new as the rest of its
picture, which is one that a kill at that moment would have left: trainers/run.py cuts rows after the checkpoint and does the steps
again.

`.mirror.json` in the folder says which manifests the folder comes from. Where the bucket has one of them, the folder is that state
or ahead of it and is gone on with; where it has another, the run went on elsewhere: the folder is put aside, and the run fetched.
"""

import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.alone import locked
from jobs.cluster import manifest as manifests
from jobs.cluster.bucket import FAULTS, Bucket, digest_of, each, said
from jobs.cluster.manifest import Entry
from jobs.cluster.snapshot import Seen, Unsettled, check_still, snapshot
from jobs.progress import console
from jobs.run_path import run_address, run_path
from jobs.store import read_json, write_json
from truing.config.study import Study
from truing.errors import ConfigError, TruingError

RECORD = ".mirror.json"
"""In the run's folder: the identities of the manifests that it comes from."""
ORPHANED = 86400.0
"""Seconds after which an object that no manifest names is what a killed pass has left, not what one elsewhere is about to name."""


@contextmanager
def mirrored(study: Study) -> Iterator[None]:
    """A block that works on the study's run: what its URI has is fetched before, what is new is uploaded every
    `cluster.mirror_every` seconds and once more at the end, however it ends. Nothing of that where `storage` is a folder.

    Where another command of this machine works on the run already, that one uploads for both.

    Raises:
        ConfigError: the storage cannot be used, or what is there is no run; before anything else is started.
        TruingError: what the storage has is damaged, or the last upload failed; everything is still in the folder.
    """
    if not study.is_remote:
        yield
        return
    folder, address = run_path(study), run_address(study)
    bucket = Bucket.of(study)
    with _only_one(folder) as alone:
        if not alone:
            _say(
                f"{address}: another command of this machine works in {folder} and uploads what is new there, of this one too"
            )
            yield
            return
        mirror = Mirror(bucket, folder, address)
        mirror.fetch()
        _say(f"{study.name} is kept at {address}, worked on in {folder}")
        keeper = Keeper(mirror, study.cluster.mirror_every)
        fault, ended = "", False
        try:
            yield
            ended = True
        finally:
            fault = keeper.end()
            if fault and not ended:
                _warn(fault)
        if fault:
            raise TruingError(fault)


class Mirror:
    """A folder and the objects that it is kept in. Used by one thread at a time."""

    def __init__(self, bucket: Bucket, folder: Path, address: str) -> None:
        self._bucket, self.folder, self.address = bucket, folder, address
        self._manifest: dict[str, Entry] = {}  # as it is in the bucket
        self._identity = ""
        self._there: set[str] = set()  # objects that may be in the bucket
        self._known: dict[str, Seen] = {}  # files whose content the manifest has
        self._owed: set[str] = set()  # paths whose own object may be older than what the manifest names

    def fetch(self) -> None:
        """Have in the folder what the manifest names; a folder that is ahead of it stays as it is.

        Raises:
            ConfigError: the prefix holds something that is no run, or cannot be read.
            TruingError: an object is missing, or is not what the manifest says.
        """
        try:
            self._look()
            if self._manifest and self._identity not in self._record():
                self._download()
        except FAULTS as error:
            raise ConfigError(
                f"{self.address}: cannot be fetched ({said(error)}); run the same command again"
            ) from None

    def _look(self) -> None:
        if self._bucket.read(manifests.KEY) is None:
            if others := sorted(self._bucket.keys()):
                raise ConfigError(
                    f"{self.address}: holds {len(others)} objects ({others[0]}, ...) and no manifest, so it is no run; give another"
                    " name=... or storage=..., or empty it"
                )
            self._bucket.replace(manifests.KEY, manifests.written({}))
        self._there = self._bucket.keys(older=ORPHANED)
        self._agree()

    def _agree(self) -> None:
        """Go out from the manifest that the bucket has now, whoever wrote it: what it names is not written over, what it
        does not name is not taken for there."""
        text = self._bucket.read(manifests.KEY) or manifests.written({})
        if (identity := manifests.identity(text)) != self._identity:
            self._manifest, self._identity = manifests.read(text, self.address), identity
            self._owed = {path for path, entry in self._manifest.items() if entry.object != path}
            self._there |= {entry.object for entry in self._manifest.values()} | self._owed
            self._known = {}

    def _record(self) -> list[str]:
        return read_json(self.folder / RECORD) or []

    def _download(self) -> None:
        fresh = self.folder.with_name(f".{self.folder.name}.fetched")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        each(lambda item: self._get(fresh / item[0], *item), self._manifest.items())
        write_json(fresh / RECORD, [self._identity])
        if self.folder.exists():
            aside = _free(self.folder)
            self.folder.rename(aside)
            _say(f"{self.folder.name} went on elsewhere; what this machine had of it is now in {aside}")
        fresh.rename(self.folder)

    def _get(self, target: Path, path: str, entry: Entry) -> None:
        try:
            came = self._bucket.get(entry.object, target)
        except FileNotFoundError:
            came = "missing"
        if came != entry.sha256:
            what = came if came == "missing" else "not what the manifest says"
            raise TruingError(
                f"{self.address}: the object {entry.object} of {path} is {what}: somebody else writes there; restore"
                " it from a version of the bucket, or give name=... for a new run"
            )

    def upload(self) -> None:
        """One pass. Whatever it raises, the next one does what this one has not.

        Raises:
            OSError, pyarrow.ArrowException: the storage refuses, or does not answer.
            Unsettled: the files do not hold still.
            TruingError: the manifest that the bucket has now cannot be read.
        """
        if not self.folder.is_dir():
            return  # nothing has been begun: what was never there is not taken for deleted
        self._agree()
        links = self.folder.with_name(f".{self.folder.name}.links")
        with snapshot(self.folder, links, self._known) as files:
            entries = {path: self._entry(path, one, links / path) for path, one in files.items()}
            named = {entry.object for entry in self._manifest.values()}
            new = {entry.object: path for path, entry in entries.items() if entry.object not in named}
            # 1. What is new.
            each(lambda item: self._put(item[0], links / item[1], files[item[1]]), new.items())
            # 2. The manifest.
            changed = {path for path, entry in entries.items() if entry != self._manifest.get(path)}
            self._owed = {path for path in self._owed | changed if path in entries and entries[path].object != path}
            if entries != self._manifest:
                self._replace_manifest(entries)
            elif self._identity not in self._record():
                write_json(self.folder / RECORD, [self._identity])
            # 3. For people who look into the bucket.
            each(lambda path: self._put(path, links / path, files[path]), sorted(self._owed))
            self._owed = set()
            self._known = files
        # 4. What nothing names.
        kept = set(entries) | {entry.object for entry in entries.values()} | {manifests.KEY}
        each(self._bucket.delete, sorted(self._there - kept))
        self._there &= kept

    def _entry(self, path: str, one: Seen, link: Path) -> Entry:
        if self._known.get(path) == one:
            return self._manifest[path]
        digest = digest_of(link, one.size)
        check_still(link, one)
        return manifests.object_for(path, one.size, digest, self._manifest)

    def _put(self, key: str, link: Path, one: Seen) -> None:
        self._there.add(key)
        self._bucket.put(key, link, one.size)
        check_still(link, one)

    def _replace_manifest(self, entries: dict[str, Entry]) -> None:
        text = manifests.written(entries)
        identity = manifests.identity(text)
        # Both, until it is known which one the bucket has: after a kill here the folder is that of either.
        write_json(self.folder / RECORD, [self._identity, identity])
        self._bucket.replace(manifests.KEY, text)
        write_json(self.folder / RECORD, [identity])
        self._manifest, self._identity = entries, identity


class Keeper:
    """The thread that uploads every so many seconds. A pass that fails is told of once, and made up for by the next."""

    def __init__(self, mirror: Mirror, every: float) -> None:
        self._mirror, self._every = mirror, every
        self._stop = threading.Event()
        self._warned = False
        self._thread = threading.Thread(target=self._keep, name="mirror", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(self._every):
            fault = self._pass()
            if fault and not self._warned:
                _warn(
                    f"{self._mirror.address}: what is new could not be uploaded ({fault}); it is tried again each {self._every:g} s"
                )
            self._warned = bool(fault)

    def _pass(self) -> str:
        try:
            self._mirror.upload()
        except (*FAULTS, Unsettled, TruingError) as error:
            return said(error)
        return ""

    def end(self) -> str:
        """The last pass, after one that is under way; what to tell the user where it fails, else nothing."""
        self._stop.set()
        self._thread.join()
        fault = self._pass()
        if not fault:
            return ""
        return (
            f"{self._mirror.address}: what is new since the last upload could not be uploaded ({fault}); all of the run is in"
            f" {self._mirror.folder} on this machine: mend the cause and run the same command again here, which uploads it"
        )


@contextmanager
def _only_one(folder: Path) -> Iterator[bool]:
    """Whether this is the only command of this machine that works in the folder, while the block runs."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        file = folder.with_name(f".{folder.name}.lock").open("w")
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(
            f"{folder.parent}: cannot be written ({why}); set TRUING_CACHE to a folder that can"
        ) from None
    with file:
        yield locked(file)


def _free(folder: Path) -> Path:
    """A name beside the folder's that nothing has yet."""
    number = 1
    while (found := folder.with_name(f"{folder.name}.aside-{number}")).exists():
        number += 1
    return found


def _say(line: str) -> None:
    console.print(f"  {line}", markup=False, soft_wrap=True)


def _warn(line: str) -> None:
    print(f"truing: {line}", file=sys.stderr, flush=True)
