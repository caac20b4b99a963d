"""A machine with a network of its own: what passes, what does not, and that nothing of it is left. Ray comes in test_cut_off."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from clusters import apart
from clusters.apart import Machine, Network, impossible, network

SAY_HELLO = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as there:
    there.sendall(b"hello")
"""


@pytest.fixture
def net() -> Iterator[Network]:
    if reason := impossible():
        pytest.skip(reason)
    with network() as made:
        yield made


@pytest.fixture
def door(net: Network) -> Iterator[socket.socket]:
    """Listens at the address that the host has on the network."""
    with socket.create_server((net.address, 0)) as listening:
        yield listening


def says_hello(machine: Machine, door: socket.socket, patience: float) -> bool:
    """Whether a process on the machine gets through."""
    host, port = door.getsockname()
    words = machine.command(sys.executable, "-S", "-c", SAY_HELLO, host, str(port), str(patience))
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def test_nothing_passes_while_it_is_cut_off(net: Network, door: socket.socket):
    machine = net.machine()
    assert says_hello(machine, door, 60)
    machine.cut()
    assert not says_hello(machine, door, 1)
    machine.heal()
    assert says_hello(machine, door, 60)


def test_a_connection_outlives_a_cut(net: Network, door: socket.socket):
    """Nobody is told of a cut: what was sent meanwhile arrives afterwards."""
    machine = net.machine()
    host, port = door.getsockname()
    talk = f"import socket\nwith socket.create_connection(({host!r}, {port})) as there:\n input(); there.sendall(b'hello'); input()"
    process = subprocess.Popen(machine.command(sys.executable, "-S", "-c", talk), stdin=subprocess.PIPE)
    assert process.stdin is not None
    there, _ = door.accept()
    with there:
        machine.cut()
        process.stdin.write(b"\n")
        process.stdin.flush()
        there.settimeout(1)
        with pytest.raises(TimeoutError):
            there.recv(5)
        assert process.poll() is None
        machine.heal()
        there.settimeout(120)
        assert there.recv(5) == b"hello"
    process.communicate(b"\n", timeout=60)


def test_two_machines_reach_each_other_until_one_is_cut_off(net: Network):
    one, other = net.machine(), net.machine()
    assert len({net.address, one.address, other.address}) == 3
    listen = (
        "import socket\nwith socket.create_server(('', 0)) as door:\n"
        " print(door.getsockname()[1], flush=True)\n while True: door.accept()[0].close()"
    )
    listening = subprocess.Popen(one.command(sys.executable, "-S", "-c", listen), stdout=subprocess.PIPE, text=True)
    assert listening.stdout is not None
    port = int(listening.stdout.readline())

    def reached() -> bool:
        words = other.command(sys.executable, "-S", "-c", SAY_HELLO, one.address, str(port), "2")
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    assert reached()
    one.cut()
    assert not reached()
    one.end()
    assert listening.wait(60) < 0


def test_what_runs_on_it_is_ended_with_it_and_nothing_else(net: Network):
    machine = net.machine()
    inside = [subprocess.Popen(machine.command("sleep", "600")) for _ in range(2)]
    outside = subprocess.Popen(["sleep", "600"])
    while len(machine.processes()) < 2:
        time.sleep(0.05)
    assert set(machine.processes()) == {process.pid for process in inside}
    machine.end()
    machine.end()
    assert all(process.wait(60) < 0 for process in inside)
    assert outside.poll() is None
    outside.kill()
    outside.wait()


def test_nothing_is_left_even_after_a_failure():
    if reason := impossible():
        pytest.skip(reason)
    machines: list[Machine] = []
    processes: list[subprocess.Popen[bytes]] = []

    def fail() -> None:
        with network() as made:
            machines.append(made.machine())
            processes.append(subprocess.Popen(machines[0].command("sleep", "600")))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert processes[0].wait(60) < 0
    links = subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
    names = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    # Its plug, and its network, whose name the machine's begins with.
    assert machines[0].name.partition("-")[0] not in links
    assert machines[0].name not in names


def test_it_is_said_why_there_can_be_none(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert impossible() in (
        "network namespaces need root",
        "network namespaces need Linux, and ip of the package iproute2",
    )
    monkeypatch.setenv("PATH", "/nowhere")
    assert impossible() == "network namespaces need Linux, and ip of the package iproute2"


def test_it_is_said_what_the_kernel_refused(monkeypatch: pytest.MonkeyPatch):
    if reason := impossible():
        pytest.skip(reason)
    # A name that is too long for a link: the kernel refuses it as it would refuse one without the right to make it.
    monkeypatch.setattr(apart, "PREFIX", "a_name_that_is_too_long")
    assert str(impossible()).startswith("network namespaces cannot be made here: ip link add a_name_that_is_too_long")
