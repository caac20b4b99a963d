"""`Contents` as one HTML page that loads nothing: styles, plotly.js, figures and texts are all inside it.

All text of models and data sets is untrusted: Jinja2 escapes it, figures travel as script-safe JSON, and a content
security policy forbids the page every load.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from truing.report import figures, notation
from truing.report.contents import SPLITS, Contents, PolicyResult, Sample, Step, Table, policies, start_policy
from truing.report.drawing import INK, NEUTRAL, PALETTE, style
from truing.report.headline import SPLIT_NAMES, cards

if TYPE_CHECKING:
    from jinja2 import Environment
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]


@dataclass(frozen=True)
class Panel:
    """One plot of a section: `id` is that of its element, `caption` says how to read it."""

    id: str
    title: str
    caption: str
    figure: "Figure"


@dataclass(frozen=True)
class TextTable:
    """A table as written out; `right` marks the columns of numbers."""

    title: str
    columns: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def render(contents: Contents) -> str:
    """The page as text. A section without figures says that it was not run."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs  # pyright: ignore[reportMissingTypeStubs]

    panels = _panels(contents)
    drawn = {panel.id: panel.figure for section in panels.values() for panel in section}
    json_by_id = ",".join(f"{json.dumps(key)}:{_json(figure)}" for key, figure in drawn.items())
    start = start_policy(contents.results)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            contents=contents,
            notation=notation,
            split_names=SPLIT_NAMES,
            cards=cards(contents),
            panels=panels,
            tables=[text_table(table) for table in contents.stages],
            steps=text_table(_steps_table(contents.steps)),
            start=start,
            swatches={policy: style(contents.results, policy)[0] for policy in policies(contents.results)},
            by_split={split: [r for r in contents.results if r.split == split] for split in SPLITS},
            parts=tuple(dict.fromkeys(part for result in contents.results for part in result.parts)),
            domains=tuple(sorted({sample.domain for sample in contents.samples})),
            answers=[_answers(sample, policies(contents.results)) for sample in contents.samples],
            colours={INK: "--ink", NEUTRAL: "--neutral"} | {hue: f"--series-{i}" for i, hue in enumerate(PALETTE)},
            figures_json=Markup(script_safe(f"{{{json_by_id}}}")),  # noqa: S704 - escaped by script_safe
            plotly_js=Markup(get_plotlyjs()) if drawn else None,  # noqa: S704 - the library itself
        )
    )


def write(contents: Contents, path: Path) -> None:
    """Write the page to `path`, under a temporary name first: nobody ever sees half of it.

    Text that is no Unicode (a lone surrogate) becomes "?". Raises OSError where the folder is missing or full.
    """
    page = render(contents).encode("utf-8", errors="replace")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(page)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def script_safe(text: str) -> str:
    """JSON text that neither ends nor comments out a <script> element: the same values, other spelling."""
    spellings = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return text.translate(str.maketrans(spellings))


def text_table(table: Table) -> TextTable:
    """`table` with every cell written out, the numbers of a column with the same decimals."""
    cells = [[row[i] for row in table.rows] for i in range(len(table.columns))]
    written = [notation.column(column) for column in cells]
    return TextTable(
        title=table.title,
        columns=table.columns,
        right=tuple(notation.numeric(column) for column in cells),
        rows=tuple(zip(*written, strict=True)),
        note=table.note,
    )


def _panels(contents: Contents) -> Mapping[str, list[Panel]]:
    results, steps, model = contents.results, contents.steps, contents.reward_model
    panels: dict[str, list[Panel]] = {"win": [], "diversity": [], "rl": _step_panels(steps), "model": [], "time": []}
    if any(result.win_rate for result in results):
        caption = "Above 50 % the policy beats the start policy. Bars: 95 % interval; across 50 % it proves nothing."
        panels["win"].append(Panel("plot-win", "Win rate by split", caption, figures.win_rates(results)))
    if any(result.kl for result in results):
        caption = "Up is more reward, right is further from the reference. Symbols: " + ", ".join(
            f"{symbol} {SPLIT_NAMES[split].lower()}" for symbol, split in zip("●◆■", SPLITS, strict=True)
        )
        panels["win"].append(Panel("plot-reward-kl", "Reward and its price in KL", caption, figures.reward_kl(results)))
    for split in SPLITS:
        if any(r.split == split and _has_diversity(r) for r in results):
            title, figure = SPLIT_NAMES[split], figures.diversity(results, split)
            panels["diversity"].append(Panel(f"plot-diversity-{split}", title, "", figure))
    if model and any(b.n > 0 for b in model.calibration):
        caption = "On the dotted line, the model is as sure as it is right. A point's area is its number of pairs."
        panels["model"].append(
            Panel("plot-calibration", "Calibration", caption, figures.calibration(model.calibration))
        )
    if model and model.losses:
        figure = figures.reward_model_loss(model.losses)
        panels["model"].append(Panel("plot-loss", "Training loss", "Dotted: ln 2, a coin flip.", figure))
    if contents.costs:
        panels["time"].append(Panel("plot-time", "Wall-clock time", "", figures.stage_times(contents.costs)))
    return panels


def _step_panels(steps: tuple[Step, ...]) -> list[Panel]:
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


def _has_diversity(result: PolicyResult) -> bool:
    return any((result.ead_per_input, result.ead_across, result.sbert_per_input, result.sbert_across))


def _steps_table(steps: tuple[Step, ...]) -> Table:
    parts = tuple(dict.fromkeys(part for step in steps for part in step.parts))
    measures = ("KL", "entropy", "log-prob gap", "ratio", "length", "grad norm", "seconds")
    rows = tuple(
        (
            *(s.step, s.reward, *(s.parts.get(part) for part in parts)),
            *(s.kl, s.entropy, s.logprob_gap, s.ratio, s.length, s.grad_norm, s.seconds),
        )
        for s in steps
    )
    return Table("Every step", ("step", "reward", *parts, *measures), rows)


def _answers(sample: Sample, order: tuple[str, ...]) -> list[tuple[str, str | None, float | None]]:
    names = dict.fromkeys((*(name for name in order if name in sample.outputs), *sample.outputs))
    return [(name, sample.outputs.get(name), sample.rewards.get(name)) for name in names]


def _json(figure: "Figure") -> str:
    return str(figure.to_json())  # pyright: ignore[reportUnknownMemberType] - plotly has no stubs


def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
