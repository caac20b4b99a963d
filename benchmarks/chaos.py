"""Kills at random moments of a run, spread over all roles, and what was lost by them: nothing that a run has said.

    python -m benchmarks.chaos --kills 20            # an RL run and a labeling run, twenty kills each
    python -m benchmarks.chaos --kills 7 --only rl

Three Ray nodes on this machine; a kill is SIGKILL to an actor, to the driver (which is then started again, as a job would be),
or to a node's raylet (another node takes its place). A `cut` kills nobody: a node is cut off the network until Ray has given it
up, and then joined again; that needs root and network namespaces. The same study is done once without kills; figures, and labels,
must be equal. Ends with 1 where they are not, where a label is there twice, or where a process is left.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from benchmarks.chaos_monkey import Command, Kill, Monkey, rows
from clusters.apart import impossible
from clusters.one_apart import one_apart
from clusters.three_nodes import ThreeNodes, three_nodes
from jobs.progress import console, print_table
from jobs.store import Table
from truing.data.loaders import load_prompts

CONFIG = "configs/chaos.yaml"
ACTORS = ("rollout", "policy", "reference", "labeler", "reward model", "driver", "node", "cut")
PASS = ("labelling pairs", "driver", "node", "cut")
PAIRS = 240
LEFT = 60.0
"""Seconds in which all processes of a command must have ended after it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One disturbed run against an undisturbed one."""

    what: str
    kills: list[Kill]
    seconds: float
    calm_seconds: float
    faults: list[str]


def disturbed(
    what: str, arguments: Sequence[str], reached: Callable[[Path], int], roles: Sequence[str], asked: argparse.Namespace
) -> tuple[Verdict, Path, Path]:
    """Run a command in calm and then with kills; what happened, and the two run folders."""
    storage = Path(asked.storage).resolve()
    seconds: dict[str, float] = {}
    kills: list[Kill] = []
    faults: list[str] = []
    nodes = three_nodes if impossible() else one_apart
    for name in ("calm", "chaos"):
        folder = storage / f"{what}-{name}"
        with nodes() as cluster:
            command = Command([*arguments, *_where(cluster, storage, folder.name)], storage / f"{folder.name}.log")
            begun = time.monotonic()
            if name == "chaos":
                monkey = Monkey(
                    cluster.losses(), command, lambda folder=folder: reached(folder), roles, asked.seed, asked.deadline
                )
                _until(lambda folder=folder: reached(folder) > 0, command, asked.deadline)
                kills = monkey.kill(asked.kills, asked.pause)
            code = command.process.wait(asked.longest)
            seconds[name] = time.monotonic() - begun
            if code:
                faults.append(f"{name}: exit {code}, see {storage / folder.name}.log")
            _until(lambda command=command: not command.left(), None, LEFT)
            faults += [f"{name}: left behind: {process}" for process in (*command.left(), *cluster.left())]
    return (
        Verdict(what, kills, seconds["chaos"], seconds["calm"], faults),
        storage / f"{what}-calm",
        storage / f"{what}-chaos",
    )


def _where(cluster: ThreeNodes, storage: Path, name: str) -> list[str]:
    nodes = "cluster.nodes={learner: learner, rollout: rollout, labeler: labeler}"
    return [f"cluster.address={cluster.address}", nodes, f"storage={storage}", f"name={name}"]


def _until(holds: Callable[[], bool], command: Command | None, deadline: float) -> None:
    end = time.monotonic() + deadline
    while not holds() and time.monotonic() < end:
        if command is not None and command.process.poll() is not None:
            return
        time.sleep(0.2)


def learning(asked: argparse.Namespace) -> Verdict:
    """Reinforcement learning: the rows of both runs' metrics.jsonl."""
    arguments = ["train", CONFIG, *asked.overrides]
    found, calm, chaos = disturbed("rl", arguments, _steps, ACTORS, asked)
    before, after = rows(_metrics(calm)), rows(_metrics(chaos))
    different = [str(one["step"]) for one, other in zip(before, after, strict=False) if one != other]
    if different:
        found.faults.append(f"figures differ in steps {', '.join(different)}")
    if len(before) != len(after):
        found.faults.append(f"{len(after)} steps, and {len(before)} without kills")
    return found


def _metrics(run: Path) -> Path:
    return run / "policy" / "metrics.jsonl"


def _steps(run: Path) -> int:
    return len(rows(_metrics(run)))


def labelling(asked: argparse.Namespace) -> Verdict:
    """An offline pass: the labels of both runs, by pair."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pairs.jsonl"
        prompts = [prompt.text for prompt in load_prompts("demo")]
        pairs = [
            {
                "prompt": f"{prompts[i % len(prompts)]} ({i})",
                "first": f"It is {i}.",
                "second": "I would rather not say.",
            }
            for i in range(PAIRS)
        ]
        file.write_text("".join(f"{json.dumps(pair)}\n" for pair in pairs), encoding="utf-8")
        arguments = [
            "label", CONFIG, "policy=null", f"label.pairs.path={file}", "label.marked=null", "label.batch=2",
            "label.templates={'*': helpful}", *asked.overrides,
        ]  # fmt: skip
        found, calm, chaos = disturbed("labels", arguments, _labels, PASS, asked)
    before, after = (list(Table(run / "preferences").read()) for run in (calm, chaos))
    ids = [row["id"] for row in after]
    if len(ids) != len(set(ids)):
        found.faults.append(f"{len(ids) - len(set(ids))} labels are there twice")
    if {row["id"]: row for row in before} != {row["id"]: row for row in after}:
        found.faults.append(f"{len(after)} labels are not the {len(before)} of the run without kills")
    return found


def _labels(run: Path) -> int:
    """Blocks that are committed."""
    return sum(not path.name.endswith(".pending.parquet") for path in run.glob("labels/pairs/*.ledger/*.parquet"))


def show(found: Verdict) -> None:
    """The kills, and how it ended."""
    columns = ("killed", "after, s", "at step or block", "until two further, s", "done again")
    table = [(kill.who, kill.at, kill.reached, kill.seconds, kill.again) for kill in found.kills]
    print_table(f"{found.what}: {len(found.kills)} kills", columns, table)
    console.print(
        f"  {found.seconds:.0f} s, and {found.calm_seconds:.0f} s without kills; median cost of a kill"
        f" {median([kill.seconds for kill in found.kills] or [0.0]):.1f} s"
    )
    for fault in found.faults:
        console.print(f"  FAULT: {fault}")


RUNS = {"rl": learning, "labeling": labelling}


def main() -> None:
    """Disturb, compare, say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of configs/chaos.yaml")
    parser.add_argument("--kills", type=int, default=10, help="of each run")
    parser.add_argument("--only", choices=sorted(RUNS), help="one of the two runs")
    parser.add_argument("--seed", type=int, default=0, help="of who is killed when")
    parser.add_argument(
        "--pause", type=float, default=5.0, help="longest time between getting over a kill and the next, s"
    )
    parser.add_argument("--deadline", type=float, default=300.0, help="in which a run must get over a kill, s")
    parser.add_argument("--longest", type=float, default=3600.0, help="that a run may take, s")
    parser.add_argument("--storage", default="runs/chaos", help="where the runs are kept")
    asked = parser.parse_args()
    Path(asked.storage).mkdir(parents=True, exist_ok=True)
    if reason := impossible():
        console.print(f"no node will be cut off: {reason}")
    verdicts = [run(asked) for name, run in RUNS.items() if asked.only in (None, name)]
    for found in verdicts:
        show(found)
    Path(asked.storage, "chaos.json").write_text(json.dumps([asdict(found) for found in verdicts], indent=1))
    faults = sum(len(found.faults) for found in verdicts)
    kills = sum(len(found.kills) for found in verdicts)
    console.print(f"{kills} kills, {faults} faults; all figures: {asked.storage}/chaos.json")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
