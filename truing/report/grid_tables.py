"""A grid's figures in tables: policies down, metrics across; for each data set, with a group of rows a temperature."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from truing.evaluation.figure import Figure
from truing.evaluation.policy_figures import DELTA
from truing.report.contents import Table
from truing.report.grid_contents import REFERENCE, Grid, GridData, GridPolicy
from truing.report.grid_figures import GAP, SUMMARY, Index, is_diversity, ordered, shift_name, temperature_name
from truing.report.recorded_tables import FigureRow, FigureTable, tables

KINDS = {"model": "model", "recorded": "recorded outputs", "endpoint": "endpoint"}
"""What a kind of policy is called; best-of-n is named after what it is made from."""


@dataclass(frozen=True)
class DataTables:
    """The tables of one data set, each with its title; those without a figure are left out. `number` counts data sets."""

    number: int
    data: GridData
    shift: str
    tables: tuple[tuple[str, FigureTable], ...]


def data_tables(grid: Grid) -> list[DataTables]:
    """Quality and price, diversity, and differences to the baseline on each data set, the one in distribution first.

    Of a metric that is summed up over wordings the summary alone is here; each wording is in the file of figures.
    """
    index = Index(grid)
    found: list[DataTables] = []
    for number, data in enumerate(index.data):
        every = [f for f in grid.figures if f.data == data.name and not f.metric.startswith(GAP)]
        summed = {f.metric.removesuffix(SUMMARY) for f in every if f.metric.endswith(SUMMARY)}
        own = [f for f in every if not (f.variant and f.metric.removeprefix(DELTA) in summed)]
        plain = [f for f in own if f.policy in (*index.policies, REFERENCE) and not f.metric.startswith(DELTA)]
        parts = (
            ("Quality, KL, lengths", [f for f in plain if not is_diversity(f.metric)]),
            ("Diversity", [f for f in plain if is_diversity(f.metric)]),
            ("Differences over the same items", [f for f in own if f.metric.startswith(DELTA)]),
        )
        made = [(title, _table(index, some, _asking)) for title, some in parts]
        filled = tuple((title, table) for title, table in made if table is not None)
        found.append(DataTables(number, data, shift_name(data.shift), filled))
    return found


def gap_table(grid: Grid) -> FigureTable | None:
    """What each policy loses out of distribution, by data set and temperature; None where no gap is known."""
    index = Index(grid)
    shifts = {data.name: shift_name(data.shift) for data in grid.data}

    def where(figure: Figure) -> str:
        return f"{figure.data} ({shifts[figure.data]}), {_asking(figure)}"

    return _table(index, [f for f in grid.figures if f.metric.startswith(GAP) and f.data in shifts], where)


def cost_table(grid: Grid) -> Table:
    """What each policy's outputs cost. Best-of-n costs what it is made from; recorded outputs cost nothing here."""
    rows = [
        (
            policy.name,
            kind(policy),
            policy.seconds,
            policy.outputs,
            policy.tokens,
            policy.tokens / policy.outputs if policy.outputs else None,
            policy.tokens / policy.seconds if policy.seconds else None,
        )
        for policy in grid.policies
    ]
    columns = ("policy", "kind", "seconds", "outputs", "tokens", "tokens an output", "tokens a second")
    return Table("", columns, tuple(rows), "An en dash: it cost nothing here, or nobody knows.")


def kind(policy: GridPolicy) -> str:
    """What a policy is, in words."""
    if policy.best_of:
        return f"best of {policy.best_of[0]} of {policy.best_of[1]}"
    return KINDS.get(policy.kind, policy.kind)


def _table(index: Index, figures: Sequence[Figure], group: Callable[[Figure], str]) -> FigureTable | None:
    if not figures:
        return None
    metrics = ordered(f.metric for f in figures)
    temperatures = list(index.temperatures)
    data = [one.name for one in index.data]
    policies = [p for p in index.policies if any(f.policy == p for f in figures)]
    policies += dict.fromkeys(f.policy for f in figures if f.policy not in policies)
    placed: dict[str, dict[str, dict[str, Figure]]] = {}
    for figure in sorted(figures, key=lambda f: (data.index(f.data), temperatures.index(f.temperature))):
        placed.setdefault(group(figure), {}).setdefault(figure.policy, {})[figure.metric] = figure
    columns = tuple(tables([f for f in figures if f.metric == metric])[0].columns[0] for metric in metrics)
    groups = tuple(
        (title, tuple(FigureRow(p, tuple(by[p].get(metric) for metric in metrics)) for p in policies if p in by))
        for title, by in placed.items()
    )
    return FigureTable(columns, groups)


def _asking(figure: Figure) -> str:
    wording = f", wording {figure.variant}" if figure.variant else ""
    return temperature_name(figure.temperature) + wording
