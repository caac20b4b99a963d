"""What runs inside a Ray Data pool: one actor's object, asked batch by batch; and the count that the driver watches."""

import json
import logging
import os
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from actors import logs
from actors.broken import is_broken, too_full
from actors.exporting import count_start, own_place, watch_memory
from actors.pending import fetch
from actors.spending import Usage
from jobs.store import Table
from truing.errors import ActorDied, LabelerStopped, TruingError
from truing.records import Failed, NotAsked, Row, Unparsable
from truing.redaction import redacted

Answer = Row | Failed | Unparsable | NotAsked
Answerer = Callable[[Any, list[Row]], list[Answer]]

logger = logging.getLogger(__name__)

BROKEN = 8
"""Rows in a row that may end in an error, each asked alone, before the engine is taken to be broken."""
LAST_WORD = 10.0
"""Seconds that a worker takes to say why it ends itself."""


@dataclass
class Count:
    """A pass as far as it has come. `fault`: the class and the message of the error that ended it.

    `signs`: what has been heard of workers, whatever it was. By the ids of their actors: how often each has `begun`, which have
    `loaded`, why those ended themselves that have not begun again (`late`). `asked`: batches, or rows alone.
    """

    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    usage: dict[str, Usage] = field(default_factory=dict[str, Usage])
    fault: tuple[str, str] | None = None
    signs: int = 0
    begun: Counter[str] = field(default_factory=Counter[str])
    loaded: set[str] = field(default_factory=set[str])
    asked: int = 0
    late: dict[str, str] = field(default_factory=dict[str, str])


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

    def begin(self, worker: str) -> None:
        """A worker, by the id of its actor, begins to load: for the first time, or in the place of one that ended."""
        self._count.signs += 1
        self._count.begun[worker] += 1
        self._count.loaded.discard(worker)
        self._count.late.pop(worker, None)

    def load(self, worker: str) -> None:
        """A worker has loaded."""
        self._count.signs += 1
        self._count.loaded.add(worker)

    def ask(self) -> None:
        """A worker asks a batch, or a row alone."""
        self._count.signs += 1
        self._count.asked += 1

    def end(self, worker: str, why: str) -> None:
        """A worker ends itself, for Ray to start another in its place as often as it may."""
        self._count.signs += 1
        self._count.late[worker] = why

    def add(self, answered: int, failed: Mapping[str, str]) -> bool:
        """A batch is done: how many rows were answered, why others failed, by id. Whether it is worth going on."""
        fresh = {key: reason for key, reason in failed.items() if key not in self._failed}
        self._failed.update(fresh)
        self._count.signs += 1
        self._count.answered += answered
        self._count.failed.update(fresh.values())
        return len(self._failed) <= self._bearable

    def spent(self, worker: str, usage: Usage) -> None:
        """What one worker has used so far."""
        self._count.signs += 1
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
    answered before is still written. What misses its deadline ends the process: it cannot be interrupted, only replaced.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        answer: Answerer,
        usage: Callable[[Any], Usage] | None,
        table: Table,
        schema: Any,
        tally: Any,
        start_deadline: float,
        call_deadline: float,
    ) -> None:
        import ray

        # One thread of our own makes the object and runs it: OpenMP counts threads per calling thread, and in the
        # threads that Ray Data calls from an engine would compute on a single core.
        logs.configure()
        self._tally, self._actor = tally, ray.get_runtime_context().get_actor_id()
        tally.begin.remote(self._actor)
        count_start()
        watch_memory(own_place())
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._answer, self._usage, self._deadline = answer, usage, call_deadline
        self._table, self._schema = table, schema
        self._name = uuid.uuid4().hex
        self._raised = 0
        self._stopped = False
        self._subject: Any = None
        making = self._thread.submit(make)
        error = self._error(making, start_deadline, "not loaded", "raise cluster.start_deadline")
        if error is None:
            self._subject = making.result()
        else:
            self._stop(error if isinstance(error, TruingError) else _not_started(error))
        tally.load.remote(self._actor)

    def __call__(self, batch: Any) -> Any:
        """Answer one batch of requests (a pyarrow table of `id` and `row`); a table of the answers, one row each."""
        rows: list[Row] = [json.loads(row) for row in batch["row"].to_pylist()]
        done: list[Row] = []
        if not self._stopped:
            try:
                self._note(len(rows))
                answers, fault = self._asked(rows)
                done = self._settled(rows, answers)
            except TruingError as raised:
                fault = raised
            if fault is not None:
                self._stop(fault)
        return pa.Table.from_pylist(done, schema=self._schema)

    def _asked(self, rows: list[Row]) -> tuple[list[Answer], TruingError | None]:
        """The answers in order, and the fault that ended the asking, if one did.

        Rows whose batch ends in an error are asked one by one: whom the error is about has failed, the others are answered.
        """
        self._tally.ask.remote()
        asking = self._thread.submit(self._answer, self._subject, rows)
        remedy = "raise cluster.call_deadline, lower the batch"
        error = self._error(asking, self._deadline, f"no answer to {len(rows)} rows", remedy)
        if error is None:
            self._raised = 0
            answers: list[Answer] = asking.result()
            unasked = next((answer for answer in answers if isinstance(answer, NotAsked)), None)
            return answers, LabelerStopped(unasked.reason) if unasked else None
        if isinstance(error, TruingError):
            return [NotAsked(str(error)) for _ in rows], error
        if not isinstance(error, Exception):
            raise error
        logger.error("%d rows cannot be answered", len(rows), exc_info=error)
        if is_broken(error):
            self._end(f"worker: it is broken ({_said(error)}); look at its log, and at that GPU")
        if len(rows) > 1:
            return self._alone(rows)
        full = too_full(error)
        return self._failed(error) if full is None else ([NotAsked(str(full))], full)

    def _alone(self, rows: list[Row]) -> tuple[list[Answer], TruingError | None]:
        answers: list[Answer] = []
        for row in rows:
            answer, fault = self._asked([row])
            answers += answer
            if fault is not None:
                return [*answers, *(NotAsked(str(fault)) for _ in rows[len(answers) :])], fault
        return answers, None

    def _failed(self, error: Exception) -> tuple[list[Answer], TruingError | None]:
        """What becomes of a row that was asked alone."""
        self._raised += 1
        broken = ActorDied(
            f"worker: {self._raised} rows in a row, each asked alone, ended in an error (the last: {_said(error)}): the engine is"
            " broken; look at its log, and run the same command again to go on from what is stored"
        )
        return [Failed(_said(error), "passing")], broken if self._raised >= BROKEN else None

    def _settled(self, rows: list[Row], answers: list[Answer]) -> list[Row]:
        """Write down what failed, and tell how far it has come; the rows that were answered."""
        done: list[Row] = []
        dead: list[Row] = []
        passing: list[Row] = []
        unasked = sum(isinstance(answer, NotAsked) for answer in answers)
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, Failed | Unparsable):
                reason = redacted(answer.reason if isinstance(answer, Failed) else f"unparsable: {answer.raw}")
                may_pass = isinstance(answer, Failed) and answer.cause == "passing"
                (passing if may_pass else dead).append({"id": row["id"], "reason": reason})
            elif isinstance(answer, dict):
                done.append(answer)
        self._table.dead_letters.append(dead)
        self._table.passing.append(passing)
        self._note(-unasked - len(passing))
        if (used := self._used()) is not None:
            self._tally.spent.remote(self._name, used)
        failed = {row["id"]: row["reason"] for row in [*dead, *passing]}
        self._stopped = not self._told(self._tally.add.remote(len(done), failed))
        return done

    def _note(self, asked: int) -> None:
        """Written before the rows are asked, so that a worker's death does not take it along."""
        self._table.asked.mkdir(parents=True, exist_ok=True)
        with (self._table.asked / self._name).open("a", encoding="ascii") as log:
            log.write(f"{asked}\n")

    def _error(self, work: "Future[Any]", deadline: float, late: str, remedy: str) -> BaseException | None:
        """What the thread's work has raised, if anything. What takes longer than its deadline ends the process.

        Who asks a server, and has had an answer or a refusal meanwhile, is at work: each of its requests has a deadline.
        """
        used = self._used()
        while not wait([work], timeout=deadline).done:
            before, used = used, self._used()
            if used is None or used == before:
                self._end(f"worker: {late} within {deadline:g} s; {remedy}, or look at its log")
            self._tally.spent.remote(self._name, used)
        return work.exception()

    def _used(self) -> Usage | None:
        """What has been used so far, where that is counted."""
        return None if self._usage is None or self._subject is None else self._usage(self._subject)

    def _end(self, why: str) -> None:
        """End the process, as if it had died: Ray starts another, and hands it the same batch."""
        import ray

        logger.error(why)
        try:
            ray.wait([self._tally.end.remote(self._actor, why)], timeout=LAST_WORD)
        finally:
            os._exit(1)

    def _stop(self, fault: TruingError) -> None:
        self._stopped = True
        self._told(self._tally.stop.remote(type(fault).__name__, redacted(str(fault))))

    def _told(self, reference: Any) -> Any:
        """What the tally answers."""
        return fetch([reference], "worker: the actor that counts", self._deadline)[0]


def _not_started(error: BaseException) -> ActorDied:
    """What an engine says of a model that it cannot load, in one line; the worker's log has the whole of it."""
    logger.error("the actor cannot be started", exc_info=error)
    return ActorDied(f"worker: cannot be started ({_said(error)}); give a model that the engine can load")


def _said(error: BaseException) -> str:
    """An error of somebody else's in one line."""
    return redacted(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
