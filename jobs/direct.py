"""Direct preference: the reference reads every response once, then the policy is trained against what it said."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actors.group import ActorGroup
from actors.preference import PreferenceLearner, ReferenceReader
from actors.reference import Reference
from jobs.context import Context
from jobs.progress import headline, print_table
from jobs.store import read_json, write_json
from jobs.training import comparisons, drop_checkpoints, export, preference_rows, split_rows, training_run
from trainers import dpo, reward_model
from trainers.looks import Looks
from trainers.roles import worker_needs
from truing.config.roles import Scorer
from truing.data.judged import Comparisons, flattened
from truing.errors import ConfigError


def reference_reader(folder: str, settings: Scorer, precision: str, context: int) -> ReferenceReader:
    """The start policy as a reader of whole answers."""
    return ReferenceReader(Reference(folder, settings, precision, 1.0), folder, context)


def train_dpo(context: Context) -> Path:
    """Returns the trained policy's folder."""
    study, settings = context.study, context.study.dpo
    assert settings is not None
    folder = context.run.path / "dpo"
    training, test = split_rows(preference_rows(context, settings, "dpo"), settings.sources)
    items, count = comparisons(training, test, settings, margin=0.0)
    if count < settings.batch:
        raise ConfigError(f"dpo: {count} training prompts for a batch of {settings.batch}; label more pairs")
    key = context.key(
        "dpo", settings.model_dump(), context.start_id, study.seed, study.model.context,
        [r["id"] for r in training + test],
    )  # fmt: skip
    headline(f"Direct preference: {settings.loss.upper()}")
    if (saved := context.run.finished("dpo", key)) is not None:
        _show(saved)
        return folder / "model"
    context.run.claim("dpo", key)
    context.connect()
    reference = _reference(context, folder, items)
    make = partial(PreferenceLearner, context.start_folder, study.model.context, items, reference, settings.learner)
    needs = worker_needs(settings.learner, study.cluster)
    group = ActorGroup.ranks("preference learner", settings.learner.ranks, make, needs)
    try:
        group.ready()
        looks = Looks(settings.evaluate_every, settings.patience)
        total = len(reward_model.batches(count, settings.batch, settings.epochs, study.seed)[: settings.steps])
        groups, state = {"learner": group}, {"looks": looks}
        every, title = settings.checkpoint_every, settings.loss.upper()
        with training_run(
            folder, groups, state, every=every, keep=settings.keep, title=title, total=total, trackers=study.trackers
        ) as run:
            dpo.train(run, group, items, count, looks, settings, study.seed)
            run.take_best()
        report: dict[str, Any] = {"training_prompts": count, **_tested(group, items, count, study.seed)}
        export(folder, group, PreferenceLearner.export)
    finally:
        group.close()
    context.run.finish("dpo", key, report)
    drop_checkpoints(folder)
    _show(report)
    return folder / "model"


def _reference(context: Context, folder: Path, items: Sequence[Comparisons]) -> list[list[float]]:
    """log π_ref of every response, kept in the stage's folder: a run that goes on does not read them again."""
    settings = context.study.dpo
    assert settings is not None
    path = folder / "reference.json"
    if (known := read_json(path)) is not None:
        return known
    cluster = context.study.cluster
    make = partial(
        reference_reader,
        context.start_folder,
        settings.reference,
        settings.learner.precision,
        context.study.model.context,
    )
    needs = worker_needs(settings.reference, cluster, cluster.restarts)
    group = ActorGroup.stateless("reference", settings.reference.count, make, needs).ready()
    try:
        found = group.scatter(ReferenceReader.sums, items).get()
    finally:
        group.close()
    write_json(path, found)
    return found


def _tested(
    group: ActorGroup[PreferenceLearner], items: Sequence[Comparisons], count: int, seed: int
) -> dict[str, Any]:
    held = list(range(count, len(items)))
    if not held:
        return {}
    judged = flattened(items[i] for i in held)
    found = reward_model.gaps(group.scatter(PreferenceLearner.ratios, held).get(), judged)
    return {"accuracy": reward_model.accuracy(found, [one.p for one in judged], seed)}


def _show(report: dict[str, Any]) -> None:
    rows: list[tuple[str, int, float, str]] = []
    if "accuracy" in report:
        figure = report["accuracy"]
        found = figure if isinstance(figure, dict) else vars(figure)
        rows.append(("held out", found["n"], found["value"], f"{found['low']:.2f} to {found['high']:.2f}"))
    print_table(
        "Direct preference: does the better response gain on the reference", ("pairs", "n", "accuracy", "95 % interval"),
        rows, f"trained on {report['training_prompts']} prompts",
    )  # fmt: skip
