"""The pencils of a grid's plots: a policy's hand, a metric's axis."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from truing.evaluation.policy_figures import SHARE
from truing.report.contents import Estimate
from truing.report.drawing import DASHES, NEUTRAL, PALETTE, SYMBOLS, Spec, level, text, whiskers
from truing.report.grid_contents import Grid
from truing.report.grid_figures import GAP, WIN, Index, temperature_name

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

Plot = tuple[str, str, "Figure"]
"""Title, how to read it, and the figure."""
Points = Sequence[tuple[float | None, Estimate, Estimate]]
"""Temperature, and the estimates along x and y."""


def style(index: Index, policy: str) -> tuple[str, str, str]:
    """Colour, symbol and dash of a policy, the same in every plot; the baseline is neutral."""
    if policy == index.grid.baseline:
        return NEUTRAL, "circle-open", "solid"
    i = index.others.index(policy)
    return PALETTE[i % len(PALETTE)], SYMBOLS[i % len(SYMBOLS)], DASHES[i % len(DASHES)]


def swatches(grid: Grid) -> dict[str, str]:
    """The colour of each policy."""
    index = Index(grid)
    return {policy: style(index, policy)[0] for policy in index.policies}


def curve(index: Index, policy: str, points: Points, scale: int) -> Spec:
    """A policy's points in the plane, named by their temperature and joined where there are several; y times `scale`."""
    colour, symbol, dash = style(index, policy)
    several = len(points) > 1
    return {
        "type": "scatter",
        "mode": "lines+markers+text" if several else "markers",
        "name": text(policy),
        "x": [x.value for _, x, _ in points],
        "y": [scale * y.value for _, _, y in points],
        "error_x": whiskers([x for _, x, _ in points]),
        "error_y": whiskers([y for _, _, y in points], scale=scale),
        "line": {"color": colour, "dash": dash, "width": 1.2},
        "marker": {"color": colour, "symbol": symbol, "size": 10},
        "text": ["" if t is None or not several else f"{t:g}" for t, _, _ in points],
        "textposition": "top right",
        "customdata": [f"{temperature_name(t)}, n = {y.n}" for t, _, y in points],
        "hovertemplate": "%{x:.3g}, %{y:.4g}: %{customdata}",
    }


def reach(traces: Sequence[Spec], shapes: Sequence[Spec], axis: str = "y") -> list[float]:
    """From the lowest to the highest end along an axis, and the lines of reference, with some room."""
    ends = [float(cast("float", shape[f"{axis}0"])) for shape in shapes]
    for trace in traces:
        points = cast("list[float]", trace[axis])
        bars = cast("dict[str, list[float | None]]", trace.get(f"error_{axis}", {}))
        below, above = (bars.get(side) or [None] * len(points) for side in ("arrayminus", "array"))
        ends += [at - (down or 0) for at, down in zip(points, below, strict=True)]
        ends += [at + (up or 0) for at, up in zip(points, above, strict=True)]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.06 * (high - low or abs(high) or 1)
    return [low - room, high + room]


def scale_of(index: Index, metric: str) -> int:
    """100 for shares, which are drawn in percent."""
    return 100 if any(f.unit == SHARE for f in index.defined(metric)) else 1


def axis_title(index: Index, metric: str) -> str:
    """The metric with its unit."""
    unit = next((f.unit for f in index.defined(metric)), "")
    if unit == SHARE:
        unit = "points" if metric.startswith(GAP) else "%"
    return text(metric if not unit or unit in metric.split() else f"{metric}, {unit}")


def even(metric: str) -> list[Spec]:
    """A dotted line where neither side is ahead."""
    if metric.startswith(GAP):
        return [level(0)]
    return [level(50)] if metric.startswith(WIN) else []


def title(metric: str) -> str:
    """The metric as a title begins."""
    return metric[:1].upper() + metric[1:]
