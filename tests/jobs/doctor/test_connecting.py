"""No Ray where the study says that there is one. No cluster of this module's own is up meanwhile."""

import socket

import pytest

from jobs.doctor import nodes
from tests.jobs.conftest import LEARN
from truing.config.load import load_study
from truing.errors import TruingError

ELSE = (
    ": see that `ray status` answers there, that no firewall stands between, and that this machine is one of its nodes, with its"
    " Python, its Ray and its token"
)


def refused(address: str) -> str:
    with pytest.raises(TruingError) as caught:
        nodes.connected(load_study(LEARN, [f"cluster.address={address}"]))
    return str(caught.value)


def test_a_port_at_which_nobody_listens() -> None:
    with socket.socket() as one:  # bound, and not listened at
        one.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{one.getsockname()[1]}"
        assert refused(where) == f"no Ray answers at {where} (Connection refused){ELSE}"


def test_an_address_that_ray_does_not_take() -> None:
    line = refused("nowhere")
    assert line.startswith("no Ray answers at nowhere (")
    assert line.endswith(ELSE)


def test_a_local_ray_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/dev/null")
    with pytest.raises(TruingError) as caught:
        nodes.connected(load_study(LEARN, []))
    assert str(caught.value).startswith("no local Ray could be started (")
    assert str(caught.value).endswith("): see /tmp/ray/session_latest/logs")
