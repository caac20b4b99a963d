"""`truing evaluate`, `report` and `plan` of a study that asks no model: nothing is looked up and nothing is started."""

import time
from collections.abc import Callable
from pathlib import Path

import yaml

from jobs.progress import console, print_table
from jobs.recorded import source_rows
from jobs.store import RunFolder, write_json
from truing.config.study import Study
from truing.errors import ConfigError


def asks_no_model(study: Study) -> bool:
    """Whether the study's evaluation is of recorded files alone."""
    return study.evaluate is not None and not study.evaluate.policies


def run_evaluate(study: Study) -> None:
    """Figures of the recorded files, then the page; its path is the last line printed.

    Raises:
        ConfigError: there is nothing to evaluate.
    """
    from jobs.context import Context
    from jobs.recorded import recorded
    from jobs.report import report

    settings = study.evaluate
    assert settings is not None
    if not settings.recorded:
        raise ConfigError("evaluate: neither policies nor recorded files are named; add recorded: [{kind: …, path: …}]")
    context = Context(study, RunFolder(Path(study.storage) / study.name))
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

    context = Context(study, RunFolder(Path(study.storage) / study.name))
    if not context.run.path.is_dir():
        raise ConfigError(
            f"{context.run.path}: there is no such run; run `truing evaluate` with this configuration first"
        )
    context.save_config()
    console.print(f"\n{report(context).resolve()}", soft_wrap=True)


def show_plan(study: Study) -> None:
    """What would be read."""
    assert study.evaluate is not None
    folder = Path(study.storage) / study.name
    rows = source_rows(study.evaluate.recorded)
    print_table("Plan", ("recorded", "kind", "file"), rows, f"no model is asked; results go to {folder}")


def show_config(study: Study) -> None:
    """The resolved configuration, then what would be read."""
    text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True).rstrip()
    console.print(text, markup=False)
    console.print()
    show_plan(study)


COMMANDS: dict[str, Callable[[Study], None]] = {
    "run_evaluate": run_evaluate,
    "run_report": run_report,
    "show_plan": show_plan,
}
"""Commands that a study without models answers in its own way."""
