"""An offline pass: requests through an autoscaling pool of actors as a Ray Data pipeline, each answer written once.

Ray Data's own checkpoint keeps the account: the ids of a block are noted as pending, the block is written, the note is
committed. A pass that was killed anywhere goes on where it was: what is committed is not asked again, what was written
and not committed is removed. Rows that failed are dead letters and are not asked again either: their ids name
everything that the failure depends on. Those that failed for a reason that may pass are asked again by the next pass.
"""

import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from actors.exporting import PassGauges, place, run_name
from actors.group import Needs
from actors.pending import fetch, translated
from actors.spending import Usage
from jobs.progress import Progress
from jobs.requests import Ledger, shards, standing, write_requests
from jobs.standstill import Watch, wait_to_read
from jobs.store import Table
from jobs.worker import Answer, Answerer, Count, Tally, Worker
from truing import errors
from truing.errors import ActorDied, TruingError
from truing.records import Row

__all__ = ["Answer", "Pool", "Swept", "sweep", "sweep_requests"]

POLL = 0.25
"""Seconds between two looks at how far a pass has come."""
ENDING = 5.0
"""Seconds that the end of a pass is waited for, when it is ended before its time."""
LIGHT = {"num_cpus": 0.1}
"""What reading or writing one block asks of the cluster: they must find a place beside engines that take every CPU."""


@dataclass(frozen=True)
class Pool:
    """Who answers a pass: how one worker is made, what it is asked, what it needs, how many of them there are."""

    make: Callable[[], Any]
    answer: Answerer
    needs: Needs
    least: int = 1
    most: int = 1
    batch: int = 64
    usage: Callable[[Any], Usage] | None = None
    schema: Any = None


@dataclass(frozen=True)
class Swept:
    """What became of a pass."""

    ledger: Ledger
    reasons: Counter[str]
    usage: Usage


def sweep(
    title: str, rows: Sequence[Row], table: Table, pool: Pool, *, max_failed: float, connect: Callable[[], None]
) -> list[Row]:
    """Answer the rows that are not stored yet; returns the stored answers of all of them, in order.

    Raises:
        TruingError: more than a share of the rows failed (with the three commonest reasons), as soon as that is certain;
            or a worker's own.
        ShortOfResources: the pass found no room.
        ActorDied: a worker died, or missed a deadline, more often than Ray starts it again; the actor that counts died; or
            nothing was heard of the pass for longer than a start and an answer may take.
    """
    ledger = write_requests(rows, table, pool.batch)
    sweep_requests(title, table, ledger, pool, max_failed=max_failed, connect=connect)
    return table.select([row["id"] for row in rows])


def sweep_requests(
    title: str,
    table: Table,
    ledger: Ledger,
    pool: Pool,
    *,
    max_failed: float,
    connect: Callable[[], None],
    stand: Callable[[Table, Ledger], Ledger] = standing,
) -> Swept:
    """Answer the requests that stand in a table's ledger and are not answered yet.

    `stand` counts them afterwards; where there are very many, it is a remote call. Raises as `sweep`.
    """
    count = Count()
    bearable = max_failed * ledger.total - ledger.failed
    if ledger.open and bearable >= 0:
        connect()
        with Progress(title, ledger.total, done=ledger.total - ledger.open) as progress:
            count = _answered(title, table, ledger, pool, progress, bearable)
        ledger = stand(table, ledger)
    if count.fault is not None:
        kind, message = count.fault
        raise getattr(errors, kind)(message)
    reasons = Counter[str]()
    if ledger.failed:
        reasons.update(row["reason"] for kept in (table.dead_letters, table.passing) for row in kept.read(["reason"]))
    if ledger.failed > max_failed * ledger.total:
        raise _too_many(title, table, ledger, reasons, max_failed)
    if ledger.open:
        raise ActorDied(f"{title}: {ledger.open} of {ledger.total} rows were not answered; run the same command again")
    return Swept(ledger, reasons, sum(count.usage.values(), Usage()))


def _too_many(title: str, table: Table, ledger: Ledger, reasons: Counter[str], max_failed: float) -> TruingError:
    commonest = "; ".join(f"{reason} ({n})" for reason, n in reasons.most_common(3))
    left = f", and {ledger.open} were not asked any more" if ledger.open else ""
    lasting = ledger.failed - ledger.passing
    remedies = [f"mend the cause, and delete {table.dead_letters.folder} to ask them again"] if lasting else []
    remedies += [f"{ledger.passing} may pass: run the same command again to ask them"] if ledger.passing else []
    return TruingError(
        f"{title}: {ledger.failed} of {ledger.total} rows failed, max_failed is {max_failed}{left}: {commonest};"
        f" {'; '.join(remedies)}"
    )


def _answered(title: str, table: Table, ledger: Ledger, pool: Pool, progress: Progress, bearable: float) -> Count:
    """Run the pipeline in a thread of its own, and show how far it has come. `bearable`: further rows that may fail."""
    import ray

    run = run_name(table.folder)
    tally: Any = ray.remote(Tally).options(num_cpus=0, resources=_beside_driver()).remote(bearable, (run, "tally"))
    known, gauges = ledger.total - ledger.open, PassGauges(run, title, ledger.open)
    # Its first answer waits for its start.
    deadline = pool.needs.start_deadline + pool.needs.call_deadline

    def look(*, last: bool = False) -> Count:
        (count,) = fetch([tally.read.remote()], f"{title}: the actor that counts", deadline)
        failed, usage = count.failed.total(), sum(count.usage.values(), Usage())
        gauges.at(count.answered, failed, usage, time.monotonic(), last=last)
        progress.at(min(known + count.answered + failed, ledger.total))
        return count

    wait_to_read(title, pool.needs)
    watch, name = Watch(title, pool.needs, {"CPU": LIGHT["num_cpus"]}, time.monotonic()), uuid.uuid4().hex
    with _one_thread() as thread:
        running = thread.submit(_pipeline, title, table, pool, tally, name)
        try:
            while not wait([running], timeout=POLL).done:
                watch.at(look(), time.monotonic())
        except TruingError:
            _halt(name, running)
            raise
        count = look(last=True)
        error = running.exception()
    ray.kill(tally)
    if count.fault is None and error is not None:
        raise _explained(error, count)
    return count


def _halt(name: str, running: "Future[None]") -> None:
    from jobs.halting import halt

    halt(name)
    wait([running], timeout=ENDING)


def _beside_driver() -> dict[str, float]:
    """A sliver of what only the driver's node has: a node that is lost must not take the count with it.

    Not a soft affinity: whoever asks for nothing is placed by any node, and one that has just joined does not know the others.
    """
    import ray

    here = ray.get_runtime_context().get_node_id()
    (address,) = (node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == here)
    return {f"node:{address}": 0.001}


@contextmanager
def _one_thread() -> Iterator[ThreadPoolExecutor]:
    """A thread that Ctrl-C does not wait for."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pass")
    try:
        yield thread
    finally:
        thread.shutdown(wait=False, cancel_futures=True)


def _pipeline(title: str, table: Table, pool: Pool, tally: Any, name: str) -> None:
    """Read the requests, leave out what is committed, ask, write, commit: one block for each batch."""
    import ray
    from ray.data.checkpoint import CheckpointConfig

    from jobs.halting import make_haltable

    context = ray.data.DataContext.get_current()
    make_haltable(context, name)
    # Its own deadline, of half an hour, knows nothing of workers that take the place of others.
    context.execution_no_progress_timeout_s = -1
    # The newer reader joins small files into one block: a batch would be committed when all of them are answered.
    context.use_datasource_v2 = False
    table.ledger.mkdir(parents=True, exist_ok=True)
    table.folder.mkdir(parents=True, exist_ok=True)
    context.checkpoint_config = CheckpointConfig(
        id_column="id", checkpoint_path=str(table.ledger.resolve()), delete_checkpoint_on_success=False
    )
    deadlines = (pool.needs.start_deadline, pool.needs.call_deadline)
    files = [str(path) for path in shards(table)]
    data = ray.data.read_parquet(files, override_num_blocks=len(files), num_cpus=LIGHT["num_cpus"])
    with warnings.catch_warnings():
        # Restarts have no parameter of their own yet, and without a bound Ray Data restarts for ever.
        warnings.simplefilter("ignore", DeprecationWarning)
        answered = data.map_batches(
            Worker,
            fn_constructor_args=(pool.make, pool.answer, pool.usage, table, pool.schema, tally, *deadlines),
            batch_size=pool.batch,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=pool.least, max_size=pool.most),
            num_cpus=pool.needs.cpus,
            num_gpus=pool.needs.gpus or None,
            memory=pool.needs.memory or None,
            resources=dict(pool.needs.resources) or None,
            max_restarts=pool.needs.restarts,
            max_task_retries=pool.needs.restarts,
            runtime_env={"env_vars": pool.needs.environment | place(title, run_name(table.folder))},
        )
    answered.write_parquet(str(table.folder.resolve()), ray_remote_args=LIGHT)


def _explained(error: BaseException, count: Count) -> BaseException:
    from ray.exceptions import RayActorError, RayError, RayTaskError

    if isinstance(error, RayTaskError) or not isinstance(error, RayError):
        return error
    said = count.late.get(error.actor_id) if isinstance(error, RayActorError) else None
    return ActorDied(
        f"{said or f'worker: {translated(error)}'}; run the same command again to go on from what is stored"
    )
