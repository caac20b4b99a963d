"""What the terminal shows of a grid: a table for each data set, then what it says in sentences."""

from collections.abc import Sequence

from jobs.progress import console, print_table
from truing.evaluation.figure import Figure
from truing.evaluation.grid_figures import GAP, is_quality
from truing.evaluation.policy_figures import DELTA, SHARE
from truing.report.grid_contents import Grid
from truing.report.grid_figures import shift_name
from truing.report.grid_findings import findings
from truing.report.notation import MISSING

COLUMNS = 4
"""Metrics beside each other."""
SHOWN = ("KL", "words")
"""Shown beside quality and diversity."""


def show(found: Grid) -> None:
    """Tables of the main figures; all of them are in the files and on the page."""
    for data in found.data:
        own = [f for f in found.figures if f.data == data.name and not f.metric.startswith((DELTA, GAP))]
        metrics = list(dict.fromkeys(f.metric for f in own if _main(f.metric, own)))
        metrics.sort(key=lambda metric: not is_quality(metric))
        for i in range(0, len(metrics), COLUMNS):
            title = f"{data.name} ({shift_name(data.shift)}, {data.prompts} items)"
            _table(title if i == 0 else "", own, metrics[i : i + COLUMNS])
    for sentence in findings(found):
        console.print(f"  {sentence}", soft_wrap=True)


def _main(metric: str, figures: Sequence[Figure]) -> bool:
    """Whether the metric is worth a column; of accuracies in many wordings four figures over all of them are."""
    if metric.startswith("accuracy"):
        worded = any(f.metric == metric and f.variant for f in figures)
        less = metric.startswith(("accuracy, per byte", "accuracy, mutual")) or metric.endswith(" wording")
        return not worded and not less
    return is_quality(metric) or metric in SHOWN or metric.endswith((" per input", " across inputs"))


def _table(title: str, figures: Sequence[Figure], metrics: Sequence[str]) -> None:
    known = {(f.policy, f.temperature, f.variant, f.metric): f for f in figures}
    places = dict.fromkeys(key[:3] for key in known if key[3] in metrics)
    worded = any(variant for _, _, variant in places)
    rows: list[list[str]] = []
    for policy, temperature, variant in places:
        cells = [_cell(known.get((policy, temperature, variant, metric))) for metric in metrics]
        sampled = "" if temperature is None else f"{temperature:g}"
        rows.append([policy, sampled, *([variant] if worded else []), *cells])
    units = [_unit(figures, metric) for metric in metrics]
    heads = [f"{metric}, {unit}" if unit else metric for metric, unit in zip(metrics, units, strict=True)]
    print_table(title, ["policy", "T", *(["wording"] if worded else []), *heads], rows)


def _cell(figure: Figure | None) -> str:
    """The value with its interval, shares in percent."""
    if figure is None or figure.value is None:
        return MISSING
    scale, digits = (100, 1) if figure.unit == SHARE else (1, 2 if figure.unit else 3)
    value = f"{scale * figure.value:.{digits}f}"
    if figure.low is None or figure.high is None:
        return value
    return f"{value} ({scale * figure.low:.{digits}f} to {scale * figure.high:.{digits}f})"


def _unit(figures: Sequence[Figure], metric: str) -> str:
    unit = next(f.unit for f in figures if f.metric == metric)
    return "%" if unit == SHARE else "" if unit == metric else unit
