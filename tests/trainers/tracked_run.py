"""A toy run with all three trackers, as a process: `python -m tests.trainers.tracked_run FOLDER TOTAL KILLED_AFTER`.

It is killed, by itself and with no chance to tidy up, right after the step KILLED_AFTER; -1 lets it come to its end.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from trainers.run import Run
from trainers.trackers import Trackers
from truing.config.tracking import MlFlow, TensorBoard, Wandb


class Doubling:
    """State of one number."""

    def __init__(self) -> None:
        self.value = 1

    def state(self) -> dict[str, Any]:
        return {"value": self.value}

    def restore(self, state: dict[str, Any]) -> None:
        self.value = state["value"]


def main(folder: Path, total: int, killed_after: int) -> None:
    def warn(line: str) -> None:
        print(line, flush=True)

    trackers = Trackers((TensorBoard(), MlFlow(), Wandb()), folder, warn)

    def on_step(row: dict[str, Any]) -> None:
        trackers.log(row)
        if row["step"] == killed_after:
            os.kill(os.getpid(), signal.SIGKILL)

    state = Doubling()
    run = Run(folder, every=3, groups={}, state={"doubling": state}, on_step=on_step)
    for step in run.steps(total):
        state.value *= 2
        run.report(reward=state.value, parts={"finished": -0.5 * step})
    trackers.close(finished=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
