"""A Ray node that has a network of its own on this machine, so that it can be cut off while everything on it goes on.

Each such node lives in a Linux network namespace with its own address, plugged into a bridge that has the head's address. Cut off
means unplugged: no packet passes, no connection is closed, and both sides keep their addresses, as when a switch has failed. Files,
memory and clock are this machine's.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NETWORKS, PREFIX = "10.231", "truing"
"""Of 10.231.N.0/24 a free one is taken, and called truingN."""
PORTS = (
    "--dashboard-agent-grpc-port=7001", "--dashboard-agent-listen-port=7002", "--metrics-export-port=7003",
    "--runtime-env-agent-port=7004",
)  # fmt: skip
"""All are free on a machine of its own. Where Ray chooses, a node that is slow to start its agents gives up after 15 s."""
DEADLINE = 180.0
"""Seconds in which a node must have joined, and in which its processes must be gone."""
POLL = 0.1


class Machine:
    """A namespace with one address, plugged into a bridge."""

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address, self._plug, self._there = name, address, f"{name}p", False

    def begin(self, lan: str, gateway: str) -> None:
        """Make it, and plug it in."""
        name = self.name
        _ip("netns", "add", name)
        self._there = True
        # The card is called as the bridge is on the host: GLOO_SOCKET_IFNAME then holds for both.
        _ip("link", "add", self._plug, "type", "veth", "peer", "name", lan, "netns", name)
        _ip("-n", name, "address", "add", f"{self.address}/24", "dev", lan)
        _ip("-n", name, "link", "set", lan, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        # Nothing is forwarded. What asks for its own address by way of a far one gets it.
        _ip("-n", name, "route", "add", "default", "via", gateway)
        _ip("link", "set", self._plug, "master", lan)
        self.heal()

    def cut(self) -> None:
        """No packet in or out any more."""
        _ip("link", "set", self._plug, "down")

    def heal(self) -> None:
        """Plugged in again."""
        _ip("link", "set", self._plug, "up")

    def command(self, *words: str) -> list[str]:
        """A command line that runs on it."""
        return ["ip", "netns", "exec", self.name, *words]

    def processes(self) -> list[int]:
        """Ids of all that runs on it."""
        return [int(pid) for pid in _ip("netns", "pids", self.name).split()]

    def end(self) -> None:
        """Kill what runs on it, and take it away; once.

        Raises:
            TimeoutError: something on it does not die.
        """
        if not self._there:
            return
        until = time.monotonic() + DEADLINE
        while running := self.processes():
            for pid in running:
                _kill(pid)
            if time.monotonic() > until:
                raise TimeoutError(f"{self.name}: {running} do not end")
            time.sleep(POLL)
        _ip("netns", "delete", self.name)
        self._there = False


class Network:
    """A bridge of this machine, the address that the head has on it, and what is plugged into it."""

    def __init__(self) -> None:
        taken = _ip("-brief", "address")
        number = next(number for number in _shuffled() if f" {NETWORKS}.{number}." not in taken)
        self.name = f"{PREFIX}{number}"
        self.address = f"{NETWORKS}.{number}.1"
        self._machines: list[Machine] = []
        _ip("link", "add", self.name, "type", "bridge")
        _ip("address", "add", f"{self.address}/24", "dev", self.name)
        _ip("link", "set", self.name, "up")

    def machine(self) -> Machine:
        """One more."""
        number = len(self._machines) + 2
        address = f"{self.address.rpartition('.')[0]}.{number}"
        machine = Machine(f"{self.name}-{number}", address)
        self._machines.append(machine)
        machine.begin(self.name, self.address)
        return machine

    def end(self) -> None:
        """Take all of it away, with all that still runs on its machines."""
        for machine in self._machines:
            machine.end()
        _ip("link", "delete", self.name)


@contextmanager
def network() -> Iterator[Network]:
    """A network while the block runs."""
    made = Network()
    try:
        yield made
    finally:
        made.end()


def impossible() -> str | None:
    """Why this machine cannot have such a network; None where it can."""
    if sys.platform != "linux" or shutil.which("ip") is None:
        return "network namespaces need Linux, and ip of the package iproute2"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with network() as made:
            made.machine()
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made here: {' '.join(error.cmd)}: {error.stderr.strip()}"
    return None


class ApartNode:
    """A Ray node on a machine of its own."""

    def __init__(self, machine: Machine, head: str, cpus: int, resources: dict[str, float], log: Path) -> None:
        """Start it, and wait until it has joined. `head`: the cluster's address, whose token is in the environment.

        Raises:
            TimeoutError: it has not joined in time.
        """
        self.machine = machine
        self._start = machine.command(
            sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats",
            f"--address={head}", f"--node-ip-address={machine.address}", f"--num-cpus={cpus}",
            f"--resources={json.dumps(resources)}", f"--object-store-memory={150 * 1024 * 1024}",
            "--min-worker-port=0", "--max-worker-port=0", *PORTS, "--include-log-monitor=false",
        )  # fmt: skip
        process = self._begun(log)
        until = time.monotonic() + DEADLINE
        while not is_alive(head, machine.address):
            if time.monotonic() > until:
                machine.end()
                raise TimeoutError(f"{machine.name} has not joined {head}: see {log}")
            if process.poll() is not None:
                # Ray gives a node thirty seconds, which are too few on a busy machine.
                process = self._begun(log)
            time.sleep(POLL)
        self._process = process

    def _begun(self, log: Path) -> "subprocess.Popen[bytes]":
        with log.open("ab") as file:
            return subprocess.Popen(self._start, stdin=subprocess.DEVNULL, stdout=file, stderr=file)  # noqa: S603 - our own command

    def end(self) -> None:
        """Kill it and all that it has started, and take its machine away."""
        self.machine.end()
        self._process.wait()


def is_alive(head: str, address: str) -> bool:
    """Whether the head of this address takes a node for alive."""
    from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue] - compiled, without a stub

    nodes = GcsClient(address=head).get_all_node_info(timeout=10)
    return any(node.node_manager_address == address and node.state == 0 for node in nodes.values())


def _shuffled() -> list[int]:
    return secrets.SystemRandom().sample(range(1, 255), 254)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)  # noqa: S603, S607 - our own command
    return done.stdout
