"""Does lm-evaluation-harness say of a grid's questions what the grid says? Its own items, asked again as tasks of lm-eval.

    truing evaluate configs/studies/paft_robustness.yaml
    python -m benchmarks.harness_agreement runs/paft_robustness --wordings 3

Of each data set it takes the wordings under which the policy's answers vary most: where it always gives the same letter,
agreement says little. The questions go to a run of another name, which has no answers stored: each is asked again. Ends with 1
where an item has another accuracy.
"""

import argparse
import json
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from jobs.progress import Cell, print_table
from jobs.store import Table
from truing.records import Row

ROOT = Path(__file__).resolve().parents[1]
METRICS = {"acc": "accuracy", "acc_norm": "accuracy, per character"}
"""lm-eval's names, and the grid's."""


def varied(scores: list[Row], data: str, count: int) -> list[str]:
    """The wordings of a data set whose accuracy is farthest from the commonest one."""
    right: dict[str, float] = defaultdict(float)
    for row in scores:
        if row["data"] == data and row["metric"] == METRICS["acc"]:
            right[row["variant"]] += row["value"]
    ((common, _),) = Counter(right.values()).most_common(1)
    return sorted(right, key=lambda name: (-abs(right[name] - common), name))[:count]


def write_task(folder: Path, name: str, questions: list[Row]) -> None:
    """The questions of one wording as a task of lm-eval."""
    items = folder / f"{name}.jsonl"
    lines = [{"q": one["prompt"], "choices": list(one["choices"]), "gold": int(one["right"])} for one in questions]
    items.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    task: dict[str, Any] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(items)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
        "metric_list": [{"metric": one, "aggregation": "mean", "higher_is_better": True} for one in METRICS],
        "metadata": {"version": 1.0},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")


def asked_again(run: Path, folder: Path, tasks: list[str]) -> list[Row]:
    """What lm-eval says of each item, through `truing harness`."""
    name = f"{run.name}-agreement"
    command = [sys.executable, "-m", "jobs.cli", "harness", str(run / "study.yaml"), f"name={name}"]
    command += [f"storage={run.parent}", "--tasks", ",".join(tasks), "--include", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own command
    return Table(run.parent / name / "evaluation" / "harness" / "items").rows()


def main() -> None:
    """Ask again, compare, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a run with choices in its grid")
    parser.add_argument("--wordings", type=int, default=1, help="of each data set")
    given = parser.parse_args()
    run = given.run.resolve()
    grid, folder = run / "evaluation" / "grid", run / "evaluation" / "agreement"
    folder.mkdir(parents=True, exist_ok=True)
    scores: list[Row] = pq.read_table(grid / "scores.parquet").to_pylist()
    questions: list[Row] = pq.read_table(grid / "questions.parquet").to_pylist()
    chosen: dict[str, tuple[str, str, list[Row]]] = {}
    for data in sorted({row["data"] for row in questions}):
        for wording in varied(scores, data, given.wordings):
            task = f"agreement_{data}_{len(chosen)}"
            chosen[task] = (data, wording, [q for q in questions if (q["data"], q["variant"]) == (data, wording)])
            write_task(folder, task, chosen[task][2])
    again = asked_again(run, folder, list(chosen))
    rows: list[tuple[Cell, ...]] = []
    others = 0
    for task, (data, wording, asked) in chosen.items():
        for theirs, ours in METRICS.items():
            found = {row["item"]: json.loads(row["metrics"])[theirs] for row in again if row["task"] == task}
            mine = {
                row["item"]: row["value"]
                for row in scores
                if (row["data"], row["variant"], row["metric"]) == (data, wording, ours)
            }
            other = sum(found[i] != mine[one["item"]] for i, one in enumerate(asked))
            others += other
            rows.append((data, wording, theirs, len(asked), int(sum(found.values())), int(sum(mine.values())), other))
    heads = ("data", "wording", "metric", "items", "lm-eval: right", "grid: right", "items that differ")
    print_table("lm-evaluation-harness and the grid", heads, rows)
    sys.exit(1 if others else 0)


if __name__ == "__main__":
    main()
