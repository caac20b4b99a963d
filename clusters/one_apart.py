"""The three nodes of this machine, of which one has a network of its own and can be cut off it."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from clusters.apart import POLL, ApartNode, Network, is_alive, network
from clusters.three_nodes import KINDS, REPLACED, ThreeNodes

DEADLINE = 180.0
"""Seconds in which Ray must have noticed that a node is cut off, and in which the node must have ended itself afterwards."""


class OneApart(ThreeNodes):
    """The cluster. Rollout engines and labelers are on the node that can be cut off."""

    def __init__(self, net: Network, logs: Path) -> None:
        """`logs`: a folder for what `ray start` says."""
        self._network, self._logs = net, logs
        self._left: list[str] = []
        super().__init__(net.address)

    def add(self, kind: str) -> Any:
        """Start a node, and wait until it has joined."""
        if kind != REPLACED:
            return super().add(kind)
        machine = self._network.machine()
        return ApartNode(machine, self.address, 2, KINDS[kind], self._logs / f"{machine.name}.log")

    def lose(self, kind: str) -> None:
        """Kill a node with all that runs on it, and start another of its kind."""
        if kind != REPLACED:
            return super().lose(kind)
        self.nodes[kind].end()
        self.nodes[kind] = self.add(kind)
        return None

    def cut(self, kind: str) -> None:
        """Cut a node off the network, start another of its kind, and join the first again when Ray has given it up.

        It must then end itself; what does not is `left`.

        Raises:
            TimeoutError: Ray does not notice.
        """
        node, until = self.nodes[kind], time.monotonic() + DEADLINE
        node.machine.cut()
        self.nodes[kind] = self.add(kind)
        while is_alive(self.address, node.machine.address):
            if time.monotonic() > until:
                raise TimeoutError(f"{kind}: cut off {DEADLINE:g} s ago, and Ray still takes it for alive")
            time.sleep(POLL)
        node.machine.heal()
        until = time.monotonic() + DEADLINE
        while node.machine.processes() and time.monotonic() < until:
            time.sleep(POLL)
        self._left += [f"{pid} on {node.machine.name}" for pid in node.machine.processes()]
        node.end()

    def losses(self) -> "dict[str, Callable[[], None]]":
        """What can happen to a node."""
        return super().losses() | {"cut": partial(self.cut, REPLACED)}

    def left(self) -> list[str]:
        """What still ran on nodes that were cut off and joined again."""
        return self._left


@contextmanager
def one_apart() -> Iterator[OneApart]:
    """The cluster, while the block runs."""
    with network() as net, tempfile.TemporaryDirectory() as logs:
        cluster = OneApart(net, Path(logs))
        try:
            yield cluster
        finally:
            cluster.end()
