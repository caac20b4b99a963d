"""The plots of recorded files: value with interval by policy for each metric, and a judge's correlations by level."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from truing.evaluation.figure import Figure as Measure
from truing.evaluation.policy_figures import DELTA, SHARE
from truing.report.contents import Estimate
from truing.report.drawing import NEUTRAL, PALETTE, SYMBOLS, Spec, figure, level, text, whiskers
from truing.report.recorded_contents import Recorded
from truing.report.recorded_tables import FigureTable, estimate, tables

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

Plot = tuple[str, str, "Figure"]
"""Title, how to read it, and the figure."""
BY_LEVEL = "Summary: over the systems of a document. Sample: over all texts. System: over the systems’ means."
LEVELS = ("summary", "sample", "system")
EVEN = (
    "win rate",
    "discrete win rate",
    "win rate, ties half",
    "first place wins a game",
    "first among places that won twice",
)
"""Shares at which a half says that neither side is ahead."""


def plots(one: Recorded) -> list[list[Plot]]:
    """The plots beside each of the source's tables, where an interval is known; a judge's by level with the first one."""
    found: list[list[Plot]] = []
    for table in tables(one.figures):
        beside: list[Plot] = []
        if one.kind == "judges" and not found:
            beside += [(f"{judge}: Spearman’s ρ by level", BY_LEVEL, drawn) for judge, drawn in _by_judge(one.figures)]
        for i, column in enumerate(table.columns):
            cells = [row.cells[i] for _, rows in table.groups for row in rows]
            intervals = any(cell is not None and cell.low is not None for cell in cells)
            if intervals and not column.metric.startswith(("Pearson", "Spearman", "Kendall")):
                beside.append((column.metric, _caption(column.metric), points(table, i)))
        found.append(beside)
    return found


def points(table: FigureTable, i: int) -> "Figure":
    """The i-th metric of a table, policies from top to bottom, a colour and a symbol for each variant."""
    column = table.columns[i]
    scale = 100 if any(f.unit == SHARE for f in table.figures if f.metric == column.metric) else 1
    traces = [
        _trace(variant, [(row.policy, estimate(row.cells[i])) for row in rows], scale, number)
        for number, (variant, rows) in enumerate(table.groups)
        if any(estimate(row.cells[i]) is not None for row in rows)
    ]
    names = list(dict.fromkeys(row.policy for _, rows in table.groups for row in rows))
    shown = len([1 for variant, _ in table.groups if variant])
    each = 18 if len(names) > 20 else 26
    high = 90 + len(names) * max(each, 11 * len(traces)) + (24 * shown if shown > 1 else 0)
    unit = "%" if scale == 100 else column.unit
    shapes = _reference(column.metric, column.unit, scale)
    return figure(
        traces,
        xaxis={
            "title": {"text": text(f"{column.metric}, {unit}" if unit else column.metric)},
            "range": _range(traces, shapes),
        },
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [text(name) for name in reversed(names)],
            "range": [-0.6, len(names) - 0.4],
            "dtick": 1,
            "showgrid": len(names) <= 20,
        },
        shapes=shapes,
        height=max(180, high),
        showlegend=shown > 1,
        scattermode="group",
        scattergap=0.45,
    )


def _trace(variant: str, rows: Sequence[tuple[str, Estimate | None]], scale: float, number: int) -> Spec:
    known = [(policy, one) for policy, one in rows if one is not None]
    colour = PALETTE[number % len(PALETTE)]
    return {
        "type": "scatter",
        "mode": "markers",
        "orientation": "h",
        "name": text(variant),
        "offsetgroup": text(variant),
        "y": [text(policy) for policy, _ in known],
        "x": [scale * one.value for _, one in known],
        "error_x": whiskers([one for _, one in known], scale=scale),
        "marker": {"color": colour, "symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
        "customdata": [one.n for _, one in known],
        "hovertemplate": "%{y}: %{x:.4g}, n = %{customdata}<extra>" + text(variant) + "</extra>",
    }


def _range(traces: Sequence[Spec], shapes: Sequence[Spec]) -> list[float]:
    """From the lowest to the highest end, and the line of reference, with some room."""
    ends = [float(cast("float", shape["x0"])) for shape in shapes]
    for trace in traces:
        xs = cast("list[float]", trace["x"])
        bars = cast("dict[str, list[float | None]]", trace["error_x"])
        ends += [x - (down or 0) for x, down in zip(xs, bars["arrayminus"], strict=True)]
        ends += [x + (up or 0) for x, up in zip(xs, bars["array"], strict=True)]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low or abs(high) or 1)
    return [low - room, high + room]


def _reference(metric: str, unit: str, scale: float) -> list[Spec]:
    """A dotted line where nobody is ahead: at 0 of a difference, at a half of a share that is won."""
    if metric.startswith(DELTA):
        return [_upright(0)]
    if metric in EVEN or metric.startswith("length-controlled"):
        return [_upright(50 if scale == 100 or unit == "%" else 0.5)]
    return []


def _upright(x: float) -> Spec:
    line = {"color": NEUTRAL, "width": 1.5, "dash": "dot"}
    return {"type": "line", "yref": "paper", "y0": 0, "y1": 1, "x0": x, "x1": x, "layer": "below", "line": line}


def _by_judge(figures: Sequence[Measure]) -> list[tuple[str, "Figure"]]:
    """Spearman's correlation at each level, a curve for each criterion."""
    found: list[tuple[str, Figure]] = []
    for judge in dict.fromkeys(f.policy for f in figures):
        own = [f for f in figures if f.policy == judge and f.metric.startswith("Spearman")]
        traces = [_levels(criterion, own, i) for i, criterion in enumerate(dict.fromkeys(f.variant for f in own))]
        drawn = figure(
            traces,
            xaxis={"type": "category", "categoryorder": "array", "categoryarray": list(LEVELS), "showgrid": False},
            yaxis={"title": {"text": "Spearman’s ρ"}, "rangemode": "tozero"},
            shapes=[level(0)],
            scattermode="group",
            scattergap=0.5,
        )
        found.append((judge, drawn))
    return found


def _levels(criterion: str, figures: Sequence[Measure], i: int) -> Spec:
    by_level = {
        name: next((f for f in figures if f.variant == criterion and f"{name} level" in f.metric), None)
        for name in LEVELS
    }
    known = [
        (name, one) for name, f in by_level.items() if (one := estimate(f)) is not None and math.isfinite(one.value)
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": text(criterion),
        "offsetgroup": text(criterion),
        "x": [name for name, _ in known],
        "y": [one.value for _, one in known],
        "error_y": whiskers([one for _, one in known]),
        "marker": {"color": PALETTE[i % len(PALETTE)], "symbol": SYMBOLS[i % len(SYMBOLS)], "size": 10},
        "customdata": [one.n for _, one in known],
        "hovertemplate": "%{x} level: %{y:.3f}, n = %{customdata}",
    }


def _caption(metric: str) -> str:
    if metric.startswith(DELTA):
        return "Paired by prompt; an interval across the dotted line proves nothing."
    if metric in EVEN:
        return "Dotted: neither side is ahead."
    if " words across" in metric:
        return "Of outputs cut to equal length: higher is more diverse."
    captions = {
        "EAD": "Higher is more diverse; grows with length.",
        "distinct": "Higher is more diverse; falls with length.",
        "compression": "Higher is LESS diverse.",
        "Bradley-Terry": "400 points more: ten wins to one loss.",
    }
    return next((caption for begin, caption in captions.items() if metric.startswith(begin)), "")
