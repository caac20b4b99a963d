"""What every training stage does around its trainer: data split, progress, checkpoints, export."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from actors.group import ActorGroup
from jobs.context import Context
from jobs.preferences import human_rows
from jobs.progress import Progress, console
from jobs.store import RunFolder
from trainers.run import Run, Stateful
from trainers.trackers import Trackers, flat
from truing.config.tracking import Tracker
from truing.config.training import LabelSource, Preferences
from truing.data.judged import Comparisons, Source, by_prompt
from truing.errors import ConfigError
from truing.records import Row, content_id


@contextmanager
def training_run(
    folder: Path,
    groups: Mapping[str, ActorGroup[Any]],
    state: Mapping[str, Stateful],
    *,
    every: int,
    keep: int,
    title: str,
    total: int,
    trackers: Sequence[Tracker],
) -> Iterator[Run]:
    """A run with its progress and trackers. One that was interrupted goes on from its last checkpoint, and says so.

    Raises:
        ConfigError: a tracker's package is not installed, or it has no key.
    """
    tracked = Trackers(trackers, folder, partial(console.print, style="yellow", markup=False, soft_wrap=True))
    bar = Progress(title, total, done=0)
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

    if any(folder.glob("checkpoint-*")):
        console.print(f"  {title}: going on from the last checkpoint of {folder}")
    with bar:
        try:
            yield Run(folder, every=every, groups=groups, state=state, on_step=on_step, keep=keep)
            finished = True
        finally:
            tracked.close(finished=finished)


def export(folder: Path, group: ActorGroup[Any], method: Any, *arguments: float) -> Path:
    """Write the model under a temporary name, then rename; returns its folder."""
    part = (folder / "model.part").resolve()
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    group.broadcast(method, part, *arguments)
    shutil.rmtree(folder / "model", ignore_errors=True)
    part.rename(folder / "model")
    return folder / "model"


def drop_checkpoints(folder: Path) -> None:
    """A finished stage keeps its model and its metrics; the optimizer's state is several times their size."""
    for path in chain(folder.glob("checkpoint-*"), folder.glob("best-*")):
        shutil.rmtree(path)


def preference_rows(context: Context, settings: Preferences, stage: str) -> list[Row]:
    """What `truing label` stored, and the human sets that the section names.

    Raises:
        ConfigError: there is neither.
    """
    folders = [context.run, *(RunFolder(Path(path)) for path in settings.earlier)]
    stored = {row["id"]: row for folder in folders for row in folder.table("preferences").rows()}
    rows = [*stored.values(), *human_rows(settings.data)]
    if not rows:
        raise ConfigError(
            f"{stage}: {context.run.path} holds no preferences to train on; run `truing label` with this configuration"
            f" first, or name a set of human labels in {stage}.data"
        )
    names = {row["source"] for row in rows}
    if unknown := sorted(set(settings.sources) - names):
        raise ConfigError(
            f"{stage}.sources names {unknown[0]!r} and no preference is of that source; there are {', '.join(sorted(names))}"
        )
    return rows


def split_rows(rows: Sequence[Row], sources: Mapping[str, LabelSource]) -> tuple[list[Row], list[Row]]:
    """(training, test) preferences. Of each source, the prompts that hash lowest are tested; nothing else of a tested prompt
    is trained on, whatever its source."""
    tested: set[tuple[str, str]] = set()
    for source in sorted({row["source"] for row in rows}):
        prompts = sorted(
            {row["prompt"] for row in rows if row["source"] == source}, key=lambda p: content_id("split", p)
        )
        held = round(sources.get(source, LabelSource()).holdout * len(prompts))
        tested |= {(source, prompt) for prompt in prompts[:held]}
    prompts = {prompt for _, prompt in tested}
    test = [row for row in rows if (row["source"], row["prompt"]) in tested]
    return [row for row in rows if row["prompt"] not in prompts], test


def comparisons(
    training: Sequence[Row], test: Sequence[Row], settings: Preferences, margin: float
) -> tuple[list[Comparisons], int]:
    """All prompts with their comparisons, those to train on first, and how many these are."""
    sources = {name: Source(one.weight, one.temperature) for name, one in settings.sources.items()}
    trained = [one for one in by_prompt(training, sources, margin) if one.weight > 0]
    # What is tested is the label as it stands: neither weighted, nor made hard or soft.
    return [*trained, *by_prompt(test, {}, margin)], len(trained)
