"""Training: our learners and steps against TRL, a bare loop, and limits. Same model, same tokens, same batch.

    python -m benchmarks.training --pairs 64 --repeats 3
    python -m benchmarks.training --only reward
    python -m benchmarks.training --profile

Every contender runs in a fresh process with the same environment; its memory is that process's largest resident set. The
contenders take turns (A, B, A, B), and what is shown are medians. The pairs are hh_harmless_test of ../shared/data
with their real lengths; a pass over them is timed as a whole, its first update included.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.training_data import Figures, Task
from benchmarks.training_rows import BENCHMARKS, COLUMNS, NOT_BY_ITSELF, Benchmark, Contender, Measured, Row
from jobs.progress import console, print_table
from jobs.worker_setup import end_with_parent

ROOT = Path(__file__).resolve().parents[1]
MARK = "MEASURED "
"""Begins the line that a contender's process prints."""
PROFILE = Contender("training_ours", "profile")
PACKAGES = ("torch", "transformers", "deepspeed", "ray", "trl")


def environment() -> dict[str, str]:
    """The same for all: two threads, allocations kept, nothing downloaded, our learners on the CPU."""
    from actors.engine import KEPT_MEMORY

    fixed = {"OMP_NUM_THREADS": "2", "DS_ACCELERATOR": "cpu", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **fixed, **KEPT_MEMORY}


def contend(contender: Contender, task: Task) -> None:
    """In a process of its own, which ends when the one that started it does: do the work, print the figures."""
    end_with_parent()
    work = getattr(importlib.import_module(f"benchmarks.{contender.module}"), contender.function)
    found: Figures = partial(work, **contender.options)(task)
    found["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    found["load"] = os.getloadavg()[0]
    print(MARK + json.dumps(found), flush=True)


def apart(contender: Contender, task: Task, *, shown: bool = False) -> Figures:
    """The figures of one contender, from a process of its own; `shown` passes on what else it prints."""
    order = json.dumps({"contender": asdict(contender), "task": asdict(task)})
    command = [sys.executable, "-m", "benchmarks.training", "--contend", order]
    done = subprocess.run(  # noqa: S603 - our own interpreter and module
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment()
    )
    lines = done.stdout.splitlines()
    measured = [line for line in lines if line.startswith(MARK)]
    if done.returncode or not measured:
        raise SystemExit(
            f"benchmarks.training: {contender.module}.{contender.function} {dict(contender.options)} ended with exit code"
            f" {done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
        )
    if shown:
        print("\n".join(line for line in lines if not line.startswith(MARK)))
    return json.loads(measured[-1].removeprefix(MARK))


def measure(benchmark: Benchmark, task: Task, repeats: int) -> dict[str, list[Figures]]:
    """Every contender's figures, one a repeat; they take turns."""
    found: dict[str, list[Figures]] = {name: [] for name in benchmark.contenders}
    for turn in range(repeats):
        for name, contender in benchmark.contenders.items():
            begun = time.monotonic()
            found[name].append(apart(contender, task))
            console.print(f"  {benchmark.title}, {turn + 1}/{repeats}: {name}, {time.monotonic() - begun:.0f} s")
    return found


def medians(found: Mapping[str, Sequence[Figures]]) -> Measured:
    """By contender and figure."""
    return {name: {key: median(one[key] for one in some) for key in some[0]} for name, some in found.items()}


def check_peer(names: Sequence[str]) -> None:
    """End with one line where TRL is wanted and not there."""
    wanted = [name for name in names if any(one.peer for one in BENCHMARKS[name].contenders.values())]
    if wanted and importlib.util.find_spec("trl") is None:
        raise SystemExit(
            f"benchmarks.training: {', '.join(wanted)} compare with TRL, which is not installed;"
            " install the extra: .venv/bin/pip install -e '.[bench]'"
        )


def machine() -> dict[str, Any]:
    """Where the figures come from."""
    installed = {name: importlib.metadata.version(name) for name in PACKAGES if importlib.util.find_spec(name)}
    load = os.getloadavg()
    return {"cpus": os.cpu_count(), "machine": platform.machine(), "load": load, "packages": installed}


def write(path: Path, content: dict[str, Any]) -> None:
    """The JSON file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=2), encoding="utf-8")
    part.replace(path)


def described(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    return asdict(row) | {"what": row.what.strip(), "ratio": row.ratio}


def run(names: Sequence[str], task: Task, repeats: int, path: Path) -> None:
    """Measure, print a table a benchmark, and keep all figures in the file after each."""
    check_peer(names)
    kept: dict[str, Any] = {"machine": machine(), "task": asdict(task), "repeats": repeats, "benchmarks": {}}
    for name in names:
        benchmark = BENCHMARKS[name]
        found = measure(benchmark, task, repeats)
        rows = benchmark.rows(medians(found))
        note = f"medians of {repeats}; {task.pairs} pairs, batch {task.batch}"
        print_table(benchmark.title, COLUMNS, [row.cells() for row in rows], note)
        kept["benchmarks"][name] = {"rows": [described(row) for row in rows], "measured": found}
        write(path, kept)
    console.print(f"all figures: {path}")


def main() -> None:
    """Parse, measure, print."""
    usual = Task()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=usual.pairs, help="pairs of one pass")
    parser.add_argument("--batch", type=int, default=usual.batch, help="pairs of one update")
    parser.add_argument("--steps", type=int, default=usual.steps, help="RL steps, of which the first is not counted")
    parser.add_argument("--prompts", type=int, default=usual.prompts, help="prompts of an RL step")
    parser.add_argument("--completions", type=int, default=usual.completions, help="completions of a prompt")
    parser.add_argument("--new-tokens", type=int, default=usual.new_tokens, help="longest completion")
    parser.add_argument("--zero", type=int, default=usual.zero_stage, choices=range(4), help="our learners' ZeRO stage")
    parser.add_argument("--model", default=usual.model, help="`demo`, or a model's folder")
    parser.add_argument("--repeats", type=int, default=3, help="turns of every contender")
    parser.add_argument("--only", action="append", choices=sorted(BENCHMARKS), help="may be given more than once")
    parser.add_argument("--json", type=Path, default=Path("runs/benchmarks/training.json"), help="all figures")
    parser.add_argument("--profile", action="store_true", help="where the time of one update of our learner goes")
    parser.add_argument("--contend", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.contend:
        order = json.loads(given.contend)
        contend(Contender(**order["contender"]), Task(**order["task"]))
        return
    if given.steps < 2 or given.batch < 2 or given.pairs < 2:
        parser.error("give --steps, --batch and --pairs of 2 or more: an RL step's first is not counted")
    task = Task(
        given.pairs, given.batch, given.steps, given.prompts, given.completions, given.new_tokens, given.zero,
        given.model,
    )  # fmt: skip
    if given.profile:
        print(f"one update: {apart(PROFILE, task, shown=True)['seconds']:.2f} s under the profiler")
        return
    names = given.only or [name for name in BENCHMARKS if name not in NOT_BY_ITSELF]
    run(names, task, given.repeats, given.json)


if __name__ == "__main__":
    main()
