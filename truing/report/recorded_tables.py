"""Figures of recorded files in tables: policies down, metrics across. The job prints the same tables as the page shows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from truing.evaluation.figure import Figure
from truing.report.contents import Estimate
from truing.report.notation import MISSING, Number, aligned, count, fixed, interval, p_value, percent

KINDS = {
    "preferences": "preferences against a baseline",
    "outputs": "outputs",
    "ratings": "ratings",
    "judges": "a judge against people",
    "comparisons": "two-order verdicts",
}
"""What a kind of recorded source is called."""
NEAR_ONE = "cosine diversity"
"""A metric whose figures differ in the fourth decimal."""
NOTES = 5
"""Notes of one metric that are written out; the others are in the file of figures."""


@dataclass(frozen=True)
class Column:
    """One metric: its unit, "" where there is none or its name says it, and how its values are written."""

    metric: str
    unit: str
    number: Number


@dataclass(frozen=True)
class FigureRow:
    """One policy with a figure a column, None where it has none."""

    policy: str
    cells: tuple[Figure | None, ...]


@dataclass(frozen=True)
class FigureTable:
    """Metrics that the same policies have; the rows of a variant stand together, one without a name is everything."""

    columns: tuple[Column, ...]
    groups: tuple[tuple[str, tuple[FigureRow, ...]], ...]

    @property
    def figures(self) -> list[Figure]:
        """All of them."""
        return [cell for _, rows in self.groups for row in rows for cell in row.cells if cell is not None]


def tables(figures: Sequence[Figure]) -> list[FigureTable]:
    """One table for the metrics that the same policies have in the same variants.

    What a judge has, and what the systems that it judges have, are two tables, and so are figures by criterion and over
    all criteria.
    """
    places: dict[str, dict[tuple[str, str], None]] = {}
    for figure in figures:
        places.setdefault(figure.metric, {})[figure.policy, figure.variant] = None
    together: dict[frozenset[tuple[str, str]], list[str]] = {}
    for metric, found in places.items():
        together.setdefault(frozenset(found), []).append(metric)
    return [_table([f for f in figures if f.metric in metrics], metrics) for metrics in together.values()]


def number_of(unit: str, values: Sequence[float | None]) -> Number:
    """How figures of a unit are written: shares as percent, counts whole, the others with the decimals they need."""
    if unit == "share":
        return percent
    if unit == "count":
        return count
    if unit in ("%", "points"):
        return fixed(1)
    return fixed(3) if unit == "" else aligned(values)


def estimate(figure: Figure | None) -> Estimate | None:
    """The figure as the page's other parts know it; None where it is undefined."""
    if figure is None or figure.value is None:
        return None
    return Estimate(figure.value, figure.low, figure.high, figure.n)


def notes(table: FigureTable) -> list[str]:
    """What stands below a table: of each metric its notes, with whom they are about unless that is everybody.

    Of more than `NOTES` different notes of a metric the first ones, and how many more there are.
    """
    everybody = {_who(figure) for figure in table.figures}
    lines: list[str] = []
    for column in table.columns:
        about: dict[str, list[str]] = {}
        for figure in table.figures:
            if figure.metric == column.metric and figure.note:
                about.setdefault(figure.note, []).append(_who(figure))
        said = [f"{_whom(who, everybody)}{note}" for note, who in list(about.items())[:NOTES]]
        more = [f"{len(about) - NOTES} more notes"] if len(about) > NOTES else []
        if said:
            lines.append(f"{column.metric}: {'; '.join([*said, *more])}.")
    missing = {_who(f): f.missing for f in table.figures if f.missing}
    if missing:
        each = ", ".join(f"{who} {n}" for who, n in list(missing.items())[:8])
        lines.append(f"Not counted: {each}{', …' if len(missing) > 8 else ''}.")
    return lines


def _whom(who: Sequence[str], everybody: Collection[str]) -> str:
    if len(set(who)) == len(everybody):
        return ""
    return f"{', '.join(who[:4])}{', …' if len(who) > 4 else ''}: "


def written(figure: Figure | None, number: Number) -> str:
    """The value with its interval, in one line."""
    found = estimate(figure)
    if found is None:
        return MISSING
    ends = interval(found, number)
    return number(found.value) if ends == MISSING else f"{number(found.value)} {ends}"


def _table(figures: Sequence[Figure], metrics: Sequence[str]) -> FigureTable:
    columns = tuple(_column(metric, [f for f in figures if f.metric == metric]) for metric in metrics)
    by_place: dict[str, dict[str, dict[str, Figure]]] = {}
    for figure in figures:
        by_place.setdefault(figure.variant, {}).setdefault(figure.policy, {})[figure.metric] = figure
    groups = tuple((variant, tuple(_rows(found, metrics))) for variant, found in by_place.items())
    return FigureTable(columns, groups)


def _column(metric: str, figures: Sequence[Figure]) -> Column:
    unit = figures[0].unit
    if metric.startswith("p-value"):
        number: Number = p_value
    else:
        number = fixed(4) if NEAR_ONE in metric else number_of(unit, [f.value for f in figures])
    shown = "" if unit in ("count", "share") or unit in metric.split() else unit
    return Column(metric, shown, number)


def _rows(found: Mapping[str, Mapping[str, Figure]], metrics: Sequence[str]) -> list[FigureRow]:
    return [FigureRow(policy, tuple(by.get(metric) for metric in metrics)) for policy, by in found.items()]


def _who(figure: Figure) -> str:
    return f"{figure.policy}, {figure.variant}" if figure.variant else figure.policy
