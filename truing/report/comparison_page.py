"""The comparison of two runs as one HTML page: no scripts, no plots, nothing that is loaded.

Each row draws its two intervals on the scale of its metric. Text of models and data sets is escaped by Jinja2.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from truing.evaluation.figure import Figure
from truing.evaluation.policy_figures import SHARE
from truing.report import notation, recorded_tables
from truing.report.comparison import Change, Comparison, Pair, State, changes, compare
from truing.report.grid_figures import shift_name
from truing.report.notation import MISSING, fixed
from truing.report.recorded_tables import Column, tables

if TYPE_CHECKING:
    from jinja2 import Environment

NAMES: dict[State, str] = {"apart": "apart", "overlap": "overlap", "equal": "equal", "unknown": "no interval"}
"""States in words."""
MARGIN = 0.04
"""Of the width of a scale, left free at both its ends."""


@dataclass(frozen=True)
class ComparedRun:
    """A run: its name, its folder, its study, and its figures by the part of the evaluation that they come from."""

    name: str
    path: str
    study: Mapping[str, object]
    figures: Mapping[str, Sequence[Figure]]


@dataclass(frozen=True)
class Scale:
    """From where to where the intervals of a metric go."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 100."""
        return 100 * (value - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class MetricRows:
    """All pairs of one metric: how its values are written, and its scale, None where no value is known."""

    column: Column
    scale: Scale | None
    pairs: tuple[Pair, ...]


def write(left: ComparedRun, right: ComparedRun, path: Path) -> str:
    """Write the page to `path`, under a temporary name first; returns its headline.

    Raises OSError where the folder is missing or full.
    """
    parts = {
        part: compare(left.figures.get(part, ()), right.figures.get(part, ()))
        for part in dict.fromkeys((*left.figures, *right.figures))
    }
    said = headline(list(parts.values()))
    page = render(left, right, parts, changes(left.study, right.study)).encode("utf-8", errors="replace")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(page)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return said


def render(left: ComparedRun, right: ComparedRun, parts: Mapping[str, Comparison], changed: Sequence[Change]) -> str:
    """The page as text."""
    names = (left.name, right.name) if left.name != right.name else (left.path, right.path)
    return (
        _environment()
        .get_template("comparison.html.j2")
        .render(
            names=names,
            paths=(left.path, right.path),
            headline=headline(list(parts.values())),
            parts={part: (by_metric(found.pairs), found) for part, found in parts.items()},
            counts={words: sum(one.counted(state) for one in parts.values()) for state, words in NAMES.items()},
            changed=[(change.key, _yaml(change.left), _yaml(change.right)) for change in changed],
            states=NAMES,
            place=place,
            difference=difference,
            notation=notation,
            recorded_tables=recorded_tables,
            panels={},
        )
    )


def headline(parts: Sequence[Comparison]) -> str:
    """What is to be said first."""
    pairs = sum(len(part.pairs) for part in parts)
    if not pairs:
        return "The two runs have no figure in common."
    apart, equal, unknown = (sum(part.counted(state) for part in parts) for state in ("apart", "equal", "unknown"))
    if unknown == pairs:
        return f"Figures in common: {pairs}, none with an interval in both runs, so nothing tells them apart."
    also = f"; {equal} of them equal" if equal else ""
    return f"Figures that lie apart with their whole 95 % intervals: {apart} of {pairs}{also}."


def by_metric(pairs: Sequence[Pair]) -> list[MetricRows]:
    """The pairs of each metric, in the order of first mention."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        found.setdefault((pair.left.metric, pair.left.unit), []).append(pair)
    return [_metric(some) for some in found.values()]


def place(figure: Figure) -> str:
    """Where a figure is from, beside its policy: data, shift, temperature and variant, as far as they are known."""
    temperature = "" if figure.temperature is None else f"temperature {figure.temperature:g}"
    return ", ".join(part for part in (figure.data, shift_name(figure.shift), temperature, figure.variant) if part)


def difference(pair: Pair, column: Column) -> str:
    """Second minus first with its sign; of shares and percentages in points."""
    change = pair.difference
    if change is None:
        return MISSING
    points = pair.left.unit in (SHARE, "%")
    scaled = 100 * change if pair.left.unit == SHARE else change
    written = fixed(1)(scaled) if points else column.number(change)
    sign = "+" if change > 0 and any(digit in written for digit in "123456789∞") else ""
    return f"{sign}{written}\u202fpoints" if points else f"{sign}{written}"


def _metric(pairs: Sequence[Pair]) -> MetricRows:
    both = [figure for pair in pairs for figure in (pair.left, pair.right)]
    ends = [end for f in both for end in (f.value, f.low, f.high) if end is not None and abs(end) != float("inf")]
    [column] = [column for table in tables(both) for column in table.columns]
    return MetricRows(column, _scale(ends), tuple(pairs))


def _scale(ends: Sequence[float]) -> Scale | None:
    if not ends:
        return None
    low, high = min(ends), max(ends)
    room = MARGIN * (high - low or abs(high) or 1)
    return Scale(low - room, high + room)


def _yaml(value: object) -> str:
    import yaml

    return (
        yaml.safe_dump(value, default_flow_style=True, width=10**6, allow_unicode=True).removesuffix("\n...\n").strip()
    )


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
