"""Reward model: train on the preference set, test on the held-out part of it, set the scale."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actors.group import ActorGroup
from actors.reward_model import RewardLearner
from jobs.compared import Compared, compared
from jobs.context import Context
from jobs.progress import headline, print_table
from jobs.training import export, learners, persistently, trained, training_run
from trainers import reward_model
from trainers.looks import Looks
from trainers.run import read_metrics
from truing.algorithms.statistics import Interval, clustered_mean
from truing.config.training import RewardModel
from truing.data.answers import cut_note
from truing.data.judged import Comparisons, flattened
from truing.labeling.figures import length_group
from truing.records import Row
from truing.report.contents import CalibrationBin

SCALE_PROMPTS = 48
"""Prompts whose responses set the reward model's scale: those that the start policy wrote, where there are any."""


def train_reward_model(context: Context) -> Path:
    """Train, test, set the scale; returns the model's folder."""
    study, settings = context.study, context.study.reward_model
    assert settings is not None
    data = compared(context, settings, "reward_model", settings.margin)
    key = context.key(
        "reward model", settings.model_dump(), context.start_id, study.seed, study.model.context, data.content
    )
    headline("Reward model")
    return trained(context, "reward_model", key, partial(_work, context, settings, data), _show)


def _work(context: Context, settings: RewardModel, data: Compared, folder: Path) -> dict[str, Any]:
    study = context.study
    make = partial(RewardLearner, context.start_folder, study.model.context, data.prompts, settings.learner)
    looks = Looks(settings.evaluate_every, settings.patience)
    plan = reward_model.updates(data.training, settings, study.seed)
    with learners(context, "reward learner", settings.learner, make) as group:
        groups, state = {"learner": group}, {"looks": looks}
        with training_run(
            folder, groups, state, settings, title="reward model", total=len(plan), trackers=study.trackers
        ) as run:
            train = partial(reward_model.train, run, group, data.prompts, data.training, plan, looks)
            persistently(context, run, train)
            run.take_best()
        report, cut = _tested(group, data, study.seed), group.first(RewardLearner.cut)
        export(folder, group, RewardLearner.export, *_scale(group, _own_samples(context), data.prompts))
    # Training may have stopped early.
    done = len(read_metrics(folder / "metrics.jsonl"))
    return {
        **data.seen(plan[:done]),
        "cut": cut,
        "looked": len(data.responses),
        "context": study.model.context,
        **report,
    }


def _own_samples(context: Context) -> set[tuple[str, str]]:
    """(prompt, response) of what the study's own start policy has written and the labeler compared; none where the pairs came
    from a file."""
    if context.study.label.pairs is not None:
        return set()
    rows = context.run.table("preferences").read(["prompt", "chosen", "rejected", "source"])
    return {(row["prompt"], row[side]) for row in rows if row["source"] == "ai" for side in ("chosen", "rejected")}


def _scale(
    group: ActorGroup[RewardLearner], sampled: Collection[tuple[str, str]], items: Sequence[Comparisons]
) -> tuple[float, float]:
    """Mean and deviation of the raw reward: a scaled score of 0 is the start policy's mean.

    Other responses to the same prompts (of people, of earlier rounds) are not counted; where the start policy has written
    nothing, all are.
    """
    chosen = scaled_by(sampled, items)
    at = sorted(chosen)[:SCALE_PROMPTS]
    found = group.scatter(RewardLearner.rewards, at).get()
    raw = np.array([rewards[place] for i, rewards in zip(at, found, strict=True) for place in chosen[i]])
    return float(raw.mean()), float(raw.std()) or 1.0


def scaled_by(sampled: Collection[tuple[str, str]], items: Sequence[Comparisons]) -> dict[int, list[int]]:
    """Which responses set the scale: by position of the prompt, the places of those that were sampled, or else all."""
    own = {
        i: [place for place, text in enumerate(one.responses) if (one.prompt, text) in sampled]
        for i, one in enumerate(items)
    }
    return {i: places for i, places in own.items() if places} or {
        i: list(range(len(one.responses))) for i, one in enumerate(items)
    }


def _tested(group: ActorGroup[RewardLearner], data: Compared, seed: int) -> dict[str, Any]:
    """Accuracy by source, domain, confidence of the label and length; calibration on what people said, where they did."""
    held = [data.prompts[i] for i in data.held_out]
    if not held:
        return {"accuracy": {}}
    found = reward_model.gaps(group.scatter(RewardLearner.rewards, data.held_out).get(), flattened(held))
    # One row a comparison, in the order in which `by_prompt` put them together.
    order: dict[str, list[Row]] = {one.prompt: [] for one in held}
    for row in data.rows[1]:
        order[row["prompt"]].append(row)
    judged = list(zip(found, (row for some in order.values() for row in some), strict=True))
    half = float(np.median([abs(_longer(row)) for _, row in judged]))
    ways: tuple[Callable[[Row], str], ...] = (
        lambda row: f"source {row['source']}",
        lambda row: f"domain {row['domain']}",
        _by_margin,
        lambda row: length_group(_longer(row), half, "better one"),
    )
    slices = {"all": judged} | {
        name: [(gap, row) for gap, row in judged if way(row) == name]
        for way in ways
        for name in sorted({way(row) for _, row in judged})
    }
    report: dict[str, Any] = {"accuracy": {name: _accuracy(some, seed) for name, some in slices.items() if some}}
    people = [(gap, row) for gap, row in judged if row["source"] != "ai"]
    return report | (_calibrated(people, seed) if people else {})


def _calibrated(people: Sequence[tuple[float, Row]], seed: int) -> dict[str, Any]:
    """How far its confidence is to be believed, on pairs that people have marked."""
    gaps, labels, prompts = _columns(people)
    bins = reward_model.calibration(gaps, labels)
    losses = [p * np.logaddexp(0, -gap) + (1 - p) * np.logaddexp(0, gap) for gap, p in zip(gaps, labels, strict=True)]
    return {
        "calibration": [CalibrationBin(one.low, one.high, one.n, one.confidence, one.accuracy) for one in bins],
        "ece": reward_model.ece(gaps, labels, prompts, seed),
        "log_loss": clustered_mean(losses, prompts, seed=seed),
    }


def _by_margin(row: Row) -> str:
    if row["strength"] is not None:
        return f"strength {row['strength']:g}"
    p = row["p_chosen"]
    return "label 1" if p == 1 else f"label {'0.5 to 0.6' if p < 0.6 else '0.6 to 0.8' if p < 0.8 else '0.8 to 1'}"


def _longer(row: Row) -> int:
    """By how many characters the better response is the longer one."""
    return len(row["chosen"]) - len(row["rejected"])


def _accuracy(some: Sequence[tuple[float, Row]], seed: int) -> Interval:
    return reward_model.accuracy(*_columns(some), seed)


def _columns(some: Sequence[tuple[float, Row]]) -> tuple[list[float], list[float], list[str]]:
    """Gaps, labels and prompts."""
    return [gap for gap, _ in some], [row["p_chosen"] for _, row in some], [row["prompt"] for _, row in some]


def _show(report: dict[str, Any]) -> None:
    rows: list[tuple[str, int, float, str]] = []
    for name, figure in report["accuracy"].items():
        rows.append((name, figure["n"], figure["value"], f"{figure['low']:.2f} to {figure['high']:.2f}"))
    note = f"trained on {report['training_pairs']} pairs of {report['training_prompts']} prompts"
    note += cut_note(report["cut"], report["looked"], report["context"])
    if "ece" in report:
        ece, loss = (
            f"{found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
            for found in (report["ece"], report["log_loss"])
        )
        note += f"; on {report['ece']['n']} held-out human pairs ECE {ece}, log loss {loss} (chance 0.693)"
    print_table("Reward model on held-out pairs", ("pairs", "n", "accuracy", "95 % interval"), rows, note)
