"""The command line: `truing pipeline|label|train|evaluate|report|plan|serve|harness CONFIG [key=value ...]`."""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Align language models with human and AI feedback, and measure what each stage did to them.",
)

Config = Annotated[Path, typer.Argument(help="A study, e.g. configs/demo.yaml.", show_default=False)]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides.", show_default=False)
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the resolved configuration and the plan, start nothing.")
]


@app.command()
def pipeline(config: Config, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Sample, label, train, evaluate, report; finished stages are not done again."""
    _start("run_pipeline", config, overrides, dry_run)


@app.command()
def label(config: Config, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Draw completions, label them with the AI labeler, and measure how far to trust it."""
    _start("run_label", config, overrides, dry_run)


@app.command()
def train(config: Config, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Train the reward model and the policy on the stored preferences."""
    _start("run_train", config, overrides, dry_run)


@app.command()
def evaluate(config: Config, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Compare start policy, best-of-n and trained policy, in and out of distribution."""
    _start("run_evaluate", config, overrides, dry_run)


@app.command()
def report(config: Config, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Write the run's self-contained HTML page."""
    _start("run_report", config, overrides, dry_run)


@app.command()
def serve(config: Config, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Serve the labeler over HTTP on this machine: compare, score, health."""
    _start("run_serve", config, overrides, dry_run)


@app.command()
def plan(config: Config, overrides: Overrides = None) -> None:
    """Say what a study would do, the memory of each role, and which role takes longest; start nothing."""
    _start("show_plan", config, overrides, dry_run=False)


@app.command()
def harness(
    config: Config,
    tasks: Annotated[str, typer.Option(help="Tasks, groups or tags of lm-eval, parted by commas.", show_default=False)],
    overrides: Overrides = None,
    policy: Annotated[
        str, typer.Option(help="start, policy, rejection, dpo, a model's folder or a Hub name.")
    ] = "start",
    shots: Annotated[
        int | None, typer.Option(min=0, help="Examples before each question; as each task says if absent.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="First items of each task alone, for a trial.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Ask in the model's chat template.")] = False,
    include: Annotated[str | None, typer.Option(help="Folder of your own tasks.")] = None,
) -> None:
    """Run lm-evaluation-harness tasks on a policy through our engines."""
    names = tuple(name.strip() for name in tasks.split(",") if name.strip())
    asked = {"tasks": names, "policy": policy, "shots": shots, "limit": limit, "chat": chat, "include": include}
    _start("run_harness", config, overrides, dry_run=False, **asked)


def _start(name: str, config: Path, overrides: list[str] | None, dry_run: bool, **asked: object) -> None:
    from truing.config.load import load_study

    study = load_study(config, overrides or [])
    from jobs import recorded_study
    from jobs.store import cannot_write

    of_records = recorded_study.COMMANDS if recorded_study.asks_no_model(study) else {}
    if dry_run:
        if name in of_records:
            recorded_study.show_config(study)
        else:
            from jobs.plan import show_config

            show_config(study)
        return
    command = of_records.get(name) or _commands()[name]
    try:
        command(study, **asked)
    except KeyboardInterrupt:
        # Here, not in `main`: Typer would turn it into a return value.
        print("truing: stopped; run the same command again to go on from what is stored", file=sys.stderr, flush=True)
        # At once: threads of a stopped engine must not hold the exit up.
        os._exit(130)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        raise cannot_write(Path(study.storage) / study.name, error) from None


def _commands() -> "dict[str, Callable[..., None]]":
    from jobs import pipeline as stages
    from jobs.harness import run_harness
    from jobs.plan import show_plan
    from jobs.serve import run_serve

    return {
        "run_pipeline": stages.run_pipeline,
        "run_label": stages.run_label,
        "run_train": stages.run_train,
        "run_evaluate": stages.run_evaluate,
        "run_report": stages.run_report,
        "run_harness": run_harness,
        "run_serve": run_serve,
        "show_plan": show_plan,
    }


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """Run; turn every fault that has a remedy into one line and an exit code."""
    from truing.errors import TruingError

    # A cluster is started by `connect` alone, never by a stray call after its end.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    # Set, not inherited: a script's background job is started with SIGINT ignored.
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=False)
    except TruingError as error:
        print(f"truing: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            print(f"truing: {error.format_message().rstrip('.')}; see truing --help", file=sys.stderr)  # pyright: ignore[reportAttributeAccessIssue]
            sys.exit(2)
        raise


if __name__ == "__main__":
    main()
