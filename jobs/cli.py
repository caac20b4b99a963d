"""The command line: `truing pipeline|label|train|evaluate|report|plan|doctor|serve|harness|submit CONFIG [key=value ...]`,
`truing report RUN RUN`, `truing jobs`, `truing status RUN` and `truing keys [SECTION]`."""

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Literal

import typer

from jobs.ending import STOPPED, connected, heed_signals, leave, stoppable

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
    """Measure the AI labeler against people, then label your pairs or drawn completions; agreement studies, wordings."""
    _start("run_label", config, overrides, dry_run)


@app.command()
def train(config: Config, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Train what the study names: SFT, reward model, DPO, rejection sampling, the policy by RL."""
    _start("run_train", config, overrides, dry_run)


@app.command()
def evaluate(config: Config, overrides: Overrides = None, dry_run: DryRun = False) -> None:
    """Measure a grid of policies in and out of distribution, and files of recorded outputs and verdicts."""
    _start("run_evaluate", config, overrides, dry_run)


@app.command()
def report(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN [RUN] [KEY=VALUE]...", help="A run's folder or its study.", show_default=False),
    ],
    images: Annotated[
        Literal["svg", "png"] | None,
        typer.Option(help="Write each plot, and its data as CSV, into figures/ of the run too.", show_default=False),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Write a run's self-contained HTML page; of two runs, one page that compares them."""
    from jobs.compare_runs import compare_runs, configuration, named
    from truing.errors import ConfigError

    given = named(runs)
    if len(given.runs) == 2:
        if images:
            raise ConfigError("--images: draws the plots of one run; name one")
        compare_runs(given, dry_run)
        return
    config, overrides = configuration(given.runs[0], given.overrides)
    if images and not dry_run:
        _start("run_images", config, overrides, dry_run, images=images)
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
def doctor(config: Config, overrides: Overrides = None) -> None:
    """Try out what a study needs: versions, devices, cluster, storage, a collective, an engine; a line each, nothing is kept."""
    from jobs.doctor.doctor import run_doctor
    from truing.config.load import load_study

    # Not as the others are started: where something is broken, what they import could not say so.
    with stoppable("stopped"):
        run_doctor(load_study(config, overrides or []))


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


Address = Annotated[str, typer.Option(help="The job server of a cluster.", envvar="RAY_API_SERVER_ADDRESS")]
SERVER = "http://127.0.0.1:8265"
"""Where a job server listens unless it was told otherwise; a cluster's is reached through `ray dashboard cluster.yaml`."""


@app.command()
def submit(
    config: Config,
    overrides: Overrides = None,
    command: Annotated[
        Literal["pipeline", "label", "train", "evaluate"], typer.Option(help="What to run.")
    ] = "pipeline",
    address: Address = SERVER,
    cpus: Annotated[float, typer.Option(min=0, help="CPUs reserved for the driver.")] = 0.0,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for its end.")] = False,
) -> None:
    """Run a study as a Ray job, and show its log; Ctrl-C leaves it running. Submitted again, it goes on where it was."""
    from jobs.cluster.submit import Job
    from jobs.cluster.submit import submit as submit_job

    submit_job(Job(command, config, tuple(overrides or ()), address, cpus), follow=not detach)


@app.command()
def jobs(
    job: Annotated[
        str | None, typer.Argument(help="A job's name; all are listed if absent.", show_default=False)
    ] = None,
    address: Address = SERVER,
    follow: Annotated[bool, typer.Option("--follow", help="Show its log until it ends.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End it in order.")] = False,
) -> None:
    """The jobs that were submitted: list them, show the log of one, or end it."""
    from jobs.cluster.submit import follow_job, show_jobs, stop_job
    from truing.errors import ConfigError

    if job is None:
        show_jobs(address)
    elif stop:
        stop_job(job, address)
    elif follow:
        follow_job(job, address)
    else:
        raise ConfigError(f"jobs {job}: say what to do: --follow or --stop")


@app.command()
def status(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    once: Annotated[bool, typer.Option("--once", help="Show it and end.")] = False,
    timeline: Annotated[
        Path | None, typer.Option(help="Write its steps as a Chrome trace to this file.", show_default=False)
    ] = None,
) -> None:
    """How far a run has come, refreshed until Ctrl-C; read from its folder alone."""
    from jobs.status import show_status
    from jobs.timeline import write_timeline

    if timeline is None:
        show_status(run, once)
    else:
        print(f"{write_timeline(run, timeline)} spans in {timeline}")


@app.command()
def keys(
    section: Annotated[str, typer.Argument(help="E.g. policy.learner; a study's own keys if absent.")] = "",
) -> None:
    """What may stand in a study: the keys of a section, what each takes, its default, its meaning."""
    from jobs.keys import show_keys

    show_keys(section)


def _start(name: str, config: Path, overrides: list[str] | None, dry_run: bool, **asked: object) -> None:
    from truing.config.load import load_study

    study = load_study(config, overrides or [])
    from jobs.cluster.connect import prepare

    prepare(study)
    from jobs.alone import WRITERS, working_alone
    from jobs.cluster.mirror import mirrored
    from jobs.recorded import study as recorded_study
    from jobs.run_path import run_path
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
    alone = working_alone(run_path(study)) if name in WRITERS else nullcontext()
    keeping = nullcontext() if name == "show_plan" else mirrored(study)  # the plan reads nothing of a run
    try:
        with stoppable("stopped; run the same command again to go on from what is stored"), alone, keeping:
            command(study, **asked)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        raise cannot_write(run_path(study), error) from None


def _commands() -> "dict[str, Callable[..., None]]":
    from jobs import pipeline as stages
    from jobs.harness import run_harness
    from jobs.plan import show_plan
    from jobs.recorded.study import run_images
    from jobs.serve import run_serve

    return {
        "run_pipeline": stages.run_pipeline,
        "run_label": stages.run_label,
        "run_train": stages.run_train,
        "run_evaluate": stages.run_evaluate,
        "run_report": stages.run_report,
        "run_images": run_images,
        "run_harness": run_harness,
        "run_serve": run_serve,
        "show_plan": show_plan,
    }


def run_module(command: str) -> None:
    """`python -m jobs.COMMAND CONFIG ...`, as `ray job submit` may be given it, is `truing COMMAND CONFIG ...`."""
    sys.argv.insert(1, command)
    main()


def main() -> None:
    """Run; turn every fault that has a remedy into one line and an exit code."""
    from truing.errors import TruingError
    from truing.redaction import redacted

    # Who is waited for is named on standard error; other people's loggers say nothing.
    voice = logging.StreamHandler()
    voice.setFormatter(logging.Formatter("truing: %(message)s"))
    logging.getLogger("actors").addHandler(voice)
    # A cluster is started by `connect` alone, never by a stray call after its end.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    heed_signals()
    try:
        app(standalone_mode=False)
    except TruingError as error:
        print(f"truing: {redacted(str(error))}", file=sys.stderr)
        leave(error.exit_code)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        leave(STOPPED)
    except Exception as error:
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            said = redacted(error.format_message().rstrip("."))  # pyright: ignore[reportAttributeAccessIssue]
            print(f"truing: {said}; see truing --help", file=sys.stderr)
            leave(2)
        if connected():
            traceback.print_exc()
            leave(1)
        raise


if __name__ == "__main__":
    main()
