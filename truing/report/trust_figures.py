"""The plots of trust in labelers: is one as right as it is sure, and where does it agree with people?"""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from truing.report.contents import CalibrationBin, Estimate
from truing.report.drawing import (
    INK,
    PALETTE,
    SYMBOLS,
    Spec,
    areas,
    diagonal,
    figure,
    level,
    text,
    value,
    whiskers,
)
from truing.report.figures import PERCENT_TICKS

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

Groups = Sequence[tuple[str, Estimate]]
"""Agreement by the name of a group."""


def reliability(labelers: Sequence[tuple[str, Sequence[CalibrationBin]]]) -> "Figure":
    """Share of agreement over confidence, percent, a curve for each named labeler; the area of a point is its pairs.

    Bins without a pair are left out. The number of pairs stands beside the points where there is one labeler only.
    """
    largest = max((b.n for _, bins in labelers for b in bins), default=1)
    curves: list[Spec] = []
    for i, (name, bins) in enumerate(labelers):
        filled = [b for b in bins if b.n > 0]
        colour = PALETTE[i % len(PALETTE)]
        counts = [b.n for b in filled]
        curve: Spec = {
            "type": "scatter",
            "mode": "lines+markers" if len(labelers) > 1 else "lines+markers+text",
            "name": _wrapped(name),
            "x": [100 * b.predicted for b in filled],
            "y": [100 * b.observed for b in filled],
            "text": [str(n) for n in counts],
            "textposition": ["top center" if b.observed > b.predicted else "bottom center" for b in filled],
            "cliponaxis": False,
            "line": {"color": colour, "width": 1},
            "marker": {"color": colour, "symbol": SYMBOLS[i % len(SYMBOLS)], **areas(counts, max(1, largest))},
            "customdata": [[100 * b.low, 100 * b.high, b.n] for b in filled],
            "hovertemplate": "%{customdata[0]:.0f}–%{customdata[1]:.0f} %, n = %{customdata[2]}: "
            "confidence %{x:.1f} %, agreement %{y:.1f} %",
        }
        curves.append(curve)
    return figure(
        [{**diagonal(50), "showlegend": False}, *curves],
        xaxis={"title": {"text": "confidence, %"}, "range": [48, 102], "tickvals": [50, 60, 70, 80, 90, 100]},
        yaxis={"title": {"text": "agrees with people, %"}, "range": [-6, 112], "tickvals": PERCENT_TICKS},
        **_legend([name for name, _ in labelers]),
    )


def agreement_by(labelers: Sequence[tuple[str, Groups]], order: Sequence[str], title: str) -> "Figure":
    """Agreement with people by group, percent, a bar with its interval for each named labeler; 50 % is a coin flip.

    `order` names the groups from left to right; those that nobody has are left out.
    """
    bars: list[Spec] = []
    for i, (name, groups) in enumerate(labelers):
        known = dict(groups)
        found = [(group, known[group]) for group in order if group in known]
        estimates = [estimate for _, estimate in found]
        bar: Spec = {
            "type": "bar",
            "name": _wrapped(name),
            "x": [_tick(group) for group, _ in found],
            "y": [None if value(estimate) is None else 100 * estimate.value for estimate in estimates],
            "error_y": whiskers(estimates, scale=100, colour=INK),
            "marker": {"color": PALETTE[i % len(PALETTE)]},
            "customdata": [estimate.n for estimate in estimates],
            "hovertemplate": "%{y:.1f} %, n = %{customdata}",
        }
        bars.append(bar)
    shown = [group for group in order if any(group in dict(groups) for _, groups in labelers)]
    several = len(labelers) > 1
    counts = {group: estimate.n for _, groups in labelers for group, estimate in groups}
    ticks = [_tick(group) if several else f"{_tick(group)}<br>n = {counts[group]}" for group in shown]
    return figure(
        bars,
        xaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [_tick(group) for group in shown],
            "tickvals": list(range(len(shown))),
            "ticktext": ticks,
            "tickangle": 0,
            "showgrid": False,
            "title": {"text": title},
        },
        yaxis={"title": {"text": "agrees with people, %"}, "range": [0, 104], "tickvals": PERCENT_TICKS},
        shapes=[{**level(50), "layer": "above"}],
        bargap=0.28,
        **_legend([name for name, _ in labelers]),
    )


def _legend(names: Sequence[str]) -> Spec:
    """Room for the lines of the legend above the plot; none for a single labeler."""
    lines = sum(_wrapped(name).count("<br>") + 1 for name in names)
    return {"showlegend": len(names) > 1, "height": 320 + (20 * lines if len(names) > 1 else 0)}


def _wrapped(name: str) -> str:
    return "<br>".join(text(line) for line in textwrap.wrap(name, 40))


def _tick(group: str) -> str:
    """Words below each other, so that neighbours do not touch."""
    return text(group).replace(" ", "<br>") if group[:1].isalpha() else text(group)
