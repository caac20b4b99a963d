"""An hour of reinforcement learning: does the memory of any process, or the object store, grow?

    python -m benchmarks.soak --minutes 60 --model FOLDER

Runs configs/smoke/learn.yaml without an end, and every few seconds notes the anonymous memory of each role's processes, and of
the raylet all that is resident, which is the object store. Files are not counted: the pages of a library belong to a process
alone as soon as no other has it loaded, so that an engine "grows" by 40 MB when another one on the machine ends. The first part
of the time is warm-up; over the rest a line is fitted to each, and its slope is in the table. Ends with 1 where one grows by more
than `--bearable` MB an hour, or where the run ended before its time.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from jobs.progress import Progress, console, print_table

ROOT = Path(__file__).resolve().parent.parent
CONFIG = "configs/smoke/learn.yaml"
MARK, ROLE = "TRUING_SOAK", "TRUING_ROLE"
RAYLET = "Ray: raylet"
MB = 1e6
Samples = dict[str, list[tuple[float, float]]]
"""By what was measured: (hours since the start, MB)."""


def driver(asked: argparse.Namespace, storage: Path, mark: str) -> "subprocess.Popen[bytes]":
    """A training that does not end by itself."""
    overrides = [
        f"model.path={asked.model}", f"storage={storage}", "name=soak", "policy.steps=1000000", "policy.checkpoint_every=50",
        # Thousands of steps at this learning rate make a policy so sharp that bfloat16 weights speak otherwise than float32 ones.
        "policy.probe_tolerance=5", *asked.overrides,
    ]  # fmt: skip
    with (storage / "soak.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "jobs.cli", "train", CONFIG, *overrides],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {MARK: mark},
        )  # fmt: skip


def look(mark: str) -> dict[str, float]:
    """MB of each kind of process of the run."""
    found: dict[str, float] = defaultdict(float)
    for process in psutil.process_iter():
        try:
            environment = process.environ()
            if environment.get(MARK) == mark:
                kind = environment.get(ROLE) or _kind(process)
                found[kind] += (process.memory_info().rss if kind == RAYLET else _anonymous(process.pid)) / MB
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess, FileNotFoundError, ProcessLookupError):
            continue
    return dict(found)


def _anonymous(process: int) -> int:
    """Bytes of memory that belong to no file."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    (amount,) = (line.split()[1] for line in lines if line.startswith("Anonymous:"))
    return int(amount) * 1024


def _kind(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    for kind in ("gcs_server", "raylet", "agent", "monitor"):
        if kind in words.split(" --")[0]:
            return f"Ray: {kind}"
    return "driver" if "jobs.cli" in words else "Ray: other"


def slope(samples: Sequence[tuple[float, float]], warm: float) -> tuple[float, float, float]:
    """MB an hour after `warm` hours, by least squares; the first and the last tenth's mean."""
    hours, sizes = np.array([one for one in samples if one[0] >= warm]).T
    tenth = max(1, len(sizes) // 10)
    return float(np.polyfit(hours, sizes, 1)[0]), float(sizes[:tenth].mean()), float(sizes[-tenth:].mean())


def soak(asked: argparse.Namespace, storage: Path) -> Samples:
    """Samples until the time is over, or the run has ended."""
    mark, samples = uuid.uuid4().hex, defaultdict(list)
    process = driver(asked, storage, mark)
    begun = time.monotonic()
    try:
        with Progress("soak", asked.minutes, done=0) as bar:
            while (hours := (time.monotonic() - begun) / 3600) < asked.minutes / 60 and process.poll() is None:
                for what, size in look(mark).items():
                    samples[what].append((hours, size))
                bar.at(int(hours * 60))
                time.sleep(asked.every)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
    return samples


def main() -> None:
    """Soak, fit, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=f"of {CONFIG}")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--warm", type=float, default=10.0, help="minutes that are not counted")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    parser.add_argument("--bearable", type=float, default=20.0, help="MB an hour that a kind of process may grow")
    parser.add_argument("--model", default="demo", help="`demo`, or a model's folder")
    parser.add_argument("--storage", type=Path, default=Path("runs/soak"))
    asked = parser.parse_args()
    storage = asked.storage.resolve()
    storage.mkdir(parents=True, exist_ok=True)
    samples = soak(asked, storage)
    (storage / "soak.json").write_text(json.dumps(samples))
    steps = len((storage / "soak" / "policy" / "metrics.jsonl").read_text().splitlines())
    fitted = {what: slope(some, asked.warm / 60) for what, some in samples.items() if some[-1][0] > asked.warm / 60}
    rows = [(what, *fitted[what][1:], fitted[what][0]) for what in sorted(fitted)]
    print_table("Soak", ("process", "MB after warm-up", "MB at the end", "MB an hour"), rows)
    grown = [what for what in fitted if fitted[what][0] > asked.bearable]
    said = ", ".join(grown) or "none"
    lasted = 60 * max((some[-1][0] for some in samples.values()), default=0.0)
    early = lasted < asked.minutes - 1
    ended = f"; THE RUN ENDED BEFORE ITS {asked.minutes} MINUTES, see {storage / 'soak.log'}" if early else ""
    console.print(
        f"{steps} steps in {lasted:.0f} minutes; growing by more than {asked.bearable:g} MB an hour: {said}{ended}"
    )
    sys.exit(1 if grown or early or not fitted else 0)


if __name__ == "__main__":
    main()
