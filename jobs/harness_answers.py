"""Answers to a harness's questions by a pool of engines, each stored under the hash of its question."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from actors.engine import Continued
from actors.harness import HarnessEngine, Wanted
from jobs.context import Context
from jobs.models import fingerprint
from jobs.sweep import Answer, sweep
from truing.config.roles import Engine
from truing.records import Row, content_id

HOME = "evaluation/harness"
"""Where everything of it is kept, below the run's folder."""


class StoredAnswers:
    """Answers of a pool of engines, each stored under the hash of its question: a run that was stopped goes on."""

    def __init__(self, context: Context, folder: str, engine: Engine) -> None:
        study = context.study
        model = study.model.model_copy(update={"path": folder})
        self._context, self._make = context, partial(HarnessEngine, folder, model, engine)
        self._engine, self._key = engine, content_id(fingerprint(folder), engine.dtype)

    def score(self, asked: Sequence[tuple[list[int], list[int]]]) -> list[Continued]:
        """As `Answers`."""
        rows = [
            {"id": content_id("continuation", self._key, *pair), "context": pair[0], "continuation": pair[1]}
            for pair in asked
        ]
        found = self._answered("scoring continuations", "continuations", rows, scored)
        return [Continued(row["logprob"], row["greedy"]) for row in found]

    def write(self, asked: Sequence[Wanted]) -> list[list[int]]:
        """As `Answers`."""
        rows = [{"id": content_id("written", self._key, asdict(one)), **asdict(one)} for one in asked]
        return [row["tokens"] for row in self._answered("writing answers", "written", rows, written)]

    def _answered(self, title: str, table: str, rows: list[Row], answer: Any) -> list[Row]:
        if not rows:
            return []
        unique = list({row["id"]: row for row in rows}.values())
        pool = self._context.engine_pool(self._engine, self._make, answer)
        where, connect = self._context.run.table(f"{HOME}/{table}"), self._context.connect
        found = {row["id"]: row for row in sweep(title, unique, where, pool, max_failed=0.0, connect=connect)}
        return [found[row["id"]] for row in rows]


def scored(engine: HarnessEngine, rows: list[Row]) -> list[Answer]:
    """ln P of each row's continuation."""
    found = engine.score([(row["context"], row["continuation"]) for row in rows])
    return [
        {"id": row["id"], "logprob": one.logprob, "greedy": one.greedy} for row, one in zip(rows, found, strict=True)
    ]


def written(engine: HarnessEngine, rows: list[Row]) -> list[Answer]:
    """The tokens of each row's answer."""
    wanted = [Wanted(**{name: value for name, value in row.items() if name != "id"}) for row in rows]
    return [{"id": row["id"], "tokens": ids} for row, ids in zip(rows, engine.write(wanted), strict=True)]
