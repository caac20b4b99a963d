"""Rows of a file that somebody recorded, read by columns that the reader names; every refusal says where and what to do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from truing.data.comparison import as_number
from truing.data.rows import numbered_rows
from truing.errors import ConfigError
from truing.records import Row, content_id

LONGEST_KEY = 64
"""Characters from which a prompt is named by its hash."""

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """One row and its place. A column is a name, or a dotted path into nested objects: `outputs.alpaca-7b`.

    A name may hold dots itself. A path through a list is followed in each of its items: `expert.coherence` of three
    experts is a list of three. A value that is null, or absent below the first name of its path, is None.
    """

    where: str
    row: Row

    def value(self, column: str) -> Any:
        """What stands there. Raises ConfigError where the row has no such column."""
        if not _heads(self.row, column):
            there = ", ".join(self.row) or "none"
            raise ConfigError(f"{self.where}: has no column {column!r}; name one of its columns: {there}")
        return _at(self.row, column)

    def key(self, column: str) -> str:
        """A name: of a policy, a prompt, a document. A number is as good as text; a long text is named by its hash.

        Raises ConfigError where it is neither, or empty.
        """
        value: object = self.value(column)
        if not isinstance(value, str | int | float) or value == "":
            raise self.wrong(column, f"is {_shown(value)}, not a name", "give text or a number there")
        text = str(value)
        return text if len(text) <= LONGEST_KEY and "\n" not in text else content_id(text)

    def joined(self, columns: str | tuple[str, ...]) -> str:
        """`key` of one column, or the name that several make together, of which some, not all, may be empty."""
        if isinstance(columns, str):
            return self.key(columns)
        parts = ["" if self.value(column) in (None, "") else self.key(column) for column in columns]
        if not any(parts):
            raise self.wrong(columns[0], "is empty, and so are the columns with it", "give text or a number there")
        return " / ".join(parts)

    def text(self, column: str) -> str | None:
        """Text, or None where there is none. Raises ConfigError for anything else."""
        value = self.value(column)
        if value is not None and not isinstance(value, str):
            raise self.wrong(column, f"is {_shown(value)}, not text", "give text or null there")
        return value

    def number(self, column: str) -> float | None:
        """A finite number, also written as text, or None where there is none. Raises ConfigError for anything else."""
        value = self.value(column)
        return None if value is None else self._number(column, value)

    def numbers(self, column: str) -> list[float | None]:
        """One number, or each of a list. Raises ConfigError as `number`."""
        value = self.value(column)
        items = cast("list[Any]", value) if isinstance(value, list) else [value]
        return [None if item is None else self._number(column, item) for item in items]

    def texts(self, column: str) -> list[str]:
        """One text, or each of a list; nulls are left out. Raises ConfigError for anything else."""
        value: object = self.value(column)
        items = cast("list[object]", value) if isinstance(value, list) else [value]
        texts = [item for item in items if isinstance(item, str)]
        other = next((item for item in items if item is not None and not isinstance(item, str)), None)
        if other is not None:
            raise self.wrong(column, f"holds {_shown(other)}, not text", "give a text or a list of texts there")
        return texts

    def wrong(self, column: str, what: str, remedy: str) -> ConfigError:
        """The one line for a value that cannot be used."""
        return ConfigError(f"{self.where}: {column!r} {what}; {remedy}, name another column, or remove the row")

    def _number(self, column: str, value: object) -> float:
        number = as_number(value)
        if number is None:
            raise self.wrong(column, f"is {_shown(value)}, not a finite number", "give a number or null there")
        return number


def recorded_rows(path: str, where: Mapping[str, Scalar | tuple[Scalar, ...]]) -> Iterator[RecordedRow]:
    """The rows of `path` (as `rows.numbered_rows`) whose columns have the values of `where`, or one of several.

    Raises:
        ConfigError: as `numbered_rows`; a column that is not there; no row that fits.
    """
    wanted = {column: value if isinstance(value, tuple) else (value,) for column, value in where.items()}
    seen: dict[str, dict[str, None]] = {column: {} for column in wanted}
    found = False
    for place, row in numbered_rows(path):
        one = RecordedRow(place, row)
        values = {column: one.value(column) for column in wanted}
        for column, value in values.items():
            if len(seen[column]) < 10:
                seen[column][_shown(value)] = None
        if all(value in wanted[column] for column, value in values.items()):
            found = True
            yield one
    if not found:
        asked = ", ".join(f"{column} = {' or '.join(map(str, values))}" for column, values in wanted.items())
        there = "; ".join(f"{column} is {', '.join(values)}" for column, values in seen.items())
        raise ConfigError(f"{path}: no row has {asked}; there {there}")


def label_at_start(reply: str, labels: Iterable[str]) -> str | None:
    """The label that a reply is, or begins with ("A: Summary 1 is …"); None where it is none. The longest one wins."""
    text = reply.strip()
    for label in sorted(labels, key=len, reverse=True):
        rest = text.removeprefix(label)
        if rest != text and not (rest[:1].isalnum() or rest[:1] == "_"):
            return label
    return None


def _heads(row: Mapping[str, object], column: str) -> bool:
    parts = column.split(".")
    return any(".".join(parts[:n]) in row for n in range(1, len(parts) + 1))


def _at(value: object, path: str) -> Any:
    """What a path leads to; the longest name that is there is followed first. None where it leads nowhere."""
    if isinstance(value, list):
        return [_at(item, path) for item in cast("list[object]", value)]
    if not isinstance(value, dict):
        return None
    node = cast("dict[str, object]", value)
    parts = path.split(".")
    for n in range(len(parts), 0, -1):
        name = ".".join(parts[:n])
        if name in node:
            return node[name] if n == len(parts) else _at(node[name], ".".join(parts[n:]))
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
