"""Rows of a data set one at a time: JSON Lines, a JSON array, Parquet, a folder or a name on the Hugging Face Hub."""

import codecs
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from truing.errors import ConfigError
from truing.records import Row

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
FILES = (".jsonl", ".json", ".gz", ".parquet")
BLOCK = 1 << 16
"""Characters of a JSON array that are read at a time."""
BEYOND = "nests too deep, or has an integer of too many digits, to be read; remove that field, or the row"


def numbered_rows(source: str) -> Iterator[tuple[str, Row]]:
    """(where it stands, row) of each row of `source`; no more than one block or Parquet batch is held.

    `source` is a file (its first bytes say which kind, so `.gz` is a matter of taste), a folder that `datasets` can
    load, or a Hub name: `org/name`, a folder in it `org/name/folder`, each with `:split` or `:config:split` after it
    ("train" where none is given).

    Raises:
        ConfigError: nothing of that name, no rows, or a row that cannot be read; names the row and the remedy.
    """
    rows = _file_rows(source) if Path(source).is_file() else _data_set_rows(source)
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise ConfigError(f"{source}: holds no rows; give a source with at least one")


def json_row(line: bytes, where: str, required: tuple[str, ...] = ()) -> Row:
    """The JSON object of one line, with its `required` text fields.

    Raises:
        ConfigError: not UTF-8, not JSON, not an object, half of a surrogate pair, a required field absent or empty.
    """
    try:
        # A place is counted in its line, not from the line end on.
        value: object = json.loads(line.decode("utf-8").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: invalid UTF-8 at byte {error.start}; save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: is not JSON ({error.msg}, column {error.colno}); one object a line") from None
    except (ValueError, RecursionError):
        raise ConfigError(f"{where}: {BEYOND}") from None
    return json_object(value, where, required)


def json_object(value: object, where: str, required: tuple[str, ...] = ()) -> Row:
    """`value` as a row, with its `required` text fields. Raises ConfigError as `json_row`."""
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: is not a JSON object; write {{{', '.join(required) or 'column'}: ...}}")
    row = cast("Row", value)
    for key in required:
        text = row.get(key)
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"{where}: has no {key!r}; give it as a non-empty string, or remove the row")
    try:
        json.dumps(row, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{where}: has half of a surrogate pair (\\ud800 to \\udfff); remove it or the row") from None
    except RecursionError:
        raise ConfigError(f"{where}: {BEYOND}") from None
    return row


def _file_rows(source: str) -> Iterator[tuple[str, Row]]:
    try:
        with Path(source).open("rb") as file:
            start = file.read(4)
        if start == PARQUET:
            yield from _parquet_rows(source)
            return
        with gzip.open(source, "rb") if start.startswith(GZIP) else Path(source).open("rb") as file:
            is_array = file.read(BLOCK).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")
            file.seek(0)
            yield from _array_rows(cast("IO[bytes]", file), source) if is_array else _lines(file, source)
    except (OSError, EOFError, zlib.error) as error:
        reason = _one_line(str(error))
        raise ConfigError(f"{source}: cannot be read ({reason}); give a readable, complete file") from None


def _lines(file: Iterator[bytes], source: str) -> Iterator[tuple[str, Row]]:
    for n, line in enumerate(file, 1):
        text = line.removeprefix(codecs.BOM_UTF8) if n == 1 else line
        if text.strip():
            where = f"{source}, row {n}"
            yield where, json_row(text, where)


def _array_rows(file: IO[bytes], source: str) -> Iterator[tuple[str, Row]]:
    """Items of one JSON array, decoded as their text arrives."""
    decoder, text, n = json.JSONDecoder(), io.TextIOWrapper(file, encoding="utf-8-sig"), 1
    try:
        rest = text.read(BLOCK).lstrip().removeprefix("[")
        while not (rest := rest.lstrip(", \t\r\n")).startswith("]"):
            where = f"{source}, row {n}"
            try:
                value, end = decoder.raw_decode(rest)
            except json.JSONDecodeError as error:
                # Cut off, or wrong: only more text can tell. Doubling keeps the tries few where an item is long.
                more = text.read(max(BLOCK, len(rest)))
                if not more:
                    raise ConfigError(f"{where}: is not JSON ({error.msg}); give objects between [ and ]") from None
                rest += more
                continue
            except (ValueError, RecursionError):
                raise ConfigError(f"{where}: {BEYOND}") from None
            yield where, json_object(value, where)
            rest, n = rest[end:], n + 1
        rest = rest[1:]
        while not rest.strip() and (more := text.read(BLOCK)):
            rest = more
        if rest.strip():
            raise ConfigError(f"{source}: goes on after the ] of its array; give one array, or one object a line")
    except UnicodeDecodeError as error:
        where = f"{source}, row {n} or later"
        raise ConfigError(f"{where}: invalid UTF-8 ({error.reason}); save the file as UTF-8") from None


def _parquet_rows(source: str) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    arrow_error: type[Exception] = cast("Any", pa).ArrowException
    try:
        n = 0
        with pq.ParquetFile(source) as table:
            for batch in cast("Any", table).iter_batches(batch_size=256):
                for row in cast("list[Row]", batch.to_pylist()):
                    n += 1
                    yield f"{source}, row {n}", row
    except (arrow_error, UnicodeDecodeError) as error:
        reason = _one_line(f"{error}")
        raise ConfigError(f"{source}: is not a Parquet file that can be read ({reason}); write it again") from None


def _data_set_rows(source: str) -> Iterator[tuple[str, Row]]:
    """Rows of a folder or a Hub data set, streamed by `datasets`: nothing is downloaded whole, no code of it is run."""
    name, _, chosen = source.partition(":")
    config, _, split = chosen.rpartition(":")
    is_folder, parts = bool(name) and Path(name).is_dir(), name.split("/")
    if not is_folder and (len(parts) < 2 or not all(parts) or name.startswith((".", "~")) or name.endswith(FILES)):
        raise ConfigError(
            f"{source}: there is no such file or folder; give JSON Lines, JSON, Parquet, a folder or org/name:split"
        )
    from datasets import IterableDataset, load_dataset  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
    from datasets.exceptions import DatasetsError  # pyright: ignore[reportMissingTypeStubs]

    try:
        rows = load_dataset(
            name if is_folder else "/".join(parts[:2]),
            name=config or None,
            data_dir=None if is_folder else "/".join(parts[2:]) or None,
            split=split or "train",
            streaming=True,
        )
        assert isinstance(rows, IterableDataset)  # that is what one split, streamed, is
        for n, row in enumerate(cast("Iterable[Row]", rows), 1):
            yield f"{source}, row {n}", row
    except (OSError, ValueError, DatasetsError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"{source}: datasets cannot load it ({reason}); check the name, the split and the network"
        ) from None


def _one_line(text: str) -> str:
    return " ".join(text.split())
