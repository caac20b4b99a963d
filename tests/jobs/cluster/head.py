"""A head node with a job server, for as long as this process lives; the server's address goes to a file.

python -m tests.jobs.cluster.head OUT
"""

import os
import signal
import sys
from pathlib import Path

from jobs.worker_setup import end_with_parent


def main(out: Path) -> None:
    end_with_parent()
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    # Ports that no other Ray of this machine has.
    free = {"dashboard_port": 0, "dashboard_agent_listen_port": 0}
    cluster.add_node(num_cpus=2, include_dashboard=True, dashboard_host="127.0.0.1", **free)
    out.write_text(f"http://{cluster.head_node.webui_url}\n")
    signal.pause()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
