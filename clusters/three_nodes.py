"""Three Ray nodes on this machine, a study submitted to them as a job by another process, and then once more.

    python -m clusters.three_nodes configs/demo.yaml [key=value ...]

The first job does the study and its log is shown as it comes; the second finds everything done. Both must end well. The nodes are
processes of this machine and share its storage; what needs several machines (other disks, other networks) is not tried by this.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
KINDS: dict[str, dict[str, float]] = {
    "head": {},
    "learner": {"learner": 4},
    "rollout and labeler": {"rollout": 4, "labeler": 4},
}
"""What each node has beside two CPUs, as far as Ray knows."""
REPLACED = "rollout and labeler"
"""The node that is lost, where one is."""


class ThreeNodes:
    """The cluster. Nodes may be taken away and put back."""

    def __init__(self, host: str | None = None) -> None:
        """`host`: which of this machine's addresses the nodes have; where it is not given, Ray chooses."""
        # Whoever runs a job finds this Python first.
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        # A token of their own: nobody else may run code on them.
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        from ray.cluster_utils import Cluster

        self._cluster, self._host = Cluster(), host
        self.nodes = {kind: self.add(kind) for kind in KINDS}
        know_by_folder(Path(self.nodes["head"].get_temp_dir_path()), self.address)

    def add(self, kind: str) -> Any:
        """Start a node, and wait until it has joined."""
        return self._cluster.add_node(
            num_cpus=2,
            resources=dict(KINDS[kind]),
            node_ip_address=self._host,
            include_dashboard=kind == "head",
            dashboard_host="127.0.0.1",
            # Ports that no other Ray of this machine has.
            dashboard_port=0,
            dashboard_agent_listen_port=0,
            # A folder of its own, as on a machine of its own: each unpacks the copy of a job's folder there, in place of the last.
            temp_dir=tempfile.mkdtemp(prefix="ray-"),
            wait=True,
        )

    def lose(self, kind: str) -> None:
        """Kill a node's raylet, as when a machine goes, and start another node of its kind."""
        node = self.nodes[kind]
        (raylet,) = node.all_processes["raylet"]
        raylet.process.kill()
        self._cluster.remove_node(node, allow_graceful=False)
        self.nodes[kind] = self.add(kind)

    def losses(self) -> "dict[str, Callable[[], None]]":
        """What can happen to a node, by name; each call ends with another node in the place of the one that is lost."""
        return {"node": partial(self.lose, REPLACED)}

    def left(self) -> list[str]:
        """What still runs on nodes that are lost."""
        return []

    @property
    def address(self) -> str:
        """Of the cluster."""
        return str(self._cluster.address)

    @property
    def server(self) -> str:
        """Of its job server."""
        return f"http://{self.nodes['head'].webui_url}"

    def end(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


def know_by_folder(folder: Path, address: str) -> None:
    """Note a cluster's address in its folder, as `ray start` does: a job joins that one, whatever else runs on this machine."""
    (folder / "ray_current_cluster").write_text(address)


@contextmanager
def three_nodes() -> Iterator[ThreeNodes]:
    """The cluster, while the block runs."""
    cluster = ThreeNodes()
    try:
        yield cluster
    finally:
        cluster.end()


def submitted(config: str, overrides: list[str], server: str) -> tuple[int, float]:
    """`truing submit`, in a process of its own: its exit code, and the seconds that it took."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "jobs.cli", "submit", config, *overrides, "--address", server]
    done = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603 - our own command
    return done.returncode, time.monotonic() - begun


def main() -> None:
    """Start, submit twice, say how long each took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="a study")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    asked = parser.parse_args()
    # A job works in a copy of this folder; what is given later counts.
    overrides = [f"storage={ROOT / 'runs'}", *asked.overrides]
    with three_nodes() as cluster:
        print(f"  three nodes at {cluster.address}, their job server at {cluster.server}", flush=True)
        first, seconds = submitted(asked.config, overrides, cluster.server)
        again, seconds_again = submitted(asked.config, overrides, cluster.server) if first == 0 else (first, 0.0)
    print(
        f"three nodes: the job ended with {first} after {seconds:.0f} s, again with {again} after {seconds_again:.0f} s"
    )
    sys.exit(first or again)


if __name__ == "__main__":
    main()
