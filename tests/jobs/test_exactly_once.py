"""Labelling that is killed again and again: the driver at three moments, the engine's worker at three others."""

import random
import re
import signal
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.jobs.drive import ROOT, Command, Outcome, truing, write_lines

pytestmark = pytest.mark.timeout(1800)

RECIPE = str(ROOT / "configs" / "smoke" / "label.yaml")
PAIRS, BATCH = 500, 16
BATCHES = -(-PAIRS // BATCH)


def pairs(path: Path) -> Path:
    """Five hundred pairs, five of them twice: as they are, or the other way round."""
    rows: list[dict[str, Any]] = [
        {"prompt": f"Tell me about {i}.", "first": f"It is {i}.", "second": f"Nothing of {i}."} for i in range(PAIRS)
    ]
    again = [rows[3], *({**row, "first": row["second"], "second": row["first"]} for row in rows[10:14])]
    return write_lines(path, [*rows, *again])


def labels(folder: Path) -> list[dict[str, Any]]:
    """Every row of every label file, as it stands on the disk."""
    import pyarrow.parquet as pq

    parts = (path for path in folder.glob("labels/pairs/*/*.parquet") if "." not in path.parent.name)
    return [row for path in sorted(parts) for row in pq.read_table(path).to_pylist()]


def committed(folder: Path) -> int:
    """Batches of pairs whose labels are stored for good."""
    done = folder.glob("labels/pairs/*.ledger/*.parquet")
    return sum(not path.name.endswith(".pending.parquet") for path in done)


def worker(command: Command) -> psutil.Process | None:
    """The process of the engine's worker."""
    return next((p for p in command.descendants() if "MapWorker" in " ".join(p.cmdline())), None)


@dataclass(frozen=True)
class Killed:
    """What a job left that was killed six times."""

    folder: Path
    finished: Outcome
    again: Outcome
    before: list[int]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Killed:
    storage = tmp_path_factory.mktemp("killed")
    folder = storage / "smoke-label"
    file = pairs(storage / "pairs.jsonl")
    arguments = ("label", RECIPE, f"storage={storage}", f"labeler.model.path={tiny}", f"label.pairs.path={file}")
    moments = sorted(random.Random(7).sample(range(1, BATCHES - 12), 6))
    before: list[int] = []
    for moment in moments[:3]:
        command = Command(storage, *arguments)
        try:
            # A kill comes after the batches that the one before had overtaken, too: each run gets something done.
            least = max(moment, committed(folder) + 1)
            command.until(lambda least=least: committed(folder) >= least)
            command.signal_group(signal.SIGKILL)
            command.wait()
            assert command.survivors(60) == []
        finally:
            command.end()
        before.append(committed(folder))
    command = Command(storage, *arguments)
    try:
        for moment in moments[3:]:
            least = max(moment, committed(folder) + 1)
            command.until(lambda least=least: committed(folder) >= least and worker(command) is not None)
            victim = worker(command)
            assert victim is not None
            victim.kill()
            victim.wait(60)
        finished = command.wait()
    finally:
        command.end()
    return Killed(folder, finished.expect(0), truing(storage, *arguments), before)


def test_each_pair_has_one_label(killed: Killed) -> None:
    found = labels(killed.folder)
    assert len(found) == PAIRS
    assert set(Counter(row["id"] for row in found).values()) == {1}
    assert {row["prompt"] for row in found} == {f"Tell me about {i}." for i in range(PAIRS)}


def test_it_was_killed_in_the_middle(killed: Killed) -> None:
    """Each kill left something done and something to do."""
    assert 0 < killed.before[0] < killed.before[1] < killed.before[2] < BATCHES


def test_the_summary_says_what_was_asked_again(killed: Killed) -> None:
    # Behind the labeler's name, which may be cut.
    (row,) = re.findall(rf" ({PAIRS} +{PAIRS} .*)", killed.finished.out)
    asked, answered, failed, again, retried = (int(n) for n in re.findall(r"\d+", row)[:5])
    assert (asked, answered, failed, again) == (PAIRS, PAIRS, 0, 5)
    # Each death may lose the batches that its worker had in hand, and the one that was being written.
    assert 0 < retried <= 6 * 4 * BATCH


def test_the_preferences_hold_each_pair_once(killed: Killed) -> None:
    import pyarrow.parquet as pq

    rows = [row for path in killed.folder.glob("preferences/*.parquet") for row in pq.read_table(path).to_pylist()]
    assert Counter(row["source"] for row in rows) == {"ai": PAIRS, "marked": 120}
    assert len({row["id"] for row in rows}) == len(rows)


def test_labelling_again_is_a_no_op(killed: Killed) -> None:
    killed.again.expect(0)
    assert "labelling" not in killed.again.out
    assert len(labels(killed.folder)) == PAIRS


def test_a_pass_that_loses_its_count_ends_with_one_line_and_its_exit_code(tmp_path: Path, tiny: str) -> None:
    """The pass itself is still under way then, in a thread that uses the connection."""
    file = pairs(tmp_path / "pairs.jsonl")
    command = Command(
        tmp_path, "label", RECIPE, f"storage={tmp_path}", f"labeler.model.path={tiny}", f"label.pairs.path={file}"
    )
    try:
        command.until(lambda: committed(tmp_path / "smoke-label") >= 2)
        next(p for p in command.descendants() if "Tally" in " ".join(p.cmdline())).kill()
        done = command.wait().expect(4)
        assert command.survivors(60) == []
    finally:
        command.end()
    (line,) = [line for line in done.err.splitlines() if line.startswith("truing: ")]
    assert line.startswith("truing: labelling pairs: the actor that counts: the process died")
    assert line.endswith("run the same command again to go on from what is stored")
