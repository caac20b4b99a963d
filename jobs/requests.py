"""The ledger of an offline pass: what is to be asked, written as Parquet shards before anything is started."""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.store import Table, cannot_write
from truing.records import Row, content_id

KEY = "key"
"""File beside the shards that changes with any request: what is the same, and done, is not written again."""

SCHEMA = pa.schema([("id", pa.string()), ("row", pa.string())])


@dataclass(frozen=True, slots=True)
class Ledger:
    """How a pass stands: requests in all, how many of them are answered, how many have failed.

    `passing`: those among the failed that the next pass asks again. `again`: requests that were given more than once and
    are asked once. `retried`: rows that the table's workers were handed more than once, in all runs, because whoever had
    them died.
    """

    total: int
    answered: int
    failed: int
    passing: int
    again: int
    retried: int

    @property
    def open(self) -> int:
        """Requests without an answer."""
        return self.total - self.answered - self.failed


def write_requests(rows: Iterable[Row], table: Table, shard: int) -> Ledger:
    """Write the requests of a pass (each with an `id`), one of an id; those that have failed for good are left out.

    Nothing but ids is held in memory. The shards of an earlier pass are replaced as a whole, unless they are of the same
    requests and nothing of them is open.

    Raises:
        TruingError: the folder cannot be written.
    """
    part, key = table.requests.with_name(f"{table.requests.name}.part"), content_id("requests", shard)
    stored, dead = table.ids(), table.dead_letters.ids()
    seen: set[str] = set()
    given = 0

    def fresh() -> Iterator[Row]:
        nonlocal given, key
        for row in rows:
            given += 1
            if row["id"] not in seen:
                seen.add(row["id"])
                key = content_id(key, row)
                if row["id"] not in dead or row["id"] in stored:
                    yield row

    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(table.passing.folder, ignore_errors=True)
        part.mkdir(parents=True)
        for i, some in enumerate(_chunks(fresh(), shard)):
            columns = {"id": [row["id"] for row in some], "row": [json.dumps(row) for row in some]}
            pq.write_table(pa.table(columns, schema=SCHEMA), part / f"{i:07d}.parquet")
        (part / KEY).write_text(key, encoding="ascii")
        is_open = bool(seen - stored - dead)
        if is_open or not _same(part / KEY, table.requests / KEY):
            shutil.rmtree(table.requests, ignore_errors=True)
            part.rename(table.requests)
        shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise cannot_write(table.requests, error) from None
    return Ledger(
        len(seen), len(seen & stored), len(seen & (dead - stored)), 0, given - len(seen), _retried(table, stored | dead)
    )


def standing(table: Table, ledger: Ledger) -> Ledger:
    """How the pass stands now. Only ids are read."""
    asked = requested(table)
    stored, dead = table.ids(), table.dead_letters.ids()
    passing = len(asked & (table.passing.ids() - stored - dead))
    failed = ledger.total - len(asked) + len(asked & (dead - stored)) + passing
    return Ledger(ledger.total, len(asked & stored), failed, passing, ledger.again, _retried(table, stored | dead))


def requested(table: Table) -> set[str]:
    """Ids of the requests of the last pass."""
    return {row["id"] for path in shards(table) for row in pq.read_table(path, columns=["id"]).to_pylist()}


def requests(table: Table) -> Iterator[Row]:
    """The requests of the last pass, one shard in memory at a time; those that had failed for good are not among them."""
    for path in shards(table):
        for row in pq.read_table(path, columns=["row"])["row"].to_pylist():
            yield json.loads(row)


def shards(table: Table) -> list[Path]:
    """Files of the requests."""
    return sorted(table.requests.glob("*.parquet"))


def _retried(table: Table, known: set[str]) -> int:
    return max(0, table.times_asked() - len(known))


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_text(encoding="ascii") == other.read_text(encoding="ascii")


def _chunks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    some: list[Row] = []
    for row in rows:
        some.append(row)
        if len(some) == size:
            yield some
            some = []
    if some:
        yield some
