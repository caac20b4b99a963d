"""The run folder as driver and nodes see it.

/proc/self/cwd is another folder in each process, as /mnt is on machines that do not share it.
"""

import re
from pathlib import Path

import pytest

from jobs.doctor import nodes, storage
from jobs.doctor.found import Found
from truing.config.study import Study
from truing.errors import ConfigError, TruingError


def test_a_folder_that_can_be_used_is_left_as_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "study"
    assert storage.from_driver(folder) == Found("storage", "ok", f"{folder} can be written, read and renamed")
    assert list(tmp_path.iterdir()) == []
    folder.mkdir(parents=True)
    (folder / "study.yaml").touch()
    storage.from_driver(folder)
    assert list(folder.iterdir()) == [folder / "study.yaml"]


@pytest.mark.parametrize("folder", ["/proc/runs/study", "/dev/null/runs"])
def test_a_folder_that_cannot_be_made(folder: str) -> None:
    with pytest.raises(TruingError) as caught:
        storage.from_driver(Path(folder))
    assert re.fullmatch(
        rf"{folder}: cannot be written \([A-Z][a-z ]+\); free space or give another storage=\.\.\.", str(caught.value)
    )


def test_a_folder_that_is_read_only() -> None:
    """The kernel's own: root may not write there either."""
    with pytest.raises(TruingError, match=r"^/proc/sys: cannot be written \("):
        storage.from_driver(Path("/proc/sys"))


def test_a_folder_that_gives_back_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "?")
    with pytest.raises(ConfigError) as caught:
        storage.from_driver(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: {len(storage.TEXT)} characters were written, and 1 or others are read back; give another storage=..."
    )


def test_a_node_without_the_folder(tmp_path: Path) -> None:
    assert storage.exchanged(None, str(tmp_path / "theirs"), str(tmp_path / "mine")) == (
        f"does not see what the driver writes in {tmp_path}: {storage.SHARE}"
    )


def test_a_node_that_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "theirs").touch()
    assert storage.exchanged(None, str(tmp_path / "theirs"), "/dev/null/mine") == (
        f"cannot write {tmp_path} (Not a directory): mount it there for writing, for the same user"
    )


def test_a_file_that_the_driver_does_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SEEN", 0.2)
    assert not storage.seen(tmp_path / "mine")
    (tmp_path / "mine").write_text("something else")
    assert not storage.seen(tmp_path / "mine")


def test_what_each_node_says_is_said() -> None:
    folder = Path("/mnt/runs/x")
    assert storage.from_nodes(folder, {"a": "", "b": "cannot write"}, ["a"]) == Found(
        "storage of nodes",
        "failed",
        "b cannot write; the driver does not see what a writes in /mnt/runs/x: the storage is not shared: give a storage=... that"
        " all nodes mount, or with a URI such a TRUING_CACHE (docs/cluster.md, Shared storage)",
    )


def test_real_nodes(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts, silent = nodes.started(nodes.up())
    assert (len(hosts), silent) == (1, {})
    assert nodes.shared(tmp_path, hosts) == Found(
        "storage of nodes", "ok", f"1 nodes and the driver see each other's files in {tmp_path}"
    )
    assert list(tmp_path.iterdir()) == []
    # The worker stays where it was started.
    monkeypatch.chdir(tmp_path)
    elsewhere = Path("/proc/self/cwd/runs")
    (name,) = (node.name for node in hosts)
    assert nodes.shared(elsewhere, hosts) == Found(
        "storage of nodes", "failed", f"{name} does not see what the driver writes in {elsewhere}: {storage.SHARE}"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_uri_of_a_run_is_written_read_and_left_empty(tmp_path: Path):
    study = Study.model_validate({"name": "x", "storage": (tmp_path / "kept").as_uri()})
    found = storage.kept(study, Found("storage", "ok", "so is the folder"))
    address = f"file://{tmp_path}/kept/x"
    assert found == Found("storage", "ok", f"{address} can be written, read and deleted; so is the folder")
    assert [path for path in (tmp_path / "kept").rglob("*") if path.is_file()] == []


def test_a_uri_that_cannot_be_written():
    study = Study.model_validate({"name": "x", "storage": "file:///dev/null/runs"})
    with pytest.raises(TruingError, match=r"^storage file:///dev/null/runs/x: cannot be used \(.*; look at the bucket"):
        storage.kept(study, Found("storage", "ok", ""))
