"""A cluster that is not there, and one that cannot be started: one line, and what to do."""

import socket
from pathlib import Path

import pytest

from jobs.context import Context
from jobs.doctor import nodes
from tests.jobs.conftest import LEARN
from tests.jobs.drive import truing
from truing.config.load import load_study
from truing.errors import TruingError

ELSE = (
    ": see that `ray status` answers there, that no firewall stands between, and that this machine is one of its nodes, with its"
    " Python and its Ray"
)


def trained(folder: Path, *overrides: str) -> str:
    """The one line with which a training that has no cluster ends."""
    done = truing(folder, "train", str(LEARN), f"storage={folder}", *overrides).expect(1)
    (line,) = done.err.splitlines()
    return line


def doctored(*overrides: str) -> str:
    """What `truing doctor` finds in its place."""
    with pytest.raises(TruingError) as caught:
        nodes.connected(load_study(LEARN, overrides))
    return str(caught.value)


def test_a_port_at_which_nobody_listens(tmp_path: Path, small: list[str]) -> None:
    with socket.socket() as one:  # bound, and not listened at: nobody else can have it meanwhile
        one.bind(("127.0.0.1", 0))
        where = f"cluster.address={(address := f'127.0.0.1:{one.getsockname()[1]}')}"
        expected = f"no Ray answers at cluster.address {address} (Connection refused){ELSE}"
        assert trained(tmp_path, *small, where) == f"truing: {expected}"
        assert doctored(where) == expected


def test_an_address_that_ray_does_not_take() -> None:
    line = doctored("cluster.address=nowhere")
    assert line.startswith("no Ray answers at cluster.address nowhere (")
    assert line.endswith(ELSE)


def test_a_ray_that_does_not_start(tmp_path: Path, small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder for its sockets whose name is longer than a socket's may be."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    for line in (trained(tmp_path, *small).removeprefix("truing: "), doctored()):
        assert line.startswith("no local Ray could be started (validate_socket_filename failed: AF_UNIX path")
        assert line.endswith(
            "run the same command again when they are free; what Ray says is in /tmp/ray/session_latest/logs"
        )


def test_workers_of_a_running_cluster_are_given_a_path_that_means_the_same_to_all(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here, there = (
        Context.of(load_study(LEARN, [*small, "storage=runs", *more]))
        for more in ([], ["cluster.address=10.0.0.9:6379"])
    )
    assert (here.run.path, there.run.path) == (Path("runs/learn"), tmp_path / "runs" / "learn")
