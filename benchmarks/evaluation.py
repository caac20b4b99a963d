"""Evaluation sweeps: Ray Data against the same engine called directly, and what the metrics of outputs cost.

    python -m benchmarks.evaluation --prompts 200
    python -m benchmarks.evaluation metrics 500 16

Ratios are taken within one run. The prompts are real text from ../shared/data; the policy is the demo model. The outputs that
the metrics read are cut from the same texts: 500 inputs x 16 outputs, none of them alike.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from actors.rollout import RolloutEngine
from jobs import measure
from jobs.cluster.connect import connect
from jobs.context import Context
from jobs.grid.data import load_prompt_set
from jobs.grid.outputs import write
from jobs.models import embedder_folder, model_folder
from jobs.progress import Cell, print_table
from jobs.store import RunFolder, Table
from jobs.sweep import Pool, sweep
from truing.config.grid import PromptSet
from truing.config.roles import Engine, Model
from truing.config.stages import Sampling
from truing.config.study import Study
from truing.evaluation.embedding_scores import embedding_scores
from truing.evaluation.output_scores import Output, measure_outputs
from truing.records import Row, content_id

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
ENGINE = Engine(cache_gb=1.0, batch=256)
SAMPLING = Sampling(max_tokens=48)
MODEL = Model(context=640)


def rows_of(count: int) -> list[Row]:
    """Requests for one completion of each prompt."""
    path = str(SHARED / "alpacafarm_eval_gpt35.jsonl.gz")
    questions = load_prompt_set(
        PromptSet(name="bench", path=path, prompt="{instruction}\n{input}", longest=1200, limit=count)
    )
    return [
        {"id": one.item, "prompt_id": one.item, "prompt": one.prompt, "temperature": 1.0, "sample": 0}
        for one in questions
    ]


def engine() -> RolloutEngine:
    """The demo model."""
    return RolloutEngine(model_folder("demo"), MODEL, ENGINE, SAMPLING, ())


def direct(count: int) -> None:
    """In a process of its own: tokens a second of the engine, given all prompts at once; loading is not counted."""
    import os

    from actors.engine import engine_environment

    os.environ.update(engine_environment(ENGINE))
    writer, rows = engine(), rows_of(count)
    begun = time.perf_counter()
    done = write(writer, rows, seed=0)
    spent = time.perf_counter() - begun
    print(f"direct {sum(len(row['tokens']) for row in done if isinstance(row, dict)) / spent}")


class Timed:
    """An engine that notes when it begins and ends a batch: loading and shutting down are not counted."""

    def __init__(self, log: Path) -> None:
        self._writer, self._log = engine(), log

    def write(self, rows: list[Row]) -> list[Any]:
        """Answer, and note the times."""
        begun = time.time()
        answers = write(self._writer, rows, seed=0)
        tokens = sum(len(row["tokens"]) for row in answers if isinstance(row, dict))
        with self._log.open("a") as log:
            log.write(f"{begun} {time.time()} {tokens}\n")
        return answers


def through_ray(count: int) -> float:
    """Tokens a second of one engine behind Ray Data, from its first batch to its last."""
    study = Study(name="bench")
    connect(study)
    with tempfile.TemporaryDirectory() as folder:
        context, log = Context(study, RunFolder(Path(folder))), Path(folder) / "times"
        given = context.engine_pool(ENGINE, partial(Timed, log), Timed.write)
        pool = Pool(given.make, given.answer, given.needs, batch=given.batch)
        sweep("writing", rows_of(count), Table(Path(folder) / "outputs"), pool, max_failed=0.0, connect=lambda: None)
        times = [[float(word) for word in line.split()] for line in log.read_text().splitlines()]
    spent = max(end for _, end, _ in times) - min(begun for begun, _, _ in times)
    return sum(tokens for _, _, tokens in times) / spent


def outputs_of(inputs: int, each: int) -> list[Output]:
    """Pieces of 40 words of real text, by input."""
    path = str(SHARED / "cnn_dailymail_1k.jsonl.gz")
    texts = load_prompt_set(PromptSet(name="texts", path=path, prompt="article"))
    words = " ".join(one.prompt for one in texts[:400]).split()
    draw = random.Random(0)
    starts = [draw.randrange(len(words) - 40) for _ in range(inputs * each)]
    return [Output("policy", str(i // each), " ".join(words[at : at + 40])) for i, at in enumerate(starts)]


def metrics(inputs: int, each: int) -> None:
    """In a process of its own: seconds of EAD, self-BLEU and Sentence-BERT diversity, and the process's peak memory."""
    outputs = outputs_of(inputs, each)
    spent: dict[str, float] = {}
    for name in ("ead", "self_bleu"):
        begun = time.perf_counter()
        measure_outputs(outputs, (name,), data="bench")
        spent[name] = time.perf_counter() - begun
    begun = time.perf_counter()
    vectors = _embedded(outputs)
    spent["embedding"] = time.perf_counter() - begun
    begun = time.perf_counter()
    embedding_scores(outputs, vectors, data="bench")
    spent["sbert"] = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print("metrics", *spent.values(), peak)


def _embedded(outputs: list[Output]) -> Mapping[str, list[float]]:
    model = measure.load_embedder(embedder_folder("demo"))
    texts = sorted({output.text for output in outputs if output.text})
    rows: list[Row] = [{"id": content_id(text), "text": text} for text in texts]
    done = measure.embed(model, rows)
    return {text: row["vector"] for text, row in zip(texts, done, strict=True) if isinstance(row, dict)}


def apart(*arguments: object) -> list[float]:
    """The figures of one of the above, run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.evaluation", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith(("direct ", "metrics "))]
    if done.returncode or not lines:
        raise SystemExit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr[-2000:]}")
    return [float(word) for word in lines[-1][1:]]


def main() -> None:
    """Everything, in a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=("all", "direct", "metrics"))
    parser.add_argument("numbers", nargs="*", type=int)
    parser.add_argument("--prompts", type=int, default=200)
    given = parser.parse_args()
    if given.part != "all":
        parts: dict[str, Any] = {"direct": direct, "metrics": metrics}
        parts[given.part](*given.numbers)
        return
    (straight,) = apart("direct", given.prompts)
    swept = through_ray(given.prompts)
    ead, bleu, embedding, sbert, peak = apart("metrics", 500, 16)
    total = ead + bleu + embedding + sbert
    rows: list[tuple[Cell, ...]] = [
        ("one engine called directly", straight, "tokens/s", None, ""),
        ("the same behind Ray Data", swept, "tokens/s", swept / straight, "of direct; at least 0.9"),
        ("EAD of 500 x 16 outputs", ead, "s", None, "per input and across inputs"),
        ("self-BLEU", bleu, "s", None, ""),
        ("Sentence-BERT: embedding", embedding, "s", None, "8,000 texts of 40 words"),
        ("Sentence-BERT: diversity", sbert, "s", None, ""),
        ("all metrics", total, "s", total / 180, "of 3 minutes"),
        ("peak memory of the metrics", peak, "GB", peak / 4, "of 4 GB"),
    ]
    print_table("Evaluation", ("what", "value", "unit", "ratio", "note"), rows)


if __name__ == "__main__":
    main()
