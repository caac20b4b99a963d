"""The two tables of AlpacaEval's authors that its published length control needs; they are the user's to bring.

Dubois et al., arXiv 2404.04475: `df_gamed.csv` and `instruction_difficulty.csv` of the data set tatsu-lab/alpaca_eval.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

from truing.data.comparison import as_number
from truing.errors import ConfigError
from truing.evaluation.length_control import Gamed

DIFFICULTY = "instruction_difficulty"


def read_gamed(path: str) -> Gamed:
    """The gamed rows: columns `model`, `preference` (in [0, 1]), `std_delta_len`, `instruction_difficulty`.

    Raises ConfigError where the file or a column is not there, or a cell is no number.
    """
    rows = list(_rows(path))
    columns = [
        [_number(where, row, name) for where, row in rows] for name in ("preference", "std_delta_len", DIFFICULTY)
    ]
    return Gamed(*columns, models=len({row.get("model", "") for _, row in rows}))


def read_difficulty(path: str) -> list[float]:
    """Difficulty of each instruction in the order of their index, from either table: its first row of each index.

    The index is the column `index`, else the first one, which a table of pandas leaves without a name.
    Raises ConfigError as `read_gamed`, or where an index is missing.
    """
    found: dict[int, float] = {}
    for where, row in _rows(path):
        index = "index" if "index" in row else next(iter(row))
        found.setdefault(int(_number(where, row, index)), _number(where, row, DIFFICULTY))
    absent = next((i for i in range(len(found)) if i not in found), None)
    if absent is not None:
        raise ConfigError(f"{path}: there is no row of index {absent}; the indices run from 0 without a gap")
    return [found[i] for i in range(len(found))]


def _rows(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = [(f"{path}, row {n}", row) for n, row in enumerate(csv.DictReader(file), 2)]
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; get it from the data set tatsu-lab/alpaca_eval") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give the table as CSV") from None
    if not rows:
        raise ConfigError(f"{path}: holds no rows; get it from the data set tatsu-lab/alpaca_eval")
    yield from rows


def _number(where: str, row: dict[str, str], column: str) -> float:
    number = as_number(row.get(column))
    if number is None:
        there = ", ".join(name for name in row if name)
        raise ConfigError(f"{where}: {column!r} is no number; its columns are {there}")
    return number
