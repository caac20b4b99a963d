"""Direct preference: the reference reads every response once, then the policy is trained against what it said."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from actors.group import ActorGroup
from actors.preference import PreferenceLearner, ReferenceReader
from actors.reference import Reference
from jobs.compared import Compared, compared
from jobs.context import Context
from jobs.progress import headline, print_table
from jobs.store import read_json, write_json
from jobs.training import export, learners, persistently, trained, training_run
from trainers import dpo, reward_model
from trainers.looks import Looks
from trainers.roles import scorer_needs
from trainers.run import read_metrics
from truing.config.roles import Scorer
from truing.config.training import Dpo
from truing.data.answers import cut_note
from truing.data.judged import Comparisons, flattened


def reference_reader(folder: str, settings: Scorer, precision: str, context: int) -> ReferenceReader:
    """The start policy as a reader of whole answers."""
    return ReferenceReader(Reference(folder, settings, precision, 1.0), folder, context)


def train_dpo(context: Context) -> Path:
    """Returns the trained policy's folder."""
    study, settings = context.study, context.study.dpo
    assert settings is not None
    data = compared(context, settings, "dpo")
    key = context.key("dpo", settings.model_dump(), context.start_id, study.seed, study.model.context, data.content)
    headline(f"Direct preference: {settings.loss.upper()}")
    return trained(context, "dpo", key, partial(_work, context, settings, data), _show)


def _work(context: Context, settings: Dpo, data: Compared, folder: Path) -> dict[str, Any]:
    study = context.study
    reference = _reference(context, settings, folder, data.prompts)
    make = partial(
        PreferenceLearner, context.start_folder, study.model.context, data.prompts, reference, settings.learner
    )
    looks = Looks(settings.evaluate_every, settings.patience)
    plan = reward_model.updates(data.training, settings, study.seed)
    with learners(context, "preference learner", settings.learner, make) as group:
        groups, state = {"learner": group}, {"looks": looks}
        with training_run(
            folder, groups, state, settings, title=settings.loss.upper(), total=len(plan), trackers=study.trackers
        ) as run:
            train = partial(dpo.train, run, group, data.prompts, data.training, plan, looks, settings)
            persistently(context, run, train)
            run.take_best()
        report, cut = _tested(group, data, study.seed), group.first(PreferenceLearner.cut)
        export(folder, group, PreferenceLearner.export)
    done = len(read_metrics(folder / "metrics.jsonl"))
    return {
        **data.seen(plan[:done]),
        "cut": cut,
        "looked": len(data.responses),
        "context": study.model.context,
        **report,
    }


def _reference(context: Context, settings: Dpo, folder: Path, items: Sequence[Comparisons]) -> list[list[float]]:
    """log π_ref of every response, kept in the stage's folder: a run that goes on does not read them again."""
    path = folder / "reference.json"
    if (known := read_json(path)) is not None:
        return known
    context.connect()
    cluster = context.study.cluster
    make = partial(
        reference_reader,
        context.start_folder,
        settings.reference,
        settings.learner.precision,
        context.study.model.context,
    )
    needs = scorer_needs(settings.reference, cluster)
    group = ActorGroup.stateless("reference", settings.reference.count, make, needs).ready()
    try:
        found = group.scatter(ReferenceReader.sums, items).get()
    finally:
        group.close()
    write_json(path, found)
    return found


def _tested(group: ActorGroup[PreferenceLearner], data: Compared, seed: int) -> dict[str, Any]:
    if not data.held_out:
        return {}
    held = [data.prompts[i] for i in data.held_out]
    judged, prompts = flattened(held), [one.prompt for one in held for _ in one.judged]
    found = reward_model.gaps(group.scatter(PreferenceLearner.ratios, data.held_out).get(), judged)
    return {"accuracy": reward_model.accuracy(found, [one.p for one in judged], prompts, seed)}


def _show(report: dict[str, Any]) -> None:
    rows: list[tuple[str, int, float, str]] = []
    if "accuracy" in report:
        found = report["accuracy"]
        rows.append(("held out", found["n"], found["value"], f"{found['low']:.2f} to {found['high']:.2f}"))
    print_table(
        "Direct preference: does the better response gain on the reference", ("pairs", "n", "accuracy", "95 % interval"),
        rows, f"trained on {report['training_pairs']} pairs of {report['training_prompts']} prompts"
        + cut_note(report["cut"], report["looked"], report["context"]),
    )  # fmt: skip
