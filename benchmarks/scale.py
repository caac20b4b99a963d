"""Many workers on one machine: engines are replaced by stubs that sleep as long as measured ones compute, all else is real.

    python -m benchmarks.scale labeling --workers 1 2 4 8 16 32 64
    python -m benchmarks.scale driver --workers 1 2 4 8 16 32 64
    python -m benchmarks.scale memory --workers 64
    python -m benchmarks.scale calls

`labeling`: an offline pass (Ray Data, ledger, commits) with so many workers, each of which has the same to do. All of them begin
together when the last one is there. `eff.` compares labels a second with so many times those of the fewest workers,
over the time in which every worker has work; `pass` is from the first question to the last part written, and so has
the end in it, where some have nothing more to do. A block is a batch, committed by itself.

`driver`: steps of RLOO with so many engines. `driver` is what the driver does not spend in `ray.wait`, as a share of the step.

`calls`: CPU time of the driver for a call and for a result, of which driver and extrapolation are made.

`memory`: the same as `driver` with faster steps and more of them: how the driver's memory goes on once it is warm.

Every line of a table comes from a process of its own with a Ray of its own. The processes must find room: a labeling worker is
about 0.14 GB, an actor of the driver's about 0.21 GB, and 64 engines are 88 actors.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.scale_labeling import Figures
from benchmarks.scale_labeling import Task as Labeling
from jobs.progress import Cell, console, print_table
from jobs.worker_setup import end_with_parent

ROOT = Path(__file__).resolve().parents[1]
MARK = "MEASURED "
"""Begins the line that a measurement's process prints."""
WORKER_GB, ACTOR_GB, REST_GB = 0.14, 0.21, 2.0
"""Memory of a labeling worker, of an actor of the driver's, and of driver, Ray and what runs beside them."""
FAR = 1000
"""Workers of the cluster that the fits are extended to."""


def labeling(given: argparse.Namespace, workers: int) -> Figures:
    """One pass."""
    task = Labeling(workers, given.each, given.batch, given.rate)
    return apart("labeling", asdict(task), workers * WORKER_GB)


def driver(given: argparse.Namespace, workers: int) -> Figures:
    """A few steps that take as long as measured ones."""
    return steps(given, workers, given.steps, 1.0)


def memory(given: argparse.Namespace, workers: int) -> Figures:
    """Many fast steps."""
    return steps(given, workers, given.long, given.pace)


def steps(given: argparse.Namespace, workers: int, count: int, pace: float) -> Figures:
    """A run of the trainer."""
    order = {"engines": workers, "steps": count, "sharing": given.sharing, "pace": pace}
    return apart("steps", order, (workers + workers * 1.5 / given.sharing) * ACTOR_GB)


def calls(given: argparse.Namespace, _: int) -> Figures:  # noqa: ARG001 - as the other parts are called
    """The driver's own operations."""
    return apart("calls", {}, ACTOR_GB)


def inside(what: str, order: dict[str, Any]) -> None:
    """In a process of its own, which ends when the one that started it does: measure and print."""
    end_with_parent()
    if what == "labeling":
        from benchmarks.scale_labeling import labels

        found = labels(Labeling(**order))
    elif what == "calls":
        from benchmarks.scale_calls import costs

        found = costs()
    else:
        from benchmarks import scale_driver
        from benchmarks.scale_roles import Pace

        pace = Pace().times(order.pop("pace"))
        found = scale_driver.steps(scale_driver.Task(**order, pace=pace))
    print(MARK + json.dumps(found), flush=True)


def apart(what: str, order: dict[str, Any], gigabytes: float) -> Figures:
    """The figures of one measurement, from a process of its own."""
    free = psutil.virtual_memory().available / 1e9
    if free < gigabytes + REST_GB:
        raise SystemExit(
            f"benchmarks.scale: {what} {order} takes about {gigabytes + REST_GB:.0f} GB and {free:.0f} are free;"
            " give fewer --workers, or more --sharing"
        )
    command = [sys.executable, "-m", "benchmarks.scale", "inside", what, json.dumps(order)]
    environment = os.environ | {"RAY_ENABLE_AUTO_CONNECT": "0", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    measured = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not measured:
        raise SystemExit(
            f"benchmarks.scale: {what} {order} ended with exit code {done.returncode}\n{done.stdout[-1000:]}\n"
            f"{done.stderr[-3000:]}"
        )
    return json.loads(measured[-1].removeprefix(MARK))


def fitted(points: Sequence[tuple[float, float]], degree: int, at: float = FAR) -> float:
    """The value of the least-squares polynomial, of a degree that the points allow, at `at`; never less than 0.

    Errors count relative to the values, for these span orders of magnitude.
    """
    xs, ys = (np.array(column) for column in zip(*points, strict=True))
    weights = 1 / np.maximum(ys, 1e-9)
    return max(0.0, float(np.polyval(np.polyfit(xs, ys, min(degree, len(points) - 1), w=weights), at)))


Kept = dict[int, Figures]


def show_labeling(found: Kept) -> None:
    """Efficiency is relative to the fewest workers."""
    fewest, first = next(iter(found.items()))
    each, whole = first["labels/s"] / fewest, first["pass labels/s"] / fewest
    columns = (
        "workers", "labels/s", "eff.", "busy", "pass, labels/s", "eff.", "waiting",
        "driver", "Ray", "machine", "driver MB", "worker MB", "start s",
    )  # fmt: skip
    rows: list[tuple[Cell, ...]] = [
        (
            n, one["labels/s"], one["labels/s"] / n / each, one["busy"], one["pass labels/s"],
            one["pass labels/s"] / n / whole, int(one["waiting rows"]), one["driver cores"], one["ray cores"],
            one["machine cores"], one["driver MB"], one["worker MB"], one["start seconds"],
        )
        for n, one in found.items()
    ]  # fmt: skip
    note = "waiting: rows answered, not written; CPU seconds a second of the driver, of GCS and raylet, of the whole machine"
    print_table("Labeling", columns, rows, note)
    far = fitted([(n, one["driver cores"]) for n, one in found.items()], 1)
    console.print(f"a line through the driver's CPU seconds a second gives {far:.2f} at {FAR} workers")


def show_driver(found: Kept) -> None:
    """The driver's share, and what is left of it at more engines."""
    names = (
        "step seconds", "driver", "driver seconds", "driver CPU seconds", "ray CPU seconds", "driver MB",
        "driver MB a step", "actor MB", "start seconds",
    )  # fmt: skip
    columns = ("engines", "actors", "steps", "step s", "driver", "driver s", "driver CPU s", "Ray CPU s", "driver MB")
    rows: list[tuple[Cell, ...]] = [
        (n, int(one["actors"]), int(one["steps"]), *(one[name] for name in names)) for n, one in found.items()
    ]
    print_table(
        "RL driver",
        (*columns, "MB/step", "actor MB", "start s"),
        rows,
        "medians over the steps; driver: share of the step",
    )
    for name in ("driver seconds", "driver CPU seconds"):
        far = fitted([(n, one[name]) for n, one in found.items()], 2)
        console.print(f"a parabola through the {name} gives {far:.1f} a step at {FAR} engines")


def show_calls(found: Kept) -> None:
    """A line an operation."""
    (costs,) = found.values()
    print_table("The driver's operations", ("operation", "CPU ms each"), [*costs.items()])


PARTS: dict[str, tuple[Callable[[argparse.Namespace, int], Figures], Callable[[Kept], None]]] = {
    "labeling": (labeling, show_labeling),
    "driver": (driver, show_driver),
    "memory": (memory, show_driver),
    "calls": (calls, show_calls),
}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    usual = Labeling(1)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=(*PARTS, "inside"), metavar="{labeling,driver,memory,calls}")
    parser.add_argument("order", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32, 64], help="or engines")
    parser.add_argument("--each", type=int, default=usual.each, help="batches of a labeling worker")
    parser.add_argument("--batch", type=int, default=usual.batch, help="pairs of a batch")
    parser.add_argument("--rate", type=float, default=usual.rate, help="labels a second of one worker, as measured")
    parser.add_argument("--steps", type=int, default=8, help="steps, of which the first two are not counted")
    parser.add_argument("--sharing", type=int, default=4, help="engines to a reference; a rank serves twice as many")
    parser.add_argument("--long", type=int, default=50, help="steps of `memory`")
    parser.add_argument("--pace", type=float, default=0.1, help="how long its steps are, measured ones being 1")
    parser.add_argument("--json", type=Path, default=Path("runs/benchmarks/scale.json"), help="all figures, by part")
    given = parser.parse_args()
    if given.part != "inside" and (min(given.steps, given.long) < 4 or min(given.workers) < 1 or given.each < 1):
        parser.error("give 4 or more --steps and --long, 1 or more --workers and --each")
    return given


def main() -> None:
    """Measure each number of workers, print a table, keep all figures."""
    given = arguments()
    if given.part == "inside":
        inside(given.order[0], json.loads(given.order[1]))
        return
    measure, show = PARTS[given.part]
    found: Kept = {}
    for workers in [1] if given.part == "calls" else sorted(given.workers):
        found[workers] = measure(given, workers)
        console.print(f"  {given.part}: {workers} done")
        keep(given.json, given.part, found)
    show(found)
    console.print(f"all figures: {given.json}")


def keep(path: Path, part: str, found: Kept) -> None:
    """Put a part's figures in the file, whole or not at all."""
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_text(json.dumps(kept | {part: found}, indent=2), encoding="utf-8")
    fresh.replace(path)


if __name__ == "__main__":
    main()
