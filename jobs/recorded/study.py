"""`truing evaluate`, `report` and `plan` of a study that asks no model: nothing is looked up and nothing is started."""

import time
from collections.abc import Callable
from typing import Literal

import yaml

from jobs.progress import console, print_table
from jobs.recorded.recorded import source_rows
from jobs.run_path import run_address, run_path
from jobs.store import RunFolder, write_json
from truing.config.study import Study
from truing.errors import ConfigError


def asks_no_model(study: Study) -> bool:
    """Whether the study's evaluation is of recorded files alone."""
    settings = study.evaluate
    return settings is not None and settings.grid is None


def run_evaluate(study: Study) -> None:
    """Figures of the recorded files, then the page; its path is the last line printed.

    Raises:
        ConfigError: there is nothing to evaluate.
    """
    from jobs.context import Context
    from jobs.recorded.recorded import recorded
    from jobs.report import report

    settings = study.evaluate
    assert settings is not None
    if not settings.recorded:
        raise ConfigError(
            "evaluate: it asks no model (grid: null) and names no recorded file; add recorded: [{kind: …, path: …}]"
        )
    context = Context(study, RunFolder(run_path(study)))
    context.save_config()
    begun = time.perf_counter()
    recorded(settings, context.run.path / "evaluation", study.seed)
    spent = context.run.seconds() | {"evaluate": time.perf_counter() - begun}  # all was done anew: nothing to add to
    write_json(context.run.path / "stages" / "seconds.json", spent)
    console.print(f"\n{report(context).resolve()}", soft_wrap=True)


def run_report(study: Study) -> None:
    """The page of what is there; its path is the last line printed.

    Raises:
        ConfigError: there is no such run.
    """
    from jobs.context import Context
    from jobs.report import report

    context = Context(study, RunFolder(run_path(study)))
    if not context.run.path.is_dir():
        raise ConfigError(
            f"{context.run.path}: there is no such run; run `truing evaluate` with this configuration first"
        )
    context.save_config()
    console.print(f"\n{report(context).resolve()}", soft_wrap=True)


def run_images(study: Study, images: Literal["svg", "png"]) -> None:
    """The plots of what is there as files, of any study: no model is asked for them."""
    from jobs.images import write_images

    write_images(study, images)


def show_plan(study: Study) -> None:
    """What would be read."""
    assert study.evaluate is not None
    rows = source_rows(study.evaluate.recorded)
    print_table("Plan", ("recorded", "kind", "file"), rows, f"no model is asked; results go to {run_address(study)}")


def show_config(study: Study) -> None:
    """The resolved configuration, then what would be read."""
    text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True).rstrip()
    console.print(text, markup=False)
    console.print()
    show_plan(study)


COMMANDS: dict[str, Callable[..., None]] = {
    "run_evaluate": run_evaluate,
    "run_images": run_images,
    "run_report": run_report,
    "show_plan": show_plan,
}
"""Commands that a study without models answers in its own way."""
