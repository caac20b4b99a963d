"""Labelling: Ray Data against the same engine called directly, the prefix cache, and what the driver remembers.

    python -m benchmarks.labeling --pairs 2000

Ratios are taken within one run. The pairs are real text from ../shared/data; the judge is the demo model.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from actors.group import Needs
from jobs.cluster.connect import connect
from jobs.labelers import LABELS, compare, label_row, member, online, pool, request
from jobs.models import model_folder
from jobs.progress import Cell, print_table
from jobs.requests import Ledger, standing, write_requests
from jobs.store import Table
from jobs.sweep import Pool, sweep_requests
from truing.config.labeling import EngineLabeler, Style
from truing.config.roles import Engine, Model
from truing.config.study import Study
from truing.data.comparison import LeftOut, PreferenceSource
from truing.data.unmarked import stream_pairs
from truing.labeling.asking import Asking, Judgement
from truing.labeling.consensus import OrderedLogprobs
from truing.labeling.templates import load_template
from truing.records import Pair, Row

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("autoj_pairwise", "pandalm_human", "llmbar", "hh_harmless_test")
ASKING = Asking({"*": load_template("helpful")}, Style())
SETTINGS = EngineLabeler(model=Model(context=2048), engine=Engine(cache_gb=2.0, batch_tokens=4096))
LONGEST = 2400
"""Characters of prompt and responses together: what surely fits the context in both orders."""


def real_pairs(count: int) -> list[Pair]:
    """Pairs of real text, in the order of the sets."""
    found = chain.from_iterable(stream_pairs(PreferenceSource(str(SHARED / f"{name}.jsonl.gz"))) for name in SETS)
    pairs = (item[1] for item in found if not isinstance(item, LeftOut))
    fitting = (pair for pair in pairs if len(pair.prompt + pair.first + pair.second) <= LONGEST)
    return list(islice({pair.id: pair for pair in fitting}.values(), count))


def direct(count: int) -> None:
    """In a process of its own: the engine's labels a second, called with all prompts at once; loading is not counted."""
    from actors.judge import EngineJudge
    from actors.labeler import Labeler

    judge = EngineJudge(SETTINGS.model_copy(update={"model": Model(path=model_folder("demo"), context=2048)}))
    labeler = Labeler(judge)
    pairs = real_pairs(count)
    begun = time.perf_counter()
    labeler.compare([(pair, ASKING) for pair in pairs])
    spent = time.perf_counter() - begun
    print(f"direct {2 * len(pairs) / spent} {judge.cached_share}")


def cached(count: int, caching: str) -> None:
    """In a process of its own: questions that share 400 tokens, with the prefix cache on or off."""
    from actors.engine import Engine as Vllm

    settings = EngineLabeler(engine=Engine(prefix_caching=caching == "on", cache_gb=2.0), model=Model(context=1024))
    engine = Vllm(model_folder("demo"), settings.model, settings.engine)
    shared = list(range(1000, 1400))
    prompts = [[*shared, *range(2000 + 100 * i, 2100 + 100 * i)] for i in range(count)]
    begun = time.perf_counter()
    engine.next_token_logprobs(prompts, [[33, 34]] * count)
    print(f"cached {count / (time.perf_counter() - begun)} {engine.cached_share}")


def dependence(count: int, dtype: str) -> None:
    """In a process of its own: how far P(first) of a pair depends on what else is in its batch."""
    from actors.labelers import open_labeler

    engine = SETTINGS.engine.model_copy(update={"dtype": dtype})
    labeler = open_labeler(online(SETTINGS.model_copy(update={"engine": engine}), "dependence"))
    asked = [(pair, ASKING) for pair in real_pairs(count)]
    together = labeler.compare(asked)
    alone = [labeler.compare([one])[0] for one in asked]
    changes = [
        abs(one.p_first() - two.p_first())
        for one, two in zip(together, alone, strict=True)
        if isinstance(one, Judgement) and isinstance(two, Judgement)
    ]
    print(f"depends {max(changes)} {sum(changes) / len(changes)} {len(changes)}")


class FirstBatch:
    """A labeler that notes when it begins and ends a batch: loading and shutting down are not counted."""

    def __init__(self, make: Any, log: Path) -> None:
        self._labeler, self._log = make(), log

    def compare(self, rows: list[Row], askings: dict[str, Asking]) -> list[Any]:
        """Answer, and note the times."""
        begun = time.time()
        answers = compare(self._labeler, rows, askings=askings)
        with self._log.open("a") as log:
            log.write(f"{begun} {time.time()} {len(rows)}\n")
        return answers


def timed(labeler: FirstBatch, rows: list[Row], *, askings: dict[str, Asking]) -> list[Any]:
    """One batch."""
    return labeler.compare(rows, askings)


def through_ray(count: int, batch: int) -> tuple[float, int]:
    """Labels a second of one engine behind Ray Data, from its first batch to its last; and the labels stored."""
    connect(Study(name="bench"))
    with tempfile.TemporaryDirectory() as folder:
        table, log = Table(Path(folder) / "labels"), Path(folder) / "times"
        judge = member(SETTINGS)
        rows = [request(pair, ASKING, "plain", judge.id) for pair in real_pairs(count)]
        ledger = write_requests(rows, table, batch)
        given = pool(judge, Study(name="bench").cluster, None, batch, LABELS)
        timing = Pool(
            partial(FirstBatch, given.make, log), partial(timed, askings={"plain": ASKING}), given.needs,
            batch=batch, schema=LABELS,
        )  # fmt: skip
        sweep_requests("labelling", table, ledger, timing, max_failed=0.1, connect=lambda: None)
        times = [[float(word) for word in line.split()] for line in log.read_text().splitlines()]
        spent = max(end for _, end, _ in times) - min(begun for begun, _, _ in times)
        return 2 * sum(n for _, _, n in times) / spent, len(table.ids())


class Stub:
    """A labeler that costs nothing."""


def stub(_: Stub, rows: list[Row]) -> list[Any]:
    """The same verdict for all."""
    even = Judgement(OrderedLogprobs(-0.7, -0.7), OrderedLogprobs(-0.7, -0.7))
    return [label_row(row, ASKING, even) for row in rows]


def many(count: int) -> Iterator[Row]:
    """Pairs of two thousand characters."""
    for i in range(count):
        pair = Pair(str(i), f"{i} " + "word " * 200, f"{i} yes " * 100, f"{i} no " * 100, "any")
        yield request(pair, ASKING, "plain", "stub")


def write_many(count: int, table: Table, shard: int) -> Ledger:
    """In a Ray task: what is labelled never is in the driver."""
    return write_requests(many(count), table, shard)


def driver_memory(count: int) -> None:
    """In a process of its own: its peak memory over a pass of so many pairs through a stub."""
    import ray

    study = Study(name="bench")
    connect(study)
    folder = Path(tempfile.mkdtemp())
    try:
        table = Table(folder / "labels")
        ledger = ray.get(ray.remote(write_many).remote(count, table, 512))
        begun = time.perf_counter()
        swept = sweep_requests(
            f"{count} pairs", table, ledger, Pool(Stub, stub, Needs(0, 0, {}, 60, 60, 1), batch=512, schema=LABELS),
            max_failed=0.0, connect=lambda: None, stand=_stand,
        )  # fmt: skip
        spent = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"driver {peak} {swept.ledger.answered} {spent}")
    finally:
        shutil.rmtree(folder)


def _stand(table: Table, ledger: Ledger) -> Ledger:
    import ray

    return ray.get(ray.remote(standing).remote(table, ledger))


def apart(*arguments: object) -> list[float]:
    """The figures of one of the above, run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.labeling", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    lines = [
        line.split()
        for line in done.stdout.splitlines()
        if line.startswith(("direct ", "cached ", "driver ", "depends "))
    ]
    if done.returncode or not lines:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return [float(word) for word in lines[-1][1:]]


def main() -> None:
    """Everything, in a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=("all", "direct", "cached", "driver", "dependence"))
    parser.add_argument("rest", nargs="*")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=256)
    given = parser.parse_args()
    if given.part != "all":
        parts: dict[str, Any] = {"direct": direct, "cached": cached, "driver": driver_memory, "dependence": dependence}
        parts[given.part](int(given.rest[0]), *given.rest[1:])
        return
    rows: list[tuple[Cell, ...]] = []
    straight, share = apart("direct", given.pairs)
    ray_rate, stored = through_ray(given.pairs, given.batch)
    rows.append(("one engine called directly", straight, "labels/s", None, f"{share:.0%} of prompt tokens cached"))
    rows.append((f"the same behind Ray Data, {stored} pairs", ray_rate, "labels/s", ray_rate / straight, "of direct"))
    off, on = apart("cached", 128, "off"), apart("cached", 128, "on")
    rows.append(("400 shared + 100 own tokens, prefix cache off", off[0], "labels/s", None, ""))
    rows.append(
        ("the same, prefix cache on", on[0], "labels/s", on[0] / off[0], f"{on[1]:.0%} of prompt tokens cached")
    )
    for dtype in ("bfloat16", "float32"):
        most, mean, n = apart("dependence", 64, dtype)
        rows.append(
            (f"largest change of P by the rest of its batch, {dtype}", most, "", None, f"mean {mean:.1e}, n {n:.0f}")
        )
    few, lots = apart("driver", 10_000), apart("driver", 100_000)
    rows.append(
        ("driver's peak memory, 10,000 pairs", few[0], "MiB", None, f"{few[1] / few[2]:.0f} pairs/s through a stub")
    )
    rows.append(
        ("driver's peak memory, 100,000 pairs", lots[0], "MiB", lots[0] / few[0], f"{lots[1] / lots[2]:.0f} pairs/s")
    )
    print_table("Labelling", ("what", "value", "unit", "ratio", "note"), rows)


if __name__ == "__main__":
    main()
