"""Which plots the sections of a page have, and how to read them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from truing.report import figures, grid_plots, recorded_plots, trust_figures
from truing.report.contents import LENGTHS, Contents, LabelerTrust, Measured, Step
from truing.report.trust_tables import confidences, series

if TYPE_CHECKING:
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]

SERIES = 4
"""Most labelers in one plot."""


@dataclass(frozen=True)
class Panel:
    """One plot of a section: `id` is that of its element, `caption` says how to read it."""

    id: str
    title: str
    caption: str
    figure: "Figure"


def panels(contents: Contents) -> Mapping[str, list[Panel]]:
    """The plots by section; those of the i-th set of an agreement study are agreement-i, of the j-th table of
    the i-th recorded source recorded-i-j; those of the grid begin with grid-."""
    found: dict[str, list[Panel]] = {"rl": _steps(contents.steps), "model": _model(contents)}
    costs = contents.costs
    found["time"] = [Panel("plot-time", "Wall-clock time", "", figures.stage_times(costs))] if costs else []
    found["labeler"] = trust_panels("labeler", contents.measured) if contents.measured else []
    for i, each in enumerate(contents.agreement):
        found[f"agreement-{i}"] = trust_panels(f"agreement-{i}", each.measured)
    for i, one in enumerate(contents.recorded):
        for j, beside in enumerate(recorded_plots.plots(one)):
            found[f"recorded-{i}-{j}"] = [Panel(f"plot-recorded-{i}-{j}-{k}", *plot) for k, plot in enumerate(beside)]
    for part, some in (grid_plots.plots(contents.grid) if contents.grid else {}).items():
        found[f"grid-{part}"] = [Panel(f"plot-grid-{part}-{k}", *plot) for k, plot in enumerate(some)]
    return found


def trust_panels(section: str, measured: Measured) -> list[Panel]:
    """Reliability, agreement by length and by confidence: three plots for each labeler, or for all that were asked alike.

    At most `SERIES` ways of asking, or labelers, share a plot; the others are in the next one.
    """
    labelers = measured.labelers
    alike = len({one.asking for one in labelers}) == 1 or len({one.labeler for one in labelers}) == 1
    together: dict[str, list[LabelerTrust]] = {}
    for one in labelers:
        together.setdefault("" if alike else f": {one.labeler}", []).append(one)
    found: list[Panel] = []
    for of, some in together.items():
        named = list(zip(series(some), some, strict=True))
        for i in range(0, len(named), SERIES):
            part = f" ({i // SERIES + 1} of {math.ceil(len(named) / SERIES)})" if len(named) > SERIES else ""
            found += _trust(f"plot-{section}-{{}}-{len(found)}", of + part, named[i : i + SERIES])
    return found


def _trust(id_of: str, part: str, labelers: Sequence[tuple[str, LabelerTrust]]) -> list[Panel]:
    found: list[Panel] = []
    if any(one.bins for _, one in labelers):
        beside = ", written beside it" if len(labelers) == 1 else ""
        caption = f"Below the dotted line it is surer than it is right. A point's area is its number of pairs{beside}."
        figure = trust_figures.reliability([(name, one.bins) for name, one in labelers])
        found.append(Panel(id_of.format("reliability"), f"Reliability{part}", caption, figure))
    if any(one.by_length for _, one in labelers):
        caption = "Much: by more than the median difference. A rise to the right: longer responses are favoured."
        groups = [(name, one.by_length) for name, one in labelers]
        figure = trust_figures.agreement_by(groups, LENGTHS, "people prefer a response that is …")
        found.append(Panel(id_of.format("length"), f"Agreement by length{part}", caption, figure))
    if any(one.by_confidence for _, one in labelers):
        caption = "A rise to the right: where it is sure, it is worth more. Bars: 95 % interval; dotted: a coin flip."
        groups = [(name, one.by_confidence) for name, one in labelers]
        order = confidences([one for _, one in labelers])
        figure = trust_figures.agreement_by(groups, order, "confidence")
        found.append(Panel(id_of.format("confidence"), f"Agreement by confidence{part}", caption, figure))
    return found


def _model(contents: Contents) -> list[Panel]:
    model, found = contents.reward_model, list[Panel]()
    if model and any(b.n > 0 for b in model.calibration):
        caption = "On the dotted line, the model is as sure as it is right. A point's area is its number of pairs."
        found.append(Panel("plot-calibration", "Calibration", caption, figures.calibration(model.calibration)))
    if model and model.losses:
        figure = figures.reward_model_loss(model.losses)
        found.append(Panel("plot-loss", "Training loss", "Dotted: ln 2, a coin flip.", figure))
    return found


def _steps(steps: tuple[Step, ...]) -> list[Panel]:
    if not steps:
        return []
    return [
        Panel("plot-reward", "Reward and its parts", "Mean over the step's rollouts.", figures.reward_curves(steps)),
        Panel("plot-kl", "KL to the reference", "How far the policy has moved.", figures.kl_curve(steps)),
        Panel(
            "plot-gap",
            "Log-prob gap, sampler to learner",
            "Large means the sampler lags behind the weights.",
            figures.logprob_gap_curve(steps),
        ),
        Panel("plot-entropy", "Entropy", "Towards 0 the policy repeats itself.", figures.entropy_curve(steps)),
        Panel("plot-length", "Response length", "A rise may be reward for length alone.", figures.length_curve(steps)),
        Panel("plot-gradient", "Gradient norm", "Spikes point at unstable updates.", figures.gradient_curve(steps)),
    ]
