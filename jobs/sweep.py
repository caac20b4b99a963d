"""An offline pass: rows through a pool of actors as a Ray Data pipeline, each batch stored as soon as it is answered.

Rows whose ids are stored are not asked again, so a pass that was stopped anywhere goes on where it was. That holds for
rows that failed too: their ids name everything that the failure depends on.
"""

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from actors.group import Needs, translated
from jobs.progress import Progress
from jobs.store import Table
from truing import errors
from truing.errors import ActorDied, TruingError
from truing.records import Failed, Row, Unparsable

Answer = Row | Failed | Unparsable


class Worker:
    """A Ray Data callable: it builds one actor, answers batches of rows and writes each batch as one part."""

    def __init__(self, make: Callable[[], Any], answer: Callable[[Any, list[Row]], list[Answer]], folder: Path) -> None:
        # One thread of our own makes the actor and runs it: OpenMP counts threads per calling thread, and in the
        # threads that Ray Data calls from an engine would compute on a single core.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._answer, self._fault = answer, ""
        self._done, self._dead = Table(folder), dead_letters(folder)
        try:
            self._subject = self._thread.submit(make).result()
        except TruingError as fault:
            # Ray would make a death of it, Ray Data a stack trace. As a value it reaches the driver as itself.
            self._fault = _named(fault)
        except Exception as error:
            # What an engine says of a model that it cannot load; the worker's log has the whole of it.
            logging.getLogger(__name__).exception("the actor cannot be started")
            lost = Failed(" ".join(f"{type(error).__name__}: {error}".split())[:300])
            self._fault = _named(
                ActorDied(f"worker: cannot be started ({lost.reason}); give a model that the engine can load")
            )

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        """Answer one batch. Only outcomes leave the worker, and the fault that ends the pass, if there is one."""
        rows: list[Row] = list(batch["row"])
        outcomes: list[str] = []
        if not self._fault:
            try:
                outcomes = self._stored(rows)
            except TruingError as fault:
                self._fault = _named(fault)
        if self._fault:
            return {"outcome": [""] * len(rows), "fault": [self._fault] * len(rows)}
        return {"outcome": outcomes, "fault": [""] * len(rows)}

    def _stored(self, rows: list[Row]) -> list[str]:
        answers = self._thread.submit(self._answer, self._subject, rows).result()
        done: list[Row] = []
        dead: list[Row] = []
        outcomes: list[str] = []
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, dict):
                done.append(answer)
            else:
                reason = answer.reason if isinstance(answer, Failed) else f"unparsable: {answer.raw}"
                dead.append({"id": row["id"], "reason": reason})
            outcomes.append("ok" if isinstance(answer, dict) else reason)
        self._done.append(done)
        self._dead.append(dead)
        return outcomes


def dead_letters(folder: Path) -> Table:
    """The rows of a table that failed: id and reason."""
    return Table(folder.with_name(f"{folder.name}.dead"))


def _named(fault: TruingError) -> str:
    return f"{type(fault).__name__}:{fault}"


def sweep(
    title: str,
    rows: Sequence[Row],
    table: Table,
    make: Callable[[], Any],
    answer: Callable[[Any, list[Row]], list[Answer]],
    *,
    needs: Needs,
    pool: tuple[int, int],
    batch: int,
    max_failed: float,
    connect: Callable[[], None],
) -> list[Row]:
    """Answer the rows that are not stored yet; returns the stored answers of all of them, in order.

    Raises:
        TruingError: more than a share of the rows failed (with the three commonest reasons), or a worker's own.
        ActorDied: a worker died more often than Ray starts it again.
    """
    stored, dead = table.ids(), dead_letters(table.folder)
    failures = {row["id"]: row["reason"] for row in dead.rows() if row["id"] not in stored}
    missing = [row for row in rows if row["id"] not in stored and row["id"] not in failures]
    reasons = Counter(failures[row["id"]] for row in rows if row["id"] in failures)
    if missing:
        connect()
        with Progress(title, len(rows), done=len(rows) - len(missing)) as progress:
            for outcome in _outcomes(missing, table, make, answer, needs, pool, batch):
                progress.advance()
                if outcome != "ok":
                    reasons[outcome] += 1
    failed = sum(reasons.values())
    if failed > max_failed * len(rows):
        commonest = "; ".join(f"{reason} ({n})" for reason, n in reasons.most_common(3))
        raise TruingError(
            f"{title}: {failed} of {len(rows)} rows failed, max_failed is {max_failed}: {commonest};"
            f" mend the cause, and delete {dead.folder} to ask them again"
        )
    return table.select([row["id"] for row in rows])


def _outcomes(
    rows: Sequence[Row],
    table: Table,
    make: Callable[[], Any],
    answer: Callable[[Any, list[Row]], list[Answer]],
    needs: Needs,
    pool: tuple[int, int],
    batch: int,
) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    blocks = -(-len(rows) // batch)
    data = ray.data.from_items([{"row": row} for row in rows], override_num_blocks=blocks)
    with warnings.catch_warnings():
        # Restarts have no parameter of their own yet, and without a bound Ray Data restarts for ever.
        warnings.simplefilter("ignore", DeprecationWarning)
        answered = data.map_batches(
            Worker,
            fn_constructor_args=(make, answer, table.folder),
            batch_size=batch,
            compute=ray.data.ActorPoolStrategy(min_size=pool[0], max_size=pool[1]),
            num_cpus=needs.cpus,
            num_gpus=needs.gpus or None,
            max_restarts=needs.restarts,
            max_task_retries=needs.restarts,
            runtime_env={"env_vars": needs.environment},
        )
    try:
        for part in answered.iter_batches(batch_size=None, prefetch_batches=0):
            for fault in filter(None, part["fault"].tolist()):
                kind, _, message = fault.partition(":")
                raise getattr(errors, kind)(message)
            yield from part["outcome"].tolist()
    except RayTaskError:
        raise
    except RayError as error:
        raise ActorDied(
            f"worker: {translated(error)}; run the same command again to go on from what is stored"
        ) from None
