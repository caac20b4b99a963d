"""The pencils of `figures`: palette, whiskers, lines. Names are escaped here, since plotly reads markup in them."""

import html
import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from truing.report.contents import Estimate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

PALETTE = ("#0072b2", "#d55e00", "#00855f", "#aa4499", "#8a6d00", "#7a4b2a")
"""Told apart with any colour vision (after Okabe and Ito); lines and points differ in dash and symbol besides."""
NEUTRAL = "#5b6470"
"""The baseline and the lines of reference."""
INK = "#161b22"
"""Whiskers on bars. No figure has a colour but these, so a page can exchange them for those of its theme."""
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

Spec = dict[str, object]
"""A part of a plotly figure, in plotly's own words."""


def figure(traces: Iterable[Spec], *, xaxis: Spec, yaxis: Spec, **layout: object) -> "Figure":
    """A figure without plotly's template: colours of grid and text are the page's affair."""
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

    common: Spec = {
        "template": None,
        "autosize": True,
        "height": 320,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "xanchor": "left", "x": 0},
        "dragmode": False,
        "hovermode": "closest",
        "showlegend": True,
    }
    axis: Spec = {"automargin": True, "zeroline": False}
    axes: Spec = {"xaxis": {**axis, **xaxis}, "yaxis": {**axis, **yaxis}}
    return Figure({"data": list(traces), "layout": {**common, **axes, **layout}})


def line(name: str, xs: Sequence[int], ys: Sequence[float], i: int, colour: str) -> Spec:
    """A curve, the i-th of its figure; dots mark the points where they are few; NaN is a gap."""
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(xs) <= 40 else "lines",
        "name": text(name),
        "x": list(xs),
        "y": [y if math.isfinite(y) else None for y in ys],
        "line": {"color": colour, "dash": DASHES[i % len(DASHES)], "width": 2.5 if i == 0 else 1.8},
        "marker": {"color": colour, "size": 6, "symbol": SYMBOLS[i % len(SYMBOLS)]},
        "hovertemplate": "%{y:.4g}",
    }


def level(y: float) -> Spec:
    """A dotted line of reference across the figure."""
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": y,
        "y1": y,
        "layer": "below",
        "line": {"color": NEUTRAL, "width": 1.5, "dash": "dot"},
    }


def diagonal(low: float) -> Spec:
    """The line from (low, low) to (100, 100), in percent, on which predictions are perfect."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "perfect",
        "x": [low, 100],
        "y": [low, 100],
        "line": {"color": NEUTRAL, "dash": "dot", "width": 1.5},
        "hoverinfo": "skip",
    }


def areas(counts: Sequence[int], largest: int) -> Spec:
    """Markers whose area is the count, the largest 26 pixels across."""
    return {"size": [26 * math.sqrt(n / largest) for n in counts], "sizemin": 4}


def whiskers(estimates: Sequence[Estimate | None], scale: float = 1, colour: str | None = None) -> Spec:
    """Error bars from value to low and high, times `scale`, in `colour` or that of the points.

    An estimate without an interval has null, which the page turns into undefined: plotly.js draws null as 0.
    """
    above = [None if e is None or e.high is None else scale * max(0.0, e.high - e.value) for e in estimates]
    below = [None if e is None or e.low is None else scale * max(0.0, e.value - e.low) for e in estimates]
    bars: Spec = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5, "width": 5}
    return {**bars, "color": colour} if colour else bars


def value(estimate: Estimate | None) -> float | None:
    """The value, or None where it is missing: a gap, never 0."""
    return estimate.value if estimate and math.isfinite(estimate.value) else None


def text(name: str) -> str:
    """`name` as plotly shall show it, markup and all."""
    return html.escape(name, quote=False)
