"""The plots of a grid by part of its section: by shift, by temperature, and by wording (PAFT, arXiv 2502.12859, figure 3).

Quality and diversity by shift are figures 1, 2, 4 and 5 of Kirk et al. (arXiv 2310.06452).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from truing.evaluation.output_scores import ACROSS, PER
from truing.report.contents import Estimate
from truing.report.drawing import Spec, figure, text, whiskers
from truing.report.grid_contents import Grid, WordingAccuracies
from truing.report.grid_curves import frontier, trade_off
from truing.report.grid_drawing import Plot, axis_title, even, reach, scale_of, style, title
from truing.report.grid_figures import (
    GAP,
    KL,
    WIN,
    WORDS,
    Index,
    Spot,
    is_diversity,
    less_is_more,
    shift_name,
    temperature_name,
)
from truing.report.recorded_tables import estimate

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

LONGEST = 160
"""Characters of a wording that are shown at its point."""


def plots(grid: Grid) -> dict[str, list[Plot]]:
    """The plots by part: shifts, diversity, price, wordings, and temperature-i of the i-th data set; empty parts too."""
    index = Index(grid)
    gaps = index.with_interval(m for m in index.metrics if m.removeprefix(GAP) in index.quality and m.startswith(GAP))
    diversity = [*index.diversity(PER), *index.diversity(ACROSS)]
    found: dict[str, list[Plot]] = {
        "shifts": [_by_data(index, metric) for metric in (*index.quality, *gaps)],
        "diversity": [_by_data(index, metric) for metric in diversity],
        "price": [*frontier(index), *trade_off(index)],
        "wordings": _wordings(index),
    }
    for i, data in enumerate(index.data):
        curves = [*index.quality, KL, WORDS, *diversity]
        spots = [(metric, spot) for metric in curves for spot in index.spots(metric) if spot.data == data]
        found[f"temperature-{i}"] = [plot for metric, spot in spots for plot in _curve(index, spot, metric)]
    return found


def by_data(index: Index, metric: str, temperature: float | None) -> "Figure":
    """A metric of each policy on each data set, with intervals, at one temperature or, where nobody knows it, at none."""
    spots = index.spots(metric)
    scale = scale_of(index, metric)
    traces: list[Spec] = []
    for policy in index.policies:
        values = [(spot, estimate(index.nearest(policy, spot, temperature, metric))) for spot in spots]
        known = [(spot, one) for spot, one in values if one is not None]
        if not known:
            continue
        colour, symbol, _ = style(index, policy)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": text(policy),
                "offsetgroup": text(policy),
                "x": [_tick(spot) for spot, _ in known],
                "y": [scale * one.value for _, one in known],
                "error_y": whiskers([one for _, one in known], scale=scale),
                "marker": {"color": colour, "symbol": symbol, "size": 10},
                "customdata": [one.n for _, one in known],
                "hovertemplate": "%{y:.4g}, n = %{customdata}",
            }
        )
    return figure(
        traces,
        xaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [_tick(spot) for spot in spots],
            "range": [-0.5, len(spots) - 0.5],
            "showgrid": False,
        },
        yaxis={"title": {"text": axis_title(index, metric)}, "range": reach(traces, even(metric))},
        shapes=even(metric),
        scattermode="group",
        scattergap=0.4,
    )


def against_temperature(index: Index, spot: Spot, metric: str) -> "Figure":
    """A metric on one data set against temperature, a curve for each policy."""
    scale = scale_of(index, metric)
    traces: list[Spec] = []
    for policy in index.policies:
        known = _by_temperature(index, policy, spot, metric)
        if not known:
            continue
        colour, symbol, dash = style(index, policy)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": text(policy),
                "x": [t for t, _ in known],
                "y": [scale * one.value for _, one in known],
                "error_y": whiskers([one for _, one in known], scale=scale),
                "line": {"color": colour, "dash": dash, "width": 1.8},
                "marker": {"color": colour, "symbol": symbol, "size": 8},
                "customdata": [one.n for _, one in known],
                "hovertemplate": "temperature %{x}: %{y:.4g}, n = %{customdata}",
            }
        )
    ticks = sorted({t for trace in traces for t in cast("list[float]", trace["x"])})
    return figure(
        traces,
        xaxis={"title": {"text": "temperature"}, "tickvals": ticks, "showgrid": False},
        yaxis={"title": {"text": axis_title(index, metric)}, "range": reach(traces, even(metric))},
        shapes=even(metric),
    )


def distribution(index: Index, some: Sequence[WordingAccuracies]) -> "Figure":
    """Accuracy of each policy over the wordings, in percent: every wording a point, and the quartiles."""
    traces: list[Spec] = []
    for one in some:
        colour, symbol, _ = style(index, one.policy)
        traces.append(
            {
                "type": "box",
                "name": text(one.policy),
                "y": [100 * accuracy for accuracy in one.accuracies],
                "boxpoints": "all",
                "jitter": 0.5,
                "pointpos": 0,
                "fillcolor": "rgba(0,0,0,0)",
                "line": {"color": colour, "width": 1.5},
                "marker": {"color": colour, "symbol": symbol, "size": 6, "opacity": 0.75},
                "text": [text(wording[:LONGEST]).replace("\n", " ") for wording in one.wordings],
                "customdata": [one.n] * len(one.accuracies),
                "hovertemplate": "%{y:.1f} %, n = %{customdata}<br>%{text}<extra></extra>",
                "hoveron": "points",
            }
        )
    return figure(
        traces,
        xaxis={"type": "category", "showgrid": False},
        yaxis={"title": {"text": text(f"{some[0].metric}, %")}},
        showlegend=False,
    )


def _by_data(index: Index, metric: str) -> Plot:
    temperature = index.temperature(metric)
    several = len([t for t in index.temperatures if t is not None]) > 1
    asked = f"At {temperature_name(temperature)}. " if several and temperature is not None else ""
    return title(metric), f"{asked}{_caption(index, metric)}".strip(), by_data(index, metric, temperature)


def _curve(index: Index, spot: Spot, metric: str) -> list[Plot]:
    """None where nobody was asked at several temperatures."""
    if not any(len(_by_temperature(index, policy, spot, metric)) > 1 for policy in index.policies):
        return []
    name = f"{title(metric)}: {spot.name}"
    return [(name, _caption(index, metric), against_temperature(index, spot, metric))]


def _by_temperature(index: Index, policy: str, spot: Spot, metric: str) -> list[tuple[float, Estimate]]:
    values = [(t, index.value(policy, spot, t, metric)) for t in index.temperatures if t is not None]
    return [(t, one) for t, one in values if one is not None]


def _wordings(index: Index) -> list[Plot]:
    found: list[Plot] = []
    for data in index.data:
        own = [one for one in index.grid.wordings if one.data == data.name and one.policy in index.policies]
        for metric in dict.fromkeys(one.metric for one in own):
            some = [one for one in own if one.metric == metric]
            caption = (
                f"Each point is one of {len(some[0].wordings)} wordings ({shift_name(data.shift)}). Box: quartiles."
            )
            found.append((f"{title(metric)} by wording: {data.name}", caption, distribution(index, some)))
    return found


def _caption(index: Index, metric: str) -> str:
    if metric == WIN:
        return f"Above 50 % the policy beats {index.grid.baseline or 'the baseline'}."
    if metric.startswith(WIN):
        return "Above 50 % the policy beats the data’s references."
    if metric.startswith(GAP):
        return "In distribution minus out of it: above 0 it is worse out of distribution."
    if is_diversity(metric):
        return "Higher is LESS diverse." if less_is_more(metric) else "Higher is more diverse."
    return ""


def _tick(spot: Spot) -> str:
    return f"{text(spot.name)}<br>{text(spot.shift)}"
