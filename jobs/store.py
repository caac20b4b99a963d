"""The run folder: Parquet parts written once, dead letters, finished stages."""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from truing.errors import ConfigError, TruingError
from truing.records import Row, content_id

MADE = {"label": ("preferences", "trust.json")}
"""What a stage makes that is not a folder of its own name. Stored labels may stay: what is asked the same is not asked again."""
ARMS = "arms"
"""Folder of the runs of a study's arms."""
PENDING = ".pending.parquet"
"""How Ray Data ends the name of a checkpoint whose data may not be whole."""


@dataclass(frozen=True)
class Table:
    """A folder of Parquet parts, each written once. Beside it: what Ray Data has committed, what failed, what was asked.

    A part that Ray Data has written and not committed (its writer was killed) is not read; the next pass removes it.
    """

    folder: Path

    @property
    def ledger(self) -> Path:
        """Ray Data's checkpoint: the ids of the rows that are written."""
        return self.folder.with_name(f"{self.folder.name}.ledger")

    @property
    def requests(self) -> Path:
        """What the last pass was to ask."""
        return self.folder.with_name(f"{self.folder.name}.requests")

    @property
    def asked(self) -> Path:
        """How often something was asked: one log a worker."""
        return self.folder.with_name(f"{self.folder.name}.asked")

    @property
    def dead_letters(self) -> "Table":
        """The rows that failed: id and reason."""
        return Table(self.folder.with_name(f"{self.folder.name}.dead"))

    @property
    def passing(self) -> "Table":
        """The rows that failed in the last pass and may fare better in the next: id and reason."""
        return Table(self.folder.with_name(f"{self.folder.name}.passing"))

    def append(self, rows: Sequence[Row], schema: Any = None) -> None:
        """Write rows (each with an `id`) as one part, named by its ids, with a pyarrow `schema` or the one
        that the rows imply. Writing the same rows again changes nothing.

        Raises:
            TruingError: the folder cannot be written, e.g. a full disk.
        """
        if not rows:
            return
        path = self.folder / f"part-{content_id(sorted(str(row['id']) for row in rows))}.parquet"
        write_rows(path, rows, schema)

    def parts(self) -> list[Path]:
        """Files whose rows are the table's."""
        torn = tuple(path.name.removesuffix(PENDING) for path in self.ledger.glob(f"*{PENDING}"))
        return [path for path in sorted(self.folder.glob("*.parquet")) if not (torn and path.name.startswith(torn))]

    def read(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Rows in the order of the parts, one part in memory at a time."""
        for path in self.parts():
            yield from pq.read_table(path, columns=None if columns is None else list(columns)).to_pylist()

    def rows(self) -> list[Row]:
        """All rows, one an id, in the order of their ids."""
        found = {row["id"]: row for row in self.read()}
        return [found[key] for key in sorted(found)]

    def ids(self) -> set[str]:
        """Ids that are stored."""
        return {row["id"] for row in self.read(["id"])}

    def select(self, ids: Iterable[str]) -> list[Row]:
        """Rows of these ids, in their order; ids that are not stored are left out."""
        wanted = list(ids)
        those = set(wanted)
        found = {row["id"]: row for row in self.read() if row["id"] in those}
        return [found[key] for key in wanted if key in found]

    def times_asked(self) -> int:
        """Rows handed to a worker so far, in all runs; one that was asked twice counts twice."""
        return sum(int(line) for path in self.asked.glob("*") for line in path.read_text(encoding="ascii").split())


def write_rows(path: Path, rows: Sequence[Row], schema: Any = None) -> None:
    """A Parquet file, under a temporary name first, with a pyarrow `schema` or the one that the rows imply.

    Raises:
        TruingError: the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), part)
        part.replace(path)
    except OSError as error:
        raise cannot_write(path.parent, error) from None


def cannot_write(folder: Path, error: OSError) -> TruingError:
    """One line for a full disk or a folder without permission."""
    return TruingError(
        f"{folder}: cannot be written ({error.strerror or error}); free space or give another storage=..."
    )


class RunFolder:
    """One study's folder: its configuration, its tables, and which stages are finished."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the folder and see that it can be written.

        Raises:
            TruingError: it cannot.
        """
        probe = self.path / f".write-test-{os.getpid()}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"x" * 65536)
        except OSError as error:
            raise cannot_write(self.path, error) from None
        finally:
            if probe.exists():
                probe.unlink()

    def table(self, name: str) -> Table:
        """A table of records."""
        return Table(self.path / name)

    def finished(self, stage: str, key: str) -> dict[str, Any] | None:
        """What a finished stage reported, if it was finished with the same inputs.

        Raises:
            ConfigError: the folder holds the stage's result for other inputs.
        """
        path = self.path / "stages" / f"{stage}.json"
        saved = read_json(path)
        if saved is None:
            return None
        if saved["key"] != key:
            made = [self.path / name for name in MADE.get(stage, (stage,))]
            there = " and ".join(str(one) for one in (path, *made) if one.exists())
            raise ConfigError(
                f"{self.path}: its {stage.replace('_', ' ')} was made with other settings or data; give name=... for a new run,"
                f" or delete {there} to do it again"
            )
        return saved["report"]

    def claim(self, stage: str, key: str) -> Path:
        """The folder of a stage that keeps checkpoints; a checkpoint made from other inputs is refused.

        Raises:
            ConfigError: as for `finished`.
        """
        folder = self.path / stage
        marker = folder / "key"
        if marker.exists() and marker.read_text() != key:
            raise ConfigError(
                f"{folder}: holds checkpoints made with other settings or data; give name=... for a new run, or delete {folder}"
            )
        write_text(marker, key)
        return folder

    def finish(self, stage: str, key: str, report: dict[str, Any]) -> None:
        """Mark a stage as finished, with what it reported."""
        write_json(self.path / "stages" / f"{stage}.json", {"stage": stage, "key": key, "report": report})

    def add_seconds(self, stage: str, seconds: float) -> None:
        """Add to the time that a stage has taken, over all the runs that worked on it."""
        spent = self.seconds()
        spent[stage] = spent.get(stage, 0.0) + seconds
        write_json(self.path / "stages" / "seconds.json", spent)

    def seconds(self) -> dict[str, float]:
        """Seconds that each stage has taken."""
        return read_json(self.path / "stages" / "seconds.json") or {}

    def report_of(self, stage: str) -> dict[str, Any] | None:
        """What a stage reported, whatever its inputs were."""
        saved = read_json(self.path / "stages" / f"{stage}.json")
        return None if saved is None else saved["report"]


def read_json(path: Path) -> Any:
    """What `write_json` wrote; None where there is no file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def write_json(path: Path, value: object) -> None:
    """`write_text` of a value as JSON. Dataclasses become objects."""
    write_text(path, json.dumps(value, indent=1, default=_plain, ensure_ascii=False))


def write_text(path: Path, text: str) -> None:
    """Write under a temporary name, then rename.

    Raises:
        TruingError: the folder cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise cannot_write(path.parent, error) from None


def _plain(value: object) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} is not JSON-able")
