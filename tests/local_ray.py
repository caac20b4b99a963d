"""A Ray of this process's own, whatever else runs on the machine."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@contextmanager
def local_ray(cpus: int) -> Iterator[None]:
    """One node of so many CPUs while the block runs; the environment is afterwards as it was."""
    before = dict(os.environ)
    # Workers are nice by default: on a busy machine the tests would wait for everything else that runs there.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - the case is Ray's
    import ray

    try:
        ray.init(
            address="local",
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}},
        )
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
    finally:
        ray.shutdown()
        os.environ.clear()
        os.environ.update(before)
