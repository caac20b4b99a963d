"""`truing report --images`: each plot of a run's page as a file of its own, with its data as CSV beside it.

Chromium draws them: no plot is drawn twice, and nothing is looked up on a network.
"""

import asyncio
import csv
import html
import importlib.util
import io
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from jobs.context import Context
from jobs.progress import console
from jobs.report import contents
from jobs.run_path import run_path
from jobs.store import RunFolder, cannot_write, write_text
from truing.config.study import Study
from truing.errors import ConfigError, TruingError
from truing.report.drawing import INK, text
from truing.report.panels import Panel, panels

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Programs that can draw, by their names on PATH."""
ENVIRONMENT = "TRUING_CHROMIUM"
"""Names another one."""
PATIENCE = 120
"""Seconds for one plot."""
WIDTH, HEIGHT, TITLE = 900, 320, 40
"""Pixels: the width, the height of a plot that says none, and what its title takes of it."""
GRID, RULE = "#e6e9ee", "#d9dee5"
"""The page's own, in its light theme."""
COLUMNS = ("series", "x", "x_low", "x_high", "y", "y_low", "y_high", "n", "detail")
"""Of the data of a plot. Low and high are the ends of the interval."""
COUNT = re.compile(r"n = %\{customdata(?:\[(\d)\])?\}")
"""How a plot says which of its points' own data is n."""

Kind = Literal["svg", "png"]
Plain = dict[str, Any]
"""A plotly figure or a part of it, as plotly.js reads it."""


def write_images(study: Study, kind: Kind) -> None:
    """Draw the plots of the study's run into `figures/` of its folder, as `kind`, "svg" or "png".

    Raises:
        ConfigError: there is no such run, it has no plots, or there is nothing to draw with.
        TruingError: the browser fails, or takes longer than `PATIENCE` for a plot.
    """
    context = Context(study, RunFolder(run_path(study)))
    if not context.run.path.is_dir():
        raise ConfigError(f"{context.run.path}: there is no such run, so it has no plots to draw")
    program = need_browser()
    context.save_config()
    drawn = [panel for section in panels(contents(context, {})).values() for panel in section]
    if not drawn:
        raise ConfigError(f"{context.run.path}: has no plots yet; run `truing evaluate` with its configuration first")
    folder = context.run.path / "figures"
    for panel in drawn:
        write_text(folder / f"{panel.id}.csv", _csv(COLUMNS, points(_plain(panel))))
    write_text(folder / "index.csv", _csv(("plot", "title", "caption", "x", "y"), [_index(panel) for panel in drawn]))
    _draw({folder / f"{panel.id}.{kind}": standalone(panel) for panel in drawn}, program, kind)
    console.print(f"{len(drawn)} plots as {kind}, each with its data as CSV, in {folder}", soft_wrap=True)


def browser() -> str | None:
    """The program that draws: the one that TRUING_CHROMIUM names, else the first that is found on PATH."""
    named = os.environ.get(ENVIRONMENT)
    found = (shutil.which(name) for name in ((named,) if named else BROWSERS))
    return next((path for path in found if path), None)


def need_browser() -> str:
    """The program that draws.

    Raises:
        ConfigError: there is none, or the library that speaks to it is not installed.
    """
    if importlib.util.find_spec("kaleido") is None:
        raise ConfigError("--images: kaleido is not installed; run pip install 'truing[images]'")
    program = browser()
    if program is None:
        named = os.environ.get(ENVIRONMENT)
        what = f"{ENVIRONMENT}={named} is no program" if named else f"no {', '.join(BROWSERS)} on PATH"
        raise ConfigError(f"--images: {what}; install Chromium (Debian: apt-get install chromium) or set {ENVIRONMENT}")
    return program


def standalone(panel: Panel) -> Plain:
    """A plot that stands alone: on white, under its title.

    A whisker that is not known is a word to plotly.js, which draws none: null is drawn as one of length 0.
    """
    plain = _plain(panel)
    for trace in plain["data"]:
        for bars in (trace.get("error_x"), trace.get("error_y")):
            for end in ("array", "arrayminus") if bars else ():
                bars[end] = ["unknown" if size is None else size for size in bars[end]]
    layout: Plain = plain["layout"]
    for name, axis in layout.items():
        if re.fullmatch(r"[xy]axis\d*", name):
            axis.update(gridcolor=GRID, linecolor=RULE, tickcolor=RULE)
            axis["title"] = axis.get("title", {}) | {"font": {"size": 12.5}, "standoff": 8}
    title = {"text": text(panel.title), "font": {"size": 15}, "automargin": True, "pad": {"l": 12, "t": 12}}
    place = {"x": 0, "xref": "container", "xanchor": "left", "y": 1, "yref": "container", "yanchor": "top"}
    layout["title"] = title | place
    layout["height"] = layout.get("height", HEIGHT) + TITLE
    layout |= {"paper_bgcolor": "#fff", "plot_bgcolor": "#fff"}
    layout["font"] = {"color": INK, "size": 12.5, "family": "system-ui, sans-serif"}
    return plain


def points(plain: Plain) -> list[list[str]]:
    """The points of a plot, one a row of `COLUMNS`; what a point has not is ""."""
    found: list[list[str]] = []
    for trace in plain["data"]:
        xs, ys = (_list(trace, axis) for axis in "xy")
        for i in range(max(len(xs), len(ys))):
            x = [_at(xs, i), *_ends(xs, trace.get("error_x"), i)]
            y = [_at(ys, i), *_ends(ys, trace.get("error_y"), i)]
            found.append([_words(trace.get("name", "")), *x, *y, *_own(trace, i)])
    return found


def _draw(plots: Mapping[Path, Plain], program: str, kind: Kind) -> None:
    """Draw each plot into its file, in one browser."""
    from choreographer import errors
    from kaleido import Kaleido
    from kaleido.errors import JavascriptError, KaleidoError

    broken = (errors.BrowserClosedError, errors.BrowserDepsError, errors.BrowserFailedError, errors.ChannelClosedError)

    async def draw() -> None:
        # mathjax would be looked up on a network.
        async with Kaleido(path=program, mathjax=False, timeout=PATIENCE) as drawing:
            for path, plain in plots.items():
                height, scale = plain["layout"]["height"], 2 if kind == "png" else 1
                size: Any = {"format": kind, "width": WIDTH, "height": height, "scale": scale}
                _write(path, await drawing.calc_fig(plain, opts=size))

    try:
        asyncio.run(asyncio.wait_for(draw(), PATIENCE * (1 + len(plots))))
    except TimeoutError:
        raise TruingError(f"--images: {program} has drawn nothing for {PATIENCE} s; run the command again") from None
    except (*broken, errors.DevtoolsProtocolError, JavascriptError, KaleidoError) as error:
        said = " ".join(str(error).split())[:300]
        raise TruingError(f"--images: {program} cannot draw ({said}); name another browser in {ENVIRONMENT}") from None


def _write(path: Path, image: bytes) -> None:
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(image)
        part.replace(path)
    except OSError as error:
        raise cannot_write(path.parent, error) from None


def _plain(panel: Panel) -> Plain:
    return json.loads(str(panel.figure.to_json()))


def _index(panel: Panel) -> list[str]:
    layout = _plain(panel)["layout"]
    titles = [_words(layout[axis].get("title", {}).get("text", "")) for axis in ("xaxis", "yaxis")]
    return [panel.id, panel.title, panel.caption, *titles]


def _list(trace: Plain, key: str) -> list[Any]:
    found = trace.get(key)
    return found if isinstance(found, list) else []


def _at(values: Sequence[Any], i: int) -> str:
    """The i-th value as it is written; a row that it has no value for gets ""."""
    value = values[i] if i < len(values) else None
    if value is None or isinstance(value, str):
        return _words(value or "")
    return f"{value:.10g}"


def _ends(values: Sequence[Any], bars: Plain | None, i: int) -> list[str]:
    if bars is None or i >= len(values):
        return ["", ""]
    down, up = bars["arrayminus"][i], bars["array"][i]
    return [_at([None if down is None else values[i] - down], 0), _at([None if up is None else values[i] + up], 0)]


def _own(trace: Plain, i: int) -> list[str]:
    """n, and what else the plot says of the point."""
    own, said = _list(trace, "customdata"), COUNT.search(trace.get("hovertemplate") or "")
    words = _at(_list(trace, "text"), i)
    if i >= len(own):
        return ["", words]
    if said is None:
        return ["", words or _at(own, i)]
    return [_at(own if said[1] is None else own[i], i if said[1] is None else int(said[1])), words]


def _words(marked: str) -> str:
    """Text without plotly's markup."""
    return html.unescape(marked.replace("<br>", " "))


def _csv(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text_of = io.StringIO()
    writer = csv.writer(text_of, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text_of.getvalue()
