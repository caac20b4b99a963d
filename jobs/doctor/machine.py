"""A machine, this one or a node: its devices, its memory, what Ray wants of /dev/shm and of the limit of open files."""

import platform
import resource
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.doctor.found import Found, failed, judged, ok
from jobs.doctor.keys import missing
from jobs.doctor.versions import installed, telling

GB = 1e9
SHM = "/dev/shm"  # noqa: S108 - where Ray's object store lies
TMP = "/tmp"  # noqa: S108 - where Ray keeps its logs, and what its object store has no room for
FEWEST_FILES = 4096
"""Open files below which Ray warns of connection errors."""
FULL = 0.95
"""Share of a disk above which Ray puts no object on it (its local_fs_capacity_threshold)."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a machine is asked about: the storage, environment variables, and whether its Ray runs already."""

    storage: str
    variables: tuple[str, ...]
    running: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine has, in bytes.

    `shm`: what Ray's object store can have of /dev/shm, or has. `free`, `share`: what is free on the disk of a folder, and which
    share of it is taken. `absent`: environment variables that are not set.
    """

    name: str
    python: str
    packages: Mapping[str, str]
    memory: int
    shm: int
    files: int
    free: Mapping[str, int]
    share: Mapping[str, float]
    absent: tuple[str, ...]


def looked(name: str, asked: Asked) -> Machine:
    """The machine that this process runs on."""
    import psutil

    shm = shutil.disk_usage(SHM)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    disks = {folder: shutil.disk_usage(existing(Path(folder))) for folder in (asked.storage, TMP)}
    return Machine(
        name,
        platform.python_version(),
        telling(installed()),
        psutil.virtual_memory().total,
        shm.total if asked.running else shm.free,
        # Ray raises its own limit as far as it may.
        soft if asked.running else _no_less(hard),
        {folder: disk.free for folder, disk in disks.items()},
        {folder: 1 - disk.free / disk.total for folder, disk in disks.items()},
        missing(asked.variables),
    )


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _no_less(limit: int) -> int:
    return 1 << 30 if limit == resource.RLIM_INFINITY else limit


def store_size() -> int:
    """Bytes of the object store that Ray would start here."""
    import psutil
    from ray._private import ray_constants

    share = ray_constants.DEFAULT_OBJECT_STORE_MEMORY_PROPORTION * psutil.virtual_memory().available
    return int(min(share, ray_constants.DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES))


def devices(cpus: int, gpus: int, asked_gpus: float, torch: str) -> Found:
    """CPUs and GPUs of this machine, which is the cluster."""
    if asked_gpus and not gpus:
        return failed(
            "devices",
            f"the study asks for {asked_gpus:g} GPUs and torch {torch} sees none: install the gpu extra, see what nvidia-smi says,"
            " or set gpus to 0",
        )
    return ok("devices", f"{cpus} CPUs, {gpus} GPUs")


def memory(total: float, available: float, peaks: Mapping[str, float] | None) -> Found:
    """Bytes of this machine, which is the cluster, against the GB that each stage takes; None where nobody knows the model."""
    there = f"{total / GB:.1f} GB, {available / GB:.1f} free"
    if peaks is None:
        return ok("memory", f"{there}; what the study takes is not known of a Hub name")
    if not peaks:
        return ok("memory", f"{there}; no stage holds a model")
    stage = max(peaks, key=lambda name: peaks[name])
    short = peaks[stage] - total / GB
    if short > 0:
        return failed(
            "memory",
            f"stage {stage} takes about {peaks[stage]:.1f} GB and there are {total / GB:.1f} ({short:.1f} short): `truing plan`"
            " says which role takes how much, and which key to lower",
        )
    return ok("memory", f"{there}; at most {peaks[stage]:.1f} taken, in stage {stage}")


def node_memory(machines: Iterable[Machine], largest: tuple[str, float] | None) -> Found:
    """Nodes against the one actor that takes most of the host's memory, in GB."""
    sizes = {one.name: one.memory / GB for one in machines}
    line = ", ".join(f"{name} {size:.1f} GB" for name, size in sizes.items())
    if largest is None:
        return ok("memory of nodes", f"{line}; what an actor takes is not known")
    key, each = largest
    if each > max(sizes.values()):
        return failed(
            "memory of nodes",
            f"one actor of {key} takes about {each:.1f} GB and the largest node has {max(sizes.values()):.1f}: take larger nodes,"
            " or see `truing plan` for the key to lower",
        )
    return ok("memory of nodes", f"{line}; one actor of {key} takes {each:.1f}")


def shared_memory(name: str, machines: Iterable[Machine], stores: Mapping[str, int]) -> Found:
    """Shared memory against Ray's object store, by machine."""
    sizes = [(one.name, one.shm / GB, stores[one.name] / GB) for one in machines]
    faults = [
        f"{SHM} of {where} has {shm:.2f} GB for an object store of {store:.2f}: it would lie on the disk, and weights move slowly;"
        f" docker run --shm-size={store * 1.1:.0f}gb, an emptyDir of medium Memory, or ray start --object-store-memory"
        for where, shm, store in sizes
        if shm < store
    ]
    line = ", ".join(f"{where} {shm:.1f} GB for a store of {store:.1f}" for where, shm, store in sizes)
    return judged(name, faults, line)


def open_files(name: str, machines: Sequence[Machine]) -> Found:
    """The limit of open files, by machine."""
    faults = [
        f"{one.name} allows {one.files} open files and Ray wants {FEWEST_FILES} at least, or connections fail: ulimit -n 65536"
        " before Ray starts"
        for one in machines
        if one.files < FEWEST_FILES
    ]
    fewest = min((one.files for one in machines), default=0)
    return judged(name, faults, f"{fewest} allowed" if fewest < 1 << 30 else "no limit")


def disk(name: str, machines: Iterable[Machine], storage: str, wanted: float | None, weights: float | None) -> Found:
    """Room for the run in its storage and for Ray in /tmp, in GB; None where nobody knows the model's size."""
    faults: list[str] = []
    said: list[str] = []
    for one in machines:
        kept, temporary = one.free[storage] / GB, one.free[TMP] / GB
        said.append(f"{one.name}: {kept:.1f} GB free in the storage, {temporary:.1f} in {TMP}")
        if wanted is not None and kept < wanted:
            faults.append(
                f"{one.name} has {kept:.1f} GB free in {storage} and the run's models and checkpoints take about {wanted:.1f}: free"
                " space, lower keep, or give another storage=..."
            )
        if weights is not None and temporary < weights:
            faults.append(
                f"{one.name} has {temporary:.1f} GB free in {TMP}, and weights of {weights:.1f} GB go there when Ray's store is"
                " full: free space, or ray start --temp-dir"
            )
        if one.share[TMP] > FULL:
            faults.append(
                f"the disk of {TMP} on {one.name} is {100 * one.share[TMP]:.0f} % full, and above {100 * FULL:.0f} % Ray puts"
                " nothing there: free space, or ray start --temp-dir"
            )
    known = "a Hub name's are not known" if wanted is None else f"about {wanted:.1f} GB are taken"
    return judged(name, faults, f"{'; '.join(said)}; {known}")
