"""Reuse: labels of other run folders, taken over where the same labeler was asked the same. A label's id says all of that."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.labelers import LABELS
from jobs.store import Table, cannot_write
from truing.errors import ConfigError
from truing.records import Row

STORES = ("labels/*", "agreement/*", "evaluation/judgements")
"""Where a run folder keeps labels: a table for each labeler."""


def check_reuse(folders: Sequence[str]) -> None:
    """See that labels can be taken from there.

    Raises:
        ConfigError: a path that is not a run folder.
    """
    for folder in folders:
        if not (Path(folder) / "study.yaml").is_file():
            raise ConfigError(
                f"label.reuse: {folder} is not a run folder (it has no study.yaml); give the folder of an earlier run,"
                " e.g. runs/first"
            )


def take_over(asked: Iterable[Row], table: Table, folders: Sequence[str]) -> int:
    """Copy into the table what the run folders hold of the requests; how many of the requests are answered that way.

    What is taken is noted first, beside the table, with the run that it came from; then it is copied, then entered into
    the ledger, so that it is not asked. Stopped anywhere, the next call does the rest.

    Raises:
        TruingError: the folder cannot be written.
    """
    noted = Table(table.folder.with_name(f"{table.folder.name}.reused"))
    if not folders and not noted.folder.is_dir():
        return 0
    wanted: dict[str, str] = {row["id"]: row["asking"] for row in asked}
    for folder in folders:
        for store in STORES:
            for other in sorted(Path(folder).glob(f"{store}/{table.folder.name}")):
                if other.resolve() != table.folder.resolve():
                    _copy(Table(other), table, noted, wanted, folder)
    taken = noted.ids() & table.ids()
    _enter(table, taken)
    return len(taken & set(wanted))


def _copy(other: Table, table: Table, noted: Table, wanted: dict[str, str], run: str) -> None:
    """A part at a time, under the names that this run has for its ways of asking."""
    stored = table.ids()
    for path in other.parts():
        rows: list[Row] = pq.read_table(path, schema=LABELS).to_pylist()
        found = {row["id"]: row | {"asking": wanted[row["id"]]} for row in rows if row["id"] in wanted}
        fresh = [row for key, row in found.items() if key not in stored]
        stored |= set(found)
        noted.append([{"id": row["id"], "run": run} for row in fresh])
        table.append(fresh, LABELS)


def _enter(table: Table, taken: set[str]) -> None:
    """Note them as committed for Ray Data, and as handed out once, so that none of them counts as asked again."""
    if not taken:
        return
    Table(table.ledger).append([{"id": key} for key in sorted(taken)], pa.schema([("id", pa.string())]))
    try:
        table.asked.mkdir(parents=True, exist_ok=True)
        (table.asked / "reused").write_text(f"{len(taken)}\n", encoding="ascii")
    except OSError as error:
        raise cannot_write(table.asked, error) from None
