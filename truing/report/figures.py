"""The plots, one function each: parts of `Contents` in, a plotly figure out."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from truing.report.contents import CalibrationBin, Step
from truing.report.drawing import (
    NEUTRAL,
    PALETTE,
    Spec,
    areas,
    diagonal,
    figure,
    line,
    text,
)
from truing.report.notation import duration

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

PERCENT_TICKS = [0, 25, 50, 75, 100]


def reward_curves(steps: Sequence[Step]) -> "Figure":
    """The total reward of each RL step, and its parts."""
    xs = [step.step for step in steps]
    curves = [line("reward", xs, [step.reward for step in steps], 0, PALETTE[0])]
    parts = dict.fromkeys(part for step in steps for part in step.parts)
    for i, part in enumerate(parts, start=1):
        ys = [step.parts.get(part, math.nan) for step in steps]
        curves.append(line(part, xs, ys, i, PALETTE[i % len(PALETTE)]))
    return _by_step(curves, "mean reward")


def kl_curve(steps: Sequence[Step]) -> "Figure":
    """KL of the policy to the reference at each RL step."""
    ys = [step.kl for step in steps]
    return _by_step([line("KL", [step.step for step in steps], ys, 0, PALETTE[1])], "nats a response")


def logprob_gap_curve(steps: Sequence[Step]) -> "Figure":
    """How far the sampler's log-probabilities are from the learner's at each RL step."""
    ys = [step.logprob_gap for step in steps]
    return _by_step([line("log-prob gap", [step.step for step in steps], ys, 0, PALETTE[3])], "nats a token")


def entropy_curve(steps: Sequence[Step]) -> "Figure":
    """Entropy of the policy at each RL step."""
    ys = [step.entropy for step in steps]
    return _by_step([line("entropy", [step.step for step in steps], ys, 0, PALETTE[2])], "nats a token")


def length_curve(steps: Sequence[Step]) -> "Figure":
    """Mean response length at each RL step."""
    ys = [step.length for step in steps]
    return _by_step([line("length", [step.step for step in steps], ys, 0, PALETTE[4])], "tokens a response")


def gradient_curve(steps: Sequence[Step]) -> "Figure":
    """Norm of the gradient at each RL step."""
    ys = [step.grad_norm for step in steps]
    return _by_step([line("gradient norm", [step.step for step in steps], ys, 0, PALETTE[5])], "norm")


def calibration(bins: Sequence[CalibrationBin]) -> "Figure":
    """Predicted against observed share of preferred responses, percent: the area of a point is its number of pairs.

    On the diagonal predictions are perfect. Bins without a pair are left out.
    """
    filled = [b for b in bins if b.n > 0]
    largest = max((b.n for b in filled), default=1)
    points: Spec = {
        "type": "scatter",
        "mode": "markers",
        "name": "reward model",
        "x": [100 * b.predicted for b in filled],
        "y": [100 * b.observed for b in filled],
        "marker": {"color": PALETTE[0], **areas([b.n for b in filled], largest)},
        "customdata": [[100 * b.low, 100 * b.high, b.n] for b in filled],
        "hovertemplate": "%{customdata[0]:.0f}–%{customdata[1]:.0f} %, n = %{customdata[2]}: "
        "predicted %{x:.1f} %, observed %{y:.1f} %<extra></extra>",
    }
    ends: Spec = {"range": [-6, 106], "tickvals": PERCENT_TICKS}
    return figure(
        [diagonal(0), points],
        xaxis={**ends, "title": {"text": "predicted, %"}},
        yaxis={**ends, "title": {"text": "observed, %"}},
    )


def reward_model_loss(losses: Sequence[float]) -> "Figure":
    """Training loss of the reward model at each step, and ln 2: the loss of one that knows nothing."""
    steps = list(range(1, len(losses) + 1))
    chance: Spec = {**line("ln 2: knows nothing", steps, [math.log(2)] * len(losses), 2, NEUTRAL), "mode": "lines"}
    return _by_step([line("loss", steps, losses, 0, PALETTE[0]), chance], "nats a pair")


def stage_times(costs: Sequence[tuple[str, float]]) -> "Figure":
    """Wall-clock seconds of each stage, the first on top."""
    bars: Spec = {
        "type": "bar",
        "orientation": "h",
        "name": "time",
        "y": [text(stage) for stage, _ in costs],
        "x": [seconds for _, seconds in costs],
        "text": [duration(seconds) for _, seconds in costs],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": PALETTE[0]},
        "hovertemplate": "%{y}: %{text}<extra></extra>",
    }
    longest = max((seconds for _, seconds in costs if math.isfinite(seconds)), default=1.0)
    return figure(
        [bars],
        xaxis={"title": {"text": "seconds"}, "range": [0, 1.25 * longest]},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False},
        height=max(180, 80 + 38 * len(costs)),
        showlegend=False,
    )


def _by_step(curves: Sequence[Spec], title: str) -> "Figure":
    return figure(
        curves,
        xaxis={"title": {"text": "step"}, "tickformat": "d", "showgrid": False},
        yaxis={"title": {"text": title}},
        hovermode="x unified",
        showlegend=len(curves) > 1,
    )
