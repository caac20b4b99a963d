"""What every training stage does around its trainer: once only, learners, progress, checkpoints, export."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Protocol, TypeVar

from actors.exporting import StepGauges, run_name
from actors.group import ActorGroup
from actors.learner import Seat
from jobs.context import Context
from jobs.progress import Progress, console
from jobs.status import STEPS
from jobs.store import write_json
from jobs.timeline import keep_actor_spans
from trainers.mending import persist
from trainers.roles import learner_needs
from trainers.run import Run, Stateful
from trainers.trackers import Trackers, flat
from truing.config.roles import Learner
from truing.config.tracking import Tracker
from truing.redaction import redacted

A = TypeVar("A")


class Kept(Protocol):
    """The part of a section that says which checkpoints there are."""

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints."""
        ...

    @property
    def keep(self) -> int:
        """Last checkpoints that stay."""
        ...


def trained(
    context: Context,
    stage: str,
    key: str,
    work: Callable[[Path], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
) -> Path:
    """Do a training stage, if it is not finished; show what it reported; returns its model's folder.

    `work` trains in the stage's folder, leaves `model` there, and returns the report.

    Raises:
        ConfigError: the folder holds the stage's result, or its checkpoints, for other inputs.
    """
    run = context.run
    folder = run.path / stage
    if run.finished(stage, key) is None:
        run.claim(stage, key)
        run.finish(stage, key, work(folder))
    # Of a stage that was finished before, too: it may have been killed before this.
    _drop_checkpoints(folder)
    report = run.finished(stage, key)
    assert report is not None
    show(report)
    return folder / "model"


@contextmanager
def learners(context: Context, role: str, settings: Learner, make: Callable[[Seat], A]) -> Iterator[ActorGroup[A]]:
    """The ranks of a learner, loaded; they end with the block."""
    context.connect()
    group = ActorGroup.ranks(role, settings.ranks, make, learner_needs(settings, context.study.cluster))
    try:
        yield group.ready()
    finally:
        group.close()


@contextmanager
def training_run(
    folder: Path,
    groups: Mapping[str, ActorGroup[Any]],
    state: Mapping[str, Stateful],
    settings: Kept,
    *,
    title: str,
    total: int,
    trackers: Sequence[Tracker],
    at_rest: Callable[[], bool] = lambda: True,
) -> Iterator[Run]:
    """A run with its progress and trackers. One that was interrupted goes on from its last checkpoint, and says so.

    `at_rest`: see `Run`.

    Raises:
        ConfigError: a tracker's package is not installed, or it has no key.
    """
    tracked = Trackers(trackers, folder, _warn)
    bar, gauges = Progress(title, total, done=0), StepGauges(run_name(folder), title)
    write_json(folder / STEPS, {"steps": total})
    first, finished = True, False

    def on_step(row: dict[str, Any]) -> None:
        nonlocal first
        if first:
            bar.resume(row["step"])
            first = False
        rewarded = "reward" in row
        note = f"reward {row['reward']:.3f} KL {row['kl']:.3f}" if rewarded else f"loss {row['loss']:.3f}"
        bar.at(row["step"] + 1, note, flat(row))
        tracked.log(row)
        gauges.log(row)

    if any(folder.glob("checkpoint-*")):
        console.print(f"  {title}: going on from the last checkpoint of {folder}")
    with bar, gauges:
        try:
            every, keep = settings.checkpoint_every, settings.keep
            yield Run(folder, every=every, groups=groups, state=state, on_step=on_step, keep=keep, at_rest=at_rest)
            finished = True
        finally:
            tracked.close(finished=finished)
            keep_actor_spans(folder)


def persistently(
    context: Context,
    run: Run,
    train: Callable[[], None],
    others: Sequence[ActorGroup[Any]] = (),
    quiet: Callable[[], None] = lambda: None,
) -> None:
    """Train to the end, mending what is lost as often as `cluster.mends` says; see `persist`."""
    persist(run, train, others, mends=context.study.cluster.mends, say=lambda line: _warn(f"  {line}"), quiet=quiet)


def _warn(line: str) -> None:
    console.print(redacted(line), style="yellow", markup=False, soft_wrap=True)


def export(folder: Path, group: ActorGroup[Any], method: Any, *arguments: float) -> Path:
    """Write the model under a temporary name, then rename; returns its folder."""
    part = (folder / "model.part").resolve()
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    group.broadcast(method, part, *arguments)
    shutil.rmtree(folder / "model", ignore_errors=True)
    part.rename(folder / "model")
    return folder / "model"


def _drop_checkpoints(folder: Path) -> None:
    """A finished stage keeps its model and its metrics; the optimizer's state is several times their size."""
    for path in chain(folder.glob("checkpoint-*"), folder.glob("best-*")):
        shutil.rmtree(path)
