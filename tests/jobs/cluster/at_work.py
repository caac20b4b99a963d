"""`python -m tests.jobs.cluster.at_work STORAGE`: a command that works on a run for ever, and is stopped as every command is."""

import sys
import time

from jobs.cluster.mirror import mirrored
from jobs.ending import heed_signals, stoppable
from jobs.run_path import run_path
from jobs.store import write_text
from truing.config.study import Study

if __name__ == "__main__":
    heed_signals()
    study = Study.model_validate(
        {"name": "mine", "storage": sys.argv[1], "cluster": {"mirror_every": int(sys.argv[2])}}
    )
    with stoppable("stopped"), mirrored(study):
        write_text(run_path(study) / "a", "1")
        while True:
            time.sleep(1)
