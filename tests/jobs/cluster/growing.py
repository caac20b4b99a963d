"""A cluster of this machine whose nodes Ray's own autoscaler starts and ends: its `fake_multinode` provider."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil
import ray

from tests.jobs.cluster.own_token import own_token

COMMANDS = (
    "setup", "head_setup", "worker_setup", "initialization", "head_start_ray", "worker_start_ray",
)  # fmt: skip
PORT = 6379
"""The provider's nodes look for their head here and nowhere else: one such cluster a machine."""


def configuration(most: int) -> dict[str, Any]:
    """A head, and up to so many labeler nodes, which go when they have been idle for six seconds."""
    return {
        "cluster_name": "growing",
        "max_workers": most,
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 10,
        # The nodes share one address, and nobody has to log in to them.
        "provider": {
            "type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 2}, "node_config": {}, "max_workers": 0},
            "labeler": {
                "resources": {"CPU": 1, "labeler": 1}, "node_config": {}, "min_workers": 0, "max_workers": most,
            },
        },
        "head_node_type": "ray.head.default",
        **{f"{what}_commands": [] for what in COMMANDS},
        "auth": {}, "docker": {}, "file_mounts": {}, "cluster_synced_files": [], "file_mounts_sync_continuously": False,
        "rsync_exclude": [], "rsync_filter": [], "head_node": {}, "worker_nodes": {},
    }  # fmt: skip


@contextmanager
def growing(folder: Path, most: int) -> Iterator[tuple[str, Path]]:
    """The cluster while the block runs: its address, and its autoscaler's file. All that it started is ended after it.

    What is started in the block inherits the cluster's token.
    """
    file = folder / "autoscaling.json"
    file.write_text(json.dumps(configuration(most)))
    with own_token(), (folder / "ray.log").open("w") as log:
        head = _started(file, log)
        try:
            yield f"{ray._private.services.get_node_ip_address()}:{PORT}", file
        finally:
            every = [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]
            for process in every:
                if process.is_running():
                    process.kill()
            psutil.wait_procs(every, timeout=30)


def _started(file: Path, log: IO[str]) -> "subprocess.Popen[bytes]":
    environment = os.environ | {
        "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    start = [
        "ray", "start", "--head", "--block", f"--port={PORT}", "--num-cpus=2", "--include-dashboard=false",
        f"--autoscaling-config={file}", f"--temp-dir=/tmp/ray-growing-{os.getpid()}",
    ]  # fmt: skip
    return subprocess.Popen(start, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
