"""`Contents` as one HTML page that loads nothing: styles, plotly.js, figures and texts are all inside it.

All text of models and data sets is untrusted: Jinja2 escapes it, figures travel as script-safe JSON, and a content
security policy forbids the page every load.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from truing.report import (
    grid_cards,
    grid_findings,
    grid_samples,
    grid_tables,
    notation,
    recorded_findings,
    recorded_tables,
    trust_tables,
)
from truing.report.contents import Contents, Step, Table
from truing.report.drawing import INK, NEUTRAL, PALETTE
from truing.report.grid_drawing import swatches
from truing.report.headline import cards
from truing.report.panels import panels

if TYPE_CHECKING:
    from jinja2 import Environment
    from plotly.graph_objects import Figure  # pyright: ignore[reportMissingTypeStubs]


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

    by_section = panels(contents)
    drawn = {panel.id: panel.figure for section in by_section.values() for panel in section}
    json_by_id = ",".join(f"{json.dumps(key)}:{_json(figure)}" for key, figure in drawn.items())
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            contents=contents,
            notation=notation,
            cards=(grid_cards.cards(contents.grid) if contents.grid else ()) + cards(contents),
            panels=by_section,
            trust_tables=trust_tables,
            recorded_tables=recorded_tables,
            recorded_findings=recorded_findings,
            grid_tables=grid_tables,
            grid_findings=grid_findings,
            grid_samples=grid_samples,
            grid_costs=text_table(grid_tables.cost_table(contents.grid)) if contents.grid else None,
            grid_swatches=swatches(contents.grid) if contents.grid else {},
            tables=[text_table(table) for table in contents.stages],
            nodes=text_table(contents.nodes) if contents.nodes else None,
            steps=text_table(_steps_table(contents.steps)),
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
