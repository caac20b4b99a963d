"""`truing report` of two runs: one page with the figures of both beside each other. No model is asked or looked up."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from jobs.cluster.mirror import mirrored
from jobs.grid.outputs import HOME
from jobs.progress import console
from jobs.recorded.store import read_figure_rows
from jobs.run_path import run_path
from jobs.store import cannot_write
from truing.config.load import load_study
from truing.errors import ConfigError
from truing.evaluation.figure import Figure
from truing.report.comparison_page import ComparedRun, write

CONFIG = "study.yaml"
"""What makes a folder a run."""


@dataclass(frozen=True)
class Named:
    """What `truing report` was given: the names of runs, and overrides."""

    runs: tuple[str, ...]
    overrides: tuple[str, ...]


def named(arguments: list[str]) -> Named:
    """Tell runs from overrides: what holds `=` and is no file or folder is an override.

    Raises:
        ConfigError: no run is named, or more than two are.
    """
    overrides = tuple(one for one in arguments if "=" in one and not Path(one).exists())
    runs = tuple(one for one in arguments if one not in overrides)
    if not 1 <= len(runs) <= 2:
        given = f"{len(runs)} runs are named" if runs else "no run is named"
        raise ConfigError(f"report: {given}; name one to write its page, or two to compare them")
    return Named(runs, overrides)


def configuration(run: str, overrides: tuple[str, ...]) -> tuple[Path, list[str]]:
    """The configuration file of a run, and the overrides that it is read with. A run's folder is where it is, wherever
    it was made.

    Raises:
        ConfigError: there is neither such a folder nor such a file, or the folder is no run.
    """
    path = _existing(run)
    if not path.is_dir():
        return path, list(overrides)
    home = Path(os.path.normpath(path.absolute()))
    study = load_study(path / CONFIG, list(overrides))
    if run_path(study).resolve() == home.resolve():
        return path / CONFIG, list(overrides)
    return path / CONFIG, [*overrides, f"storage={_quoted(str(home.parent))}", f"name={_quoted(home.name)}"]


def compare_runs(names: Named, dry_run: bool) -> None:
    """Write `comparison.html` into the first run's folder; its path is the last line printed.

    Raises:
        ConfigError: there is no such run, it has no figures, or both are the same.
        TruingError: the folder cannot be written.
    """
    with ExitStack() as kept:
        first, second = (_folder(run, names.overrides, kept) for run in names.runs)
        _compare(first, second, dry_run)


def _compare(first: Path, second: Path, dry_run: bool) -> None:
    if first.resolve() == second.resolve():
        raise ConfigError(f"{second}: is named twice; name two different runs to compare")
    left, right = _read(first), _read(second)
    path = first / "comparison.html"
    if dry_run:
        console.print(f"{first} and {second} would be compared in {path}", soft_wrap=True)
        return
    try:
        said = write(left, right, path)
    except OSError as error:
        raise cannot_write(first, error) from None
    console.print(f"{said}\n\n{path.resolve()}", markup=False, soft_wrap=True)


def _existing(run: str) -> Path:
    path = Path(run)
    if not path.exists():
        raise ConfigError(
            f"{run}: there is no such run or configuration; name a run's folder, a configuration file or key.path=value"
        )
    if path.is_dir() and not (path / CONFIG).is_file():
        raise ConfigError(f"{run}: has no {CONFIG}, so it is no run; name the folder of a run, such as runs/demo")
    return path


def _folder(run: str, overrides: tuple[str, ...], kept: ExitStack) -> Path:
    """The folder of a run that is named by it, or by its configuration; kept at its URI, if it has one, until `kept` ends."""
    path = _existing(run)
    if path.is_dir():
        return path
    study = load_study(path, list(overrides))
    kept.enter_context(mirrored(study))
    folder = run_path(study)
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder}: there is no such run; run `truing evaluate {run}` first")
    return folder


def _read(folder: Path) -> ComparedRun:
    try:
        study: Any = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder / CONFIG}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(study, dict):
        raise ConfigError(f"{folder / CONFIG}: holds no keys; a study begins with `name: ...`")
    parts = {
        "Grid": _stored(folder / HOME),
        "Recorded files": _stored(folder / "evaluation"),
    }
    figures = {part: some for part, some in parts.items() if some}
    if not figures:
        raise ConfigError(f"{folder}: holds no figures yet; run `truing evaluate {folder / CONFIG}` first")
    return ComparedRun(str(study.get("name", folder.name)), str(folder), study, figures)


def _stored(folder: Path) -> list[Figure]:
    return read_figure_rows(folder) if (folder / "figures.parquet").is_file() else []


def _quoted(text: str) -> str:
    """A text as YAML reads it back, whatever it looks like."""
    return yaml.safe_dump(text, default_style='"', width=10**6, allow_unicode=True).strip()
