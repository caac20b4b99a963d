"""Notes how many labeler nodes a cluster has, whenever the number changes; a process of its own, as the driver is.

    python -m tests.jobs.cluster.watch ADDRESS AUTOSCALING OUT

Each line of OUT is `[seconds, nodes]`; the first one is what the cluster could have.
"""

import json
import sys
import time
from pathlib import Path

from jobs.cluster.capacity import offered
from jobs.worker_setup import end_with_parent


def main(address: str, autoscaling: str, out: Path) -> None:
    end_with_parent()
    import ray

    ray.init(address, log_to_driver=False)
    begun, before = time.monotonic(), -1
    with out.open("w") as file:
        file.write(json.dumps([str(one) for one in offered(autoscaling)]) + "\n")
        while True:
            now = sum(node["Alive"] and "labeler" in node["Resources"] for node in ray.nodes())
            if now != before:
                file.write(json.dumps([round(time.monotonic() - begun, 1), now]) + "\n")
                file.flush()
                before = now
            time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
