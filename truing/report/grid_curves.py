"""What quality costs: reward over KL with best-of-n as the reference curve (Gao et al., arXiv 2210.10760), and diversity."""

from truing.evaluation.output_scores import PER
from truing.report.contents import Estimate
from truing.report.drawing import NEUTRAL, Spec, figure, text
from truing.report.grid_drawing import Plot, Points, axis_title, curve, even, reach, scale_of, title
from truing.report.grid_figures import KL, REWARD, Index, Spot, less_is_more


def frontier(index: Index) -> list[Plot]:
    """Reward over KL on each data set, a point for each policy and temperature that has both."""
    caption = "Up is more reward, right is further from {}; a point for each temperature."
    named = caption.format(index.grid.baseline or "the reference")
    if _bases(index):
        named += " Dotted: best of n of one policy, by n, over the bound log n − (n−1)/n of its KL."
    found: list[Plot] = []
    for spot in index.spots(KL):
        points = {policy: _over(index, policy, spot, KL, REWARD) for policy in index.policies}
        if any(points.values()):
            lines = [line for base in _bases(index) for line in _best_of(index, base, spot)]
            traces = [*lines, *(curve(index, policy, own, 1) for policy, own in points.items() if own)]
            for trace in traces[len(lines) :]:
                trace["mode"] = "markers"
            drawn = figure(
                traces,
                xaxis={"title": {"text": axis_title(index, KL)}},
                yaxis={"title": {"text": axis_title(index, REWARD)}},
            )
            found.append((f"Reward over KL: {spot.name}", named, drawn))
    return found


def trade_off(index: Index) -> list[Plot]:
    """Quality over diversity per input on each data set, a curve for each policy over the temperatures."""
    found: list[Plot] = []
    for spot in (Spot(data) for data in index.data):
        diversity = next((m for m in index.diversity(PER) if _anyone(index, spot, m)), None)
        quality = next((m for m in index.quality if _anyone(index, spot, m)), None)
        if diversity is None or quality is None:
            continue
        scale = scale_of(index, quality)
        points = {policy: _over(index, policy, spot, diversity, quality) for policy in index.policies}
        traces = [curve(index, policy, own, scale) for policy, own in points.items() if own]
        if traces:
            right = "left" if less_is_more(diversity) else "right"
            caption = f"Up is better, {right} is more diverse; beside points: temperature."
            drawn = figure(
                traces,
                xaxis={"title": {"text": axis_title(index, diversity)}},
                yaxis={"title": {"text": axis_title(index, quality)}, "range": reach(traces, even(quality))},
                shapes=even(quality),
            )
            found.append((f"{title(quality)} over diversity: {spot.name}", caption, drawn))
    return found


def _bases(index: Index) -> list[str]:
    """The policies that best-of-n policies are made from."""
    return list(dict.fromkeys(policy.best_of[1] for policy in index.grid.policies if policy.best_of))


def _best_of(index: Index, base: str, spot: Spot) -> list[Spec]:
    """Reward over the bound of the KL by n, a line for each temperature; n = 1 is the policy itself, at KL 0."""
    sizes = sorted((p.best_of[0], p.name) for p in index.grid.policies if p.best_of and p.best_of[1] == base)
    found: list[Spec] = []
    for t in index.temperatures:
        own = index.value(base, spot, t, REWARD)
        points = [(1, 0.0, own.value)] if own is not None else []
        for n, policy in sizes:
            kl, reward = index.value(policy, spot, t, KL), index.value(policy, spot, t, REWARD)
            points += [(n, kl.value, reward.value)] if kl is not None and reward is not None else []
        if len(points) > 1:
            found.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": text(f"best of n of {base}"),
                    "legendgroup": text(f"best of n of {base}"),
                    "showlegend": not found,
                    "x": [x for _, x, _ in points],
                    "y": [y for _, _, y in points],
                    "line": {"color": NEUTRAL, "dash": "dot", "width": 1.5},
                    "customdata": [f"best of {n}" for n, _, _ in points],
                    "hovertemplate": "%{x:.3g}, %{y:.4g}: %{customdata}",
                }
            )
    return found


def _over(index: Index, policy: str, spot: Spot, across: str, up: str) -> Points:
    """The points that have both. The baseline's KL to itself is 0 where nobody measured it."""
    found: list[tuple[float | None, Estimate, Estimate]] = []
    for t in index.temperatures:
        x, y = index.value(policy, spot, t, across), index.value(policy, spot, t, up)
        if x is None and y is not None and across == KL and policy == index.grid.baseline:
            x = Estimate(0.0, None, None, y.n)
        if x is not None and y is not None:
            found.append((t, x, y))
    return found


def _anyone(index: Index, spot: Spot, metric: str) -> bool:
    return any(spot.data.name == f.data and f.variant == spot.variant for f in index.defined(metric))
