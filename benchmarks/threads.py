"""Scorers that share CPUs, with OpenMP's own waiting and with ours: `python -m benchmarks.threads`."""

import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from actors.reference import Reference
from actors.threads import cpu_threads
from jobs.models import model_folder
from jobs.progress import Cell, print_table
from truing.config.roles import Scorer
from truing.records import Rollout

PASSES = 4
DEADLINE = 600.0


def scorer(meeting: Path, count: int) -> None:
    """Load, wait for the others, read 16 completions of 100 tokens `PASSES` times; print the seconds."""
    reference = Reference(model_folder("demo"), Scorer(token_budget=1024), "bfloat16", 1.0)
    rollout = Rollout("p", "p", list(range(1000, 1060)), list(range(3000, 3040)), [-3.0] * 40, "text", True, [0] * 40)
    groups = [[rollout] * 4] * 4
    reference.logprobs(groups)
    (meeting / str(os.getpid())).touch()
    until = time.monotonic() + DEADLINE
    while len(list(meeting.iterdir())) < count and time.monotonic() < until:
        time.sleep(0.05)
    begun = time.perf_counter()
    for _ in range(PASSES):
        reference.logprobs(groups)
    print(time.perf_counter() - begun)


def slowest(count: int, environment: dict[str, str]) -> float:
    """Seconds of the last of so many scorers at a time."""
    with TemporaryDirectory() as meeting:
        command = [sys.executable, "-m", "benchmarks.threads", meeting, str(count)]
        started = [
            subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)  # noqa: S603
            for _ in range(count)
        ]
        return max(float(one.communicate(timeout=DEADLINE)[0].split()[-1]) for one in started)


def main() -> None:
    """One and three scorers of two threads each, both ways."""
    ours = cpu_threads(2)
    plain = {"OMP_NUM_THREADS": ours["OMP_NUM_THREADS"]}
    rows: list[tuple[Cell, ...]] = []
    for count in (1, 3):
        without, wanted = slowest(count, plain), slowest(count, ours)
        rows.append((count, without, wanted, without / wanted))
    print_table("Seconds of the last scorer", ("scorers", "OpenMP's waiting", "ours", "ratio"), rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        scorer(Path(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
