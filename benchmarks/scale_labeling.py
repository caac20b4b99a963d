"""An offline labeling pass with many workers that sleep as long as a measured engine works: the pass itself is the real one."""

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actors.group import Needs
from benchmarks.scale_stub import Batch, Sleeper, batches, label
from benchmarks.scale_usage import Watch, slope, spent
from jobs.cluster.connect import connect, session
from jobs.labelers import LABELS
from jobs.requests import write_requests
from jobs.store import Table
from jobs.sweep import Pool, sweep_requests
from truing.config.study import Study
from truing.records import Row

RATE = 12.1
"""Labels a second of one engine of the demo model on two cores (docs/labeling.md, Speed); a pair is two labels."""
LENGTHS = (6.52, 0.785)
"""Mean and deviation of the logarithm of a pair's characters, in the 2,000 pairs of that measurement."""
SHORTEST, LONGEST, MEAN = 33, 2400, 885
"""Their fewest, most and average characters."""
Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Task:
    """How much there is to do: `each` batches for every worker, of `batch` pairs; `rate` labels a second of a worker."""

    workers: int
    each: int = 12
    batch: int = 64
    rate: float = RATE

    @property
    def character(self) -> float:
        """Seconds that a worker takes for a character."""
        return 2 / self.rate / MEAN


def pairs(task: Task) -> Iterator[Row]:
    """Requests: each worker's share has pairs of the same lengths, and all of them are shuffled together."""
    draw = random.Random(0)
    share = [draw.lognormvariate(*LENGTHS) for _ in range(task.each * task.batch)]
    lengths = [round(min(max(length, SHORTEST), LONGEST)) for length in share] * task.workers
    draw.shuffle(lengths)
    for i, length in enumerate(lengths):
        quarter = length // 4
        yield {
            "id": f"{i:08d}", "pair": f"{i:08d}", "prompt": "p" * (length - 2 * quarter), "first": "a" * quarter,
            "second": "b" * quarter, "domain": "any", "asking": "plain", "labeler": "stub",
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Steady:
    """The time in which every worker has work: from the last one's first batch to the first one's last. `work`: seconds of
    sleep that were asked for in it, over all workers.
    """

    seconds: float
    work: float


def steady(done: Sequence[Batch]) -> Steady:
    """Batches that are partly in it count by their part."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for one in done:
        first[one.worker] = min(one.begun, first.get(one.worker, one.begun))
        last[one.worker] = max(one.ended, last.get(one.worker, one.ended))
    begun, ended = max(first.values()), min(last.values())
    inside = [(max(0.0, min(one.ended, ended) - max(one.begun, begun)), one) for one in done]
    return Steady(ended - begun, sum(part / (one.ended - one.begun) * one.work for part, one in inside))


def labels(task: Task) -> Figures:
    """One pass, in a process of its own with a Ray of its own. See `benchmarks.scale` for what the figures are."""
    study = Study(name="bench")
    with tempfile.TemporaryDirectory() as scratch, session(study):
        table, log = Table(Path(scratch) / "labels"), Path(scratch) / "stubs"
        log.mkdir()
        ledger = write_requests(pairs(task), table, task.batch)
        connect(study)
        make = partial(Sleeper, log, task.workers, task.character)
        pool = Pool(make, label, Needs(0, 0, {}, 600, 600, 1), task.workers, task.workers, task.batch, schema=LABELS)
        begun = time.time()
        with Watch(lambda: len(list(log.glob("*.come"))) == task.workers, "ray::MapWorker") as watch:
            swept = sweep_requests("stub", table, ledger, pool, max_failed=0.0, connect=lambda: None)
        ended, start = spent(), watch.start
        assert start is not None
        done, parts = batches(log), table.parts()
        written = max(path.stat().st_mtime for path in parts)
        figures = whole(task, done, written) | {
            "stored": float(swept.ledger.answered),
            "asked": float(sum(one.rows for one in done)),
            "parts": float(len(parts)),
            "start seconds": done[0].begun - begun,
            "waiting rows": float(unwritten(done, parts)),
            "worker MB": sum(watch.weights) / max(len(watch.weights), 1),
            "driver MB": max(watch.memory, default=0.0),
            "driver MB a minute": 60 * slope(watch.memory[len(watch.memory) // 4 :]),
        }
    seconds = ended.at - start.at
    return figures | {
        "driver cores": (ended.driver - start.driver) / seconds,
        "ray cores": (ended.ray - start.ray) / seconds,
        "machine cores": (ended.machine - start.machine) / seconds,
    }


def whole(task: Task, done: Sequence[Batch], written: float) -> Figures:
    """Labels a second, in pairs of average length: while all work, and from the first begin to the last part written."""
    window = steady(done)
    pair = 2 / task.rate
    return {
        "labels/s": 2 * window.work / pair / window.seconds,
        "busy": window.work / window.seconds / task.workers,
        "steady seconds": window.seconds,
        "pass labels/s": 2 * sum(one.work for one in done) / pair / (written - done[0].begun),
        "pass seconds": written - done[0].begun,
    }


def unwritten(done: Sequence[Batch], parts: Sequence[Path]) -> int:
    """Rows that are answered and not written when the first worker has nothing more to do."""
    import pyarrow.parquet as pq

    last: dict[str, float] = {}
    for one in done:
        last[one.worker] = max(one.ended, last.get(one.worker, one.ended))
    moment = min(last.values())
    answered = sum(one.rows for one in done if one.ended <= moment)
    return answered - sum(pq.read_metadata(path).num_rows for path in parts if path.stat().st_mtime <= moment)
