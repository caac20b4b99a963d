"""A head node with a job server, for as long as this process lives; the server's address goes to a file.

python -m tests.jobs.cluster.head OUT
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

from clusters.three_nodes import know_by_folder
from jobs.worker_setup import end_with_parent


def main(out: Path, folder: Path) -> None:
    end_with_parent()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    # Ports and a folder that no other Ray of this machine has.
    own = {"dashboard_port": 0, "dashboard_agent_listen_port": 0, "temp_dir": str(folder)}
    cluster.add_node(num_cpus=2, include_dashboard=True, dashboard_host="127.0.0.1", **own)
    know_by_folder(folder, cluster.address)
    out.write_text(f"http://{cluster.head_node.webui_url}\n")
    signal.pause()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ray-") as own:
        main(Path(sys.argv[1]), Path(own))
