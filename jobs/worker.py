"""What runs inside a Ray Data pool: one actor's object, asked batch by batch; and the count that the driver watches."""

import json
import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from actors import logs
from actors.exporting import count_start, own_place, watch_memory
from actors.spending import Usage
from jobs.store import Table
from truing.errors import ActorDied, LabelerStopped, TruingError
from truing.records import Failed, NotAsked, Row, Unparsable
from truing.redaction import redacted

Answer = Row | Failed | Unparsable | NotAsked
Answerer = Callable[[Any, list[Row]], list[Answer]]


@dataclass
class Count:
    """A pass as far as it has come. `fault`: the class and the message of the error that ended it."""

    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    usage: dict[str, Usage] = field(default_factory=dict[str, Usage])
    fault: tuple[str, str] | None = None


class Tally:
    """An actor: workers tell it what they have done, the driver reads it.

    What it holds is shown, and ends a hopeless pass early; what is stored decides.
    """

    def __init__(self, bearable: float, place: tuple[str, str]) -> None:
        """`bearable`: rows that may fail; more of them, and the pass as a whole fails, whatever else is answered.

        `place`: run and role of its process.
        """
        watch_memory(place)
        self._count, self._bearable = Count(), bearable
        self._failed: set[str] = set()

    def add(self, answered: int, failed: Mapping[str, str]) -> bool:
        """A batch is done: how many rows were answered, why others failed, by id. Whether it is worth going on."""
        fresh = {key: reason for key, reason in failed.items() if key not in self._failed}
        self._failed.update(fresh)
        self._count.answered += answered
        self._count.failed.update(fresh.values())
        return len(self._failed) <= self._bearable

    def spent(self, worker: str, usage: Usage) -> None:
        """What one worker has used so far."""
        self._count.usage[worker] = usage

    def stop(self, kind: str, message: str) -> None:
        """The pass cannot go on. The first reason stays."""
        self._count.fault = self._count.fault or (kind, message)

    def read(self) -> Count:
        """The count."""
        return self._count


class Worker:
    """A Ray Data callable: it makes one object and lets it answer batches of rows.

    What is answered goes on, to be written by Ray Data; what failed is written beside the table: to the dead letters, or
    where the next pass asks again. A fault with a remedy, or too many failures, end the asking and nothing else: what was
    answered before is still written.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        answer: Answerer,
        usage: Callable[[Any], Usage] | None,
        table: Table,
        schema: Any,
        tally: Any,
    ) -> None:
        # One thread of our own makes the object and runs it: OpenMP counts threads per calling thread, and in the
        # threads that Ray Data calls from an engine would compute on a single core.
        logs.configure()
        count_start()
        watch_memory(own_place())
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._answer, self._usage = answer, usage
        self._table, self._schema, self._tally = table, schema, tally
        self._name = uuid.uuid4().hex
        self._stopped = False
        self._subject: Any = None
        making = self._thread.submit(make)
        error = making.exception()
        if error is None:
            self._subject = making.result()
        else:
            self._stop(error if isinstance(error, TruingError) else _not_started(error))

    def __call__(self, batch: Any) -> Any:
        """Answer one batch of requests (a pyarrow table of `id` and `row`); a table of the answers, one row each."""
        rows: list[Row] = [json.loads(row) for row in batch["row"].to_pylist()]
        done: list[Row] = []
        if not self._stopped:
            try:
                done = self._answered(rows)
            except TruingError as fault:
                self._stop(fault)
        return pa.Table.from_pylist(done, schema=self._schema)

    def _answered(self, rows: list[Row]) -> list[Row]:
        import ray

        self._note(len(rows))
        answers = self._thread.submit(self._answer, self._subject, rows).result()
        done: list[Row] = []
        dead: list[Row] = []
        passing: list[Row] = []
        unasked = [answer for answer in answers if isinstance(answer, NotAsked)]
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, Failed | Unparsable):
                reason = redacted(answer.reason if isinstance(answer, Failed) else f"unparsable: {answer.raw}")
                may_pass = isinstance(answer, Failed) and answer.cause == "passing"
                (passing if may_pass else dead).append({"id": row["id"], "reason": reason})
            elif isinstance(answer, dict):
                done.append(answer)
        self._table.dead_letters.append(dead)
        self._table.passing.append(passing)
        self._note(-len(unasked) - len(passing))
        if self._usage is not None:
            self._tally.spent.remote(self._name, self._usage(self._subject))
        failed = {row["id"]: row["reason"] for row in [*dead, *passing]}
        worth_it: bool = ray.get(self._tally.add.remote(len(done), failed))
        if unasked:
            self._stop(LabelerStopped(unasked[0].reason))
        self._stopped = self._stopped or not worth_it
        return done

    def _note(self, asked: int) -> None:
        """Written before the rows are asked, so that a worker's death does not take it along."""
        self._table.asked.mkdir(parents=True, exist_ok=True)
        with (self._table.asked / self._name).open("a", encoding="ascii") as log:
            log.write(f"{asked}\n")

    def _stop(self, fault: TruingError) -> None:
        import ray

        self._stopped = True
        ray.get(self._tally.stop.remote(type(fault).__name__, redacted(str(fault))))


def _not_started(error: BaseException) -> ActorDied:
    """What an engine says of a model that it cannot load, in one line; the worker's log has the whole of it."""
    logging.getLogger(__name__).error("the actor cannot be started", exc_info=error)
    said = redacted(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
    return ActorDied(f"worker: cannot be started ({said}); give a model that the engine can load")
