"""What a machine has against what a run takes: each fault has its line."""

import os
from dataclasses import replace
from pathlib import Path

from jobs.doctor import machine
from jobs.doctor.found import Found
from jobs.doctor.machine import Asked, Machine, looked

STORAGE = "/mnt/runs"
WELL = Machine(
    name="10.0.0.1 (ab)",
    python="3.11.7",
    packages={},
    memory=64 * 10**9,
    shm=20 * 10**9,
    files=65536,
    free={STORAGE: 100 * 10**9, "/tmp": 50 * 10**9},
    share={STORAGE: 0.5, "/tmp": 0.5},
    absent=(),
)
OTHER = replace(WELL, name="10.0.0.2 (cd)")


def test_a_machine_is_looked_at(tmp_path: Path) -> None:
    """A folder that is not there yet has the room of the nearest one that is."""
    found = looked("here", Asked(str(tmp_path / "a" / "b"), ("TRUING_NOBODY_SETS_THIS", "PATH"), running=False))
    whole = os.statvfs(tmp_path)
    assert 0 < found.free[str(tmp_path / "a" / "b")] <= whole.f_frsize * whole.f_blocks
    assert 0 < found.share["/tmp"] < 1
    assert found.absent == ("TRUING_NOBODY_SETS_THIS",)
    assert min(found.memory, found.shm, found.files) > 0


def test_gpus_that_are_not_there() -> None:
    assert machine.devices(8, 0, 2.5, "2.13.0+cpu") == Found(
        "devices",
        "failed",
        "the study asks for 2.5 GPUs and torch 2.13.0+cpu sees none: install the gpu extra, see what nvidia-smi says, or set"
        " gpus to 0",
    )
    assert machine.devices(8, 1, 2.5, "2.13.0") == Found("devices", "ok", "8 CPUs, 1 GPUs")
    assert machine.devices(8, 0, 0, "2.13.0+cpu").state == "ok"


def test_a_stage_that_takes_more_memory_than_there_is() -> None:
    assert machine.memory(16e9, 12e9, {"label": 3.0, "policy": 18.5}) == Found(
        "memory",
        "failed",
        "stage policy takes about 18.5 GB and there are 16.0 (2.5 short): `truing plan` says which role takes how much, and"
        " which key to lower",
    )
    assert machine.memory(16e9, 12e9, {"label": 3.0}).line == "16.0 GB, 12.0 free; at most 3.0 taken, in stage label"
    assert (
        machine.memory(16e9, 12e9, None).line == "16.0 GB, 12.0 free; what the study takes is not known of a Hub name"
    )
    assert machine.memory(16e9, 12e9, {}).state == "ok"


def test_an_actor_that_fits_no_node() -> None:
    small = replace(OTHER, memory=8 * 10**9)
    assert machine.node_memory([small], ("policy.learner", 12.25)) == Found(
        "memory of nodes",
        "failed",
        "one actor of policy.learner takes about 12.2 GB and the largest node has 8.0: take larger nodes, or see `truing plan`"
        " for the key to lower",
    )
    assert machine.node_memory([small, WELL], ("policy.learner", 12.25)).state == "ok"
    assert machine.node_memory([small], None).state == "ok"


def test_an_object_store_larger_than_shared_memory() -> None:
    docker = replace(OTHER, shm=64 * 10**6)
    assert machine.shared_memory(
        "shared memory", [WELL, docker], {WELL.name: 19 * 10**9, docker.name: 10**10}
    ) == Found(
        "shared memory",
        "failed",
        "/dev/shm of 10.0.0.2 (cd) has 0.06 GB for an object store of 10.00: it would lie on the disk, and weights move slowly;"
        " docker run --shm-size=11gb, an emptyDir of medium Memory, or ray start --object-store-memory",
    )
    assert machine.shared_memory("x", [WELL], {WELL.name: WELL.shm}).state == "ok"


def test_a_low_limit_of_open_files() -> None:
    assert machine.open_files("open files", [WELL, replace(OTHER, files=1024)]) == Found(
        "open files",
        "failed",
        "10.0.0.2 (cd) allows 1024 open files and Ray wants 4096 at least, or connections fail: ulimit -n 65536 before Ray starts",
    )
    assert machine.open_files("open files", [replace(WELL, files=4096)]) == Found("open files", "ok", "4096 allowed")
    assert machine.open_files("open files", [replace(WELL, files=1 << 30)]).line == "no limit"


def disk(one: Machine, wanted: float | None = 60.0, weights: float | None = 3.0) -> Found:
    return machine.disk("disk", [one], STORAGE, wanted, weights)


def test_a_storage_without_room_for_the_checkpoints() -> None:
    assert disk(replace(WELL, free={STORAGE: 59 * 10**9, "/tmp": 50 * 10**9})) == Found(
        "disk",
        "failed",
        "10.0.0.1 (ab) has 59.0 GB free in /mnt/runs and the run's models and checkpoints take about 60.0: free space, lower keep,"
        " or give another storage=...",
    )


def test_no_room_for_what_the_object_store_spills() -> None:
    assert disk(replace(WELL, free={STORAGE: 10**11, "/tmp": 2 * 10**9})).line == (
        "10.0.0.1 (ab) has 2.0 GB free in /tmp, and weights of 3.0 GB go there when Ray's store is full: free space, or ray start"
        " --temp-dir"
    )


def test_a_disk_so_full_that_ray_spills_nothing() -> None:
    assert disk(replace(WELL, share={STORAGE: 0.5, "/tmp": 0.97})).line == (
        "the disk of /tmp on 10.0.0.1 (ab) is 97 % full, and above 95 % Ray puts nothing there: free space, or ray start --temp-dir"
    )


def test_disks_with_room() -> None:
    assert disk(WELL) == Found(
        "disk", "ok", "10.0.0.1 (ab): 100.0 GB free in the storage, 50.0 in /tmp; about 60.0 GB are taken"
    )
    assert disk(WELL, None, None).line.endswith("; a Hub name's are not known")
