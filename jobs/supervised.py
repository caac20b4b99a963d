"""Supervised fine-tuning of the model: demonstrations in, a start policy for the later stages out."""

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from actors.group import ActorGroup
from actors.supervised import Asked, Shown, SupervisedLearner
from jobs.context import Context
from jobs.material import Material
from jobs.overlap import overlap
from jobs.progress import headline, print_table
from jobs.training import export, learners, persistently, trained, training_run
from trainers import sft
from trainers.looks import Looks
from truing.algorithms.statistics import bootstrap_mean
from truing.config.training import Sft
from truing.data.answers import cut_note
from truing.data.stream import numbered
from truing.data.supervised_stream import ExampleStream
from truing.evaluation.robustness import spread

LOOKED = 10_000
"""Demonstrations whose answers are looked at, to say how many did not fit."""


def train_sft(context: Context) -> Path:
    """Returns the trained model's folder."""
    settings = context.study.sft
    assert settings is not None
    headline("Supervised fine-tuning")
    return trained(context, "sft", context.sft_key, partial(_work, context, settings), _show)


def _work(context: Context, settings: Sft, folder: Path) -> dict[str, Any]:
    study, material = context.study, context.material
    shown = Shown(material.every, material.wordings, study.model.context)
    make = partial(SupervisedLearner, context.base_folder, shown, settings.learner)
    with learners(context, "supervised learner", settings.learner, make) as group:
        before = _tested(group, material, settings, study.seed)
        _train(context, folder, group, material, settings)
        after = _tested(group, material, settings, study.seed)
        export(folder, group, SupervisedLearner.export)
        looked = [(i, 0) for i in range(len(material.training))][:LOOKED]
        cut = sum(group.scatter(SupervisedLearner.cut, looked).get())
    if settings.generate is not None:
        models = {"before": context.base_folder, "after": str(folder / "model")}
        for test, by_model in overlap(context, settings.generate, material, models).items():
            for report, name in ((before, "before"), (after, "after")):
                report[test]["rouge_l"] = by_model[name].rouge_l
                report[test]["rouge_l_undefined"] = by_model[name].undefined
    sizes = {"training": len(material.training), "cut": cut, "looked": len(looked), "context": study.model.context}
    return {**sizes, "before": before, "after": after}


def _train(
    context: Context, folder: Path, group: ActorGroup[SupervisedLearner], material: Material, settings: Sft
) -> None:
    study, bank, prompts = context.study, material.bank, settings.prompts
    count, epochs = len(material.training), prompts.epochs if prompts else settings.epochs
    stream = ExampleStream(numbered(count), study.seed, len(bank.train) if bank else 1, prompts.every if prompts else 1)
    total = sft.updates(count, epochs, settings)
    looks = Looks(settings.evaluate_every, settings.patience)
    held = _asked(material, next(iter(material.tests)), 0)
    groups, state = {"learner": group}, {"stream": stream, "looks": looks}
    with training_run(folder, groups, state, settings, title="SFT", total=total, trackers=study.trackers) as run:
        persistently(context, run, partial(sft.train, run, group, stream, held, looks, total, settings.batch))
        run.take_best()


def _asked(material: Material, test: str, wording: int) -> list[Asked]:
    """The demonstrations of a test, in one wording."""
    first = len(material.training)
    for name, some in material.tests.items():
        if name == test:
            return [(first + i, wording) for i in range(len(some))]
        first += len(some)
    raise KeyError(test)


def _tested(
    group: ActorGroup[SupervisedLearner], material: Material, settings: Sft, seed: int
) -> dict[str, dict[str, Any]]:
    """By test: nats an answer token; where the answers are choices, how often the right one is the likeliest."""
    found: dict[str, dict[str, Any]] = {}
    for name, some in material.tests.items():
        if not some:
            continue
        found[name] = {"n": len(some), "loss": sft.held_out_loss(group, _asked(material, name, 0))}
        if all(one.choices for one in some):
            found[name] |= _accuracy(group, material, name, settings, seed)
    return found


def _accuracy(
    group: ActorGroup[SupervisedLearner], material: Material, test: str, settings: Sft, seed: int
) -> dict[str, Any]:
    """Rank classification in the demonstration's own wording, or in every test prompt of the bank."""
    answers = [one.choices.index(one.answer) for one in material.tests[test]]
    if material.bank is None:
        hits = sft.right(group, _asked(material, test, 0), answers)
        return {"accuracy": bootstrap_mean(hits, seed=seed)}
    unseen = range(len(material.bank.train), len(material.wordings))
    by_prompt = {
        material.wordings[number]: sft.right(group, _asked(material, test, number), answers) for number in unseen
    }
    each = [sum(hits) / len(by_prompt) for hits in zip(*by_prompt.values(), strict=True)]
    assert settings.prompts is not None
    return {
        "accuracy": bootstrap_mean(each, seed=seed),
        "unseen_prompts": asdict(spread(by_prompt, settings.prompts.top)),
    }


def _show(report: dict[str, Any]) -> None:
    rows: list[Sequence[str | int | float | None]] = []
    figures = {"loss": "nats a token", "accuracy": "accuracy", "rouge_l": "ROUGE-L"}
    for test, before in report["before"].items():
        after = report["after"][test]
        rows += [
            (test, title + _undefined(before, name), _count(before, name), _shown(before[name]), _shown(after[name]))
            for name, title in figures.items()
            if name in before
        ]
        if "unseen_prompts" in before:
            one, two = before["unseen_prompts"], after["unseen_prompts"]
            for name in ("mean", "deviation", "worst", "worst_tenth", "top"):
                title = f"unseen prompts: {name.replace('_', ' ')}"
                rows.append((test, title, one["prompts"], _shown(one[name]), _shown(two[name])))
    note = f"{report['training']} demonstrations; 95 % intervals over items; accuracy by rank classification"
    # A stage of an earlier build did not count them.
    note += cut_note(report.get("cut", 0), report.get("looked", 0), report.get("context", 0))
    print_table("Supervised fine-tuning", ("test", "figure", "n", "before", "after"), rows, note)


def _count(tested: dict[str, Any], name: str) -> int:
    """Items behind a figure: all of the test, or those that an interval was made from."""
    figure = tested[name]
    if figure is None:
        return 0
    return tested["n"] if isinstance(figure, float) else figure["n"]


def _undefined(tested: dict[str, Any], name: str) -> str:
    """Beside the name of a figure: how many items it is not defined for, where there are any."""
    count = tested.get(f"{name}_undefined", 0)
    return f" ({count} undefined)" if count else ""


def _shown(figure: Any) -> str:
    if figure is None:
        return "undefined"
    if isinstance(figure, float):
        return f"{figure:.3f}"
    return f"{figure['value']:.3f} ({figure['low']:.2f} to {figure['high']:.2f})"
