"""Train: the reward model on the preference set, then the policy on the reward graph."""

import math
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actors.group import ActorGroup
from actors.policy import Policy
from actors.reward_model import Comparison, RewardLearner
from jobs.context import Context
from jobs.labelers import online
from jobs.progress import Progress, console, headline, print_table
from jobs.steps import evaluation_steps
from trainers import ppo, reward_model, rloo
from trainers.roles import Folders, Roles, worker_needs
from trainers.run import Run, read_metrics
from truing.algorithms.kl import AdaptiveKl, FixedKl
from truing.config.policy import AiScorePart, Kl, part_name
from truing.config.policy import Policy as PolicySettings
from truing.data.stream import PromptStream
from truing.errors import ConfigError
from truing.records import Row, content_id

TRAINERS = {"rloo": rloo.train, "ppo": ppo.train}
SCALE_PAIRS = 48
"""AI-labelled pairs whose responses, samples of the start policy, set the reward model's scale."""


def split_preferences(context: Context, preferences: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """(training, test) preferences. What tests depends on the ids alone, so that it never changes between runs."""
    assert context.study.reward_model is not None
    held = {"ai": context.study.reward_model.holdout, "marked": 1 - context.study.label.marked.train_share}
    test: list[Row] = []
    for source, share in held.items():
        ranked = sorted((r for r in preferences if r["source"] == source), key=lambda r: content_id("split", r["id"]))
        test += ranked[: round(share * len(ranked))]
    tested = {row["id"] for row in test}
    return [row for row in preferences if row["id"] not in tested], test


def train_reward_model(context: Context, preferences: Sequence[Row]) -> Path:
    """Train on soft labels and marked pairs, test on the held-out ones; returns the model's folder."""
    study, settings = context.study, context.study.reward_model
    assert settings is not None
    folder = context.run.path / "reward_model"
    training, test = split_preferences(context, preferences)
    if len(training) < settings.batch:
        raise ConfigError(
            f"reward_model: {len(training)} training pairs for a batch of {settings.batch}; label more pairs"
        )
    key = context.key(
        "rm",
        settings.model_dump(),
        context.start_id,
        study.seed,
        study.model.context,
        [r["id"] for r in training + test],
    )
    headline("Reward model: soft labels and marked pairs")
    if (saved := context.run.finished("reward_model", key)) is not None:
        _show_reward_model(saved)
        return folder / "model"
    context.run.claim("reward_model", key)
    context.connect()
    rows = training + test
    comparisons = [
        Comparison(
            r["prompt"],
            r["chosen"],
            r["rejected"],
            r["p_chosen"],
            r["weight"] * (settings.label_weight if r["source"] == "ai" else 1.0),
        )
        for r in rows
    ]
    make = partial(RewardLearner, context.start_folder, study.model.context, comparisons, settings.learner)
    group = ActorGroup.ranks(
        "reward learner", settings.learner.ranks, make, worker_needs(settings.learner, study.cluster)
    )
    try:
        group.ready()
        total = len(reward_model.batches(len(training), settings.batch, settings.epochs, study.seed))
        run = _run(folder, 10**6, {"learner": group}, {}, "reward model", total)
        with run[1]:
            reward_model.train(run[0], group, len(training), settings, study.seed)
        report = _test_reward_model(group, rows, len(training), study.seed)
        scale = [i for i, row in enumerate(rows) if row["source"] == "ai"][:SCALE_PAIRS] or list(range(len(rows)))[
            :SCALE_PAIRS
        ]
        raw = np.array(group.scatter(RewardLearner.rewards, scale).get())
        _export(folder, group, RewardLearner.export, float(raw.mean()), float(raw.std()) or 1.0)
    finally:
        group.close()
    context.run.finish("reward_model", key, report)
    _drop_checkpoints(folder)
    _show_reward_model(report)
    return folder / "model"


def _test_reward_model(group: ActorGroup[RewardLearner], rows: Sequence[Row], first: int, seed: int) -> dict[str, Any]:
    positions = list(range(first, len(rows)))
    gaps = reward_model.held_out_gaps(group, positions)
    kinds = {"marked pairs": "marked", "AI labels": "ai"}
    report: dict[str, Any] = {"training_pairs": first, "accuracy": {}}
    for name, source in kinds.items():
        chosen = [(g, rows[i]["p_chosen"]) for g, i in zip(gaps, positions, strict=True) if rows[i]["source"] == source]
        if chosen:
            report["accuracy"][name] = reward_model.accuracy([g for g, _ in chosen], [p for _, p in chosen], seed)
    marked = [(g, rows[i]) for g, i in zip(gaps, positions, strict=True) if rows[i]["source"] == "marked"]
    for domain in sorted({row["domain"] for _, row in marked}):
        some = [(g, row["p_chosen"]) for g, row in marked if row["domain"] == domain]
        report["accuracy"][f"marked, {domain}"] = reward_model.accuracy(
            [g for g, _ in some], [p for _, p in some], seed
        )
    if marked:
        table = reward_model.calibration([g for g, _ in marked], [row["p_chosen"] for _, row in marked])
        report |= {"calibration": table, "ece": reward_model.calibration_error(table)}
        report["log_loss"] = float(np.mean([math.log1p(math.exp(-g)) for g, _ in marked]))
    return report


def _show_reward_model(report: dict[str, Any]) -> None:
    rows = []
    for name, figure in report["accuracy"].items():
        found = figure if isinstance(figure, dict) else vars(figure) if hasattr(figure, "__dict__") else _slots(figure)
        rows.append((name, found["n"], found["value"], f"{found['low']:.2f} to {found['high']:.2f}"))
    note = f"trained on {report['training_pairs']} pairs"
    if "ece" in report:
        note += f"; on held-out marked pairs ECE {report['ece']:.3f}, log loss {report['log_loss']:.3f} (chance 0.693)"
    print_table("Reward model on held-out pairs", ("pairs", "n", "accuracy", "95 % interval"), rows, note)


def _slots(figure: Any) -> dict[str, float]:
    return {"n": figure.n, "value": figure.value, "low": figure.low, "high": figure.high}


def train_policy(context: Context, reward_folder: Path | None) -> Path:
    """Reinforcement learning from the start policy; returns the trained policy's folder."""
    study, settings = context.study, context.study.policy
    assert settings is not None
    folder = context.run.path / "policy"
    reward_id = "" if reward_folder is None else _reward_key(context)
    key = context.key(
        "policy", settings.model_dump(), context.start_id, context.labeler_id, reward_id, study.seed,
        study.model.context, [p.text for p in context.training],
    )  # fmt: skip
    headline(f"Policy: {settings.algorithm.kind.upper()}, {settings.steps} steps")
    if context.run.finished("policy", key) is not None:
        _show_policy(read_metrics(folder / "metrics.jsonl"))
        return folder / "model"
    context.run.claim("policy", key)
    context.connect()
    labelers = {
        part_name(part): (
            online(part.labeler or study.labeler, "policy.rewards: ai_score"),
            evaluation_steps(context, part),
        )
        for part in settings.rewards
        if isinstance(part, AiScorePart)
    }
    folders = Folders(context.start_folder, str(reward_folder or ""))
    roles = Roles(settings, study.model, labelers, study.cluster, folders, context.training)
    try:
        too_long = roles.unanswerable()
        usable = [p.id for p in context.training if p.id not in too_long]
        if not usable:
            raise ConfigError(f"policy: no prompt fits: {next(iter(too_long.values())).reason}; raise model.context")
        context.run.table("prompts.dead").append([{"id": k, "reason": f.reason} for k, f in sorted(too_long.items())])
        stream, kl = PromptStream(usable, study.seed), controller(settings.kl)
        groups = {"policy": roles.policy} | ({"critic": roles.critic} if roles.critic else {})
        run, bar = _run(
            folder, settings.checkpoint_every, groups, {"prompts": stream, "kl": kl}, "policy", settings.steps
        )
        with bar:
            TRAINERS[settings.algorithm.kind](run, roles, stream, kl, settings, study.seed)
        _export(folder, roles.policy, Policy.export)
    finally:
        roles.close()
    context.run.finish("policy", key, {"steps": settings.steps})
    _drop_checkpoints(folder)
    _show_policy(read_metrics(folder / "metrics.jsonl"))
    return folder / "model"


def controller(settings: Kl) -> FixedKl:
    """The KL controller that a configuration names."""
    if settings.controller == "adaptive":
        return AdaptiveKl(settings.coefficient, settings.target)
    return FixedKl(settings.coefficient)


def _reward_key(context: Context) -> str:
    marker = context.run.path / "reward_model" / "key"
    if not marker.exists():
        raise ConfigError(
            "policy: its reward graph has a reward_model part and none is trained; add a reward_model section"
        )
    return marker.read_text()


def _run(
    folder: Path, every: int, groups: dict[str, Any], state: dict[str, Any], title: str, total: int
) -> tuple[Run, Progress]:
    done = len(read_metrics(folder / "metrics.jsonl"))
    bar = Progress(title, total, done=0)

    first = True

    def on_step(row: dict[str, Any]) -> None:
        nonlocal first
        if first:
            bar.resume(row["step"])
            first = False
        bar.at(
            row["step"] + 1,
            f"reward {row['reward']:.3f} KL {row['kl']:.3f}" if "reward" in row else f"loss {row['loss']:.3f}",
        )

    if done:
        console.print(f"  {title}: going on from the last checkpoint of {folder}")
    return Run(folder, every=every, groups=groups, state=state, on_step=on_step), bar


def _export(folder: Path, group: ActorGroup[Any], method: Any, *arguments: float) -> None:
    """Write the model under a temporary name, then rename."""
    part = (folder / "model.part").resolve()
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    group.broadcast(method, part, *arguments)
    shutil.rmtree(folder / "model", ignore_errors=True)
    part.rename(folder / "model")


def _drop_checkpoints(folder: Path) -> None:
    """A finished stage keeps its model and its metrics; the optimizer's state is several times their size."""
    for path in folder.glob("checkpoint-*"):
        shutil.rmtree(path)


def _show_policy(rows: Sequence[dict[str, Any]]) -> None:
    columns = ("step", "reward", "KL", "entropy", "log-prob gap", "ratio", "tokens", "grad norm", "seconds")
    shown = [
        (
            r["step"],
            r["reward"],
            r["kl"],
            r["entropy"],
            r["logprob_gap"],
            r["ratio"],
            r["length"],
            r["grad_norm"],
            r["timings"]["step"],
        )
        for r in rows
    ]
    print_table("Policy", columns, shown)


def train(context: Context, preferences: Sequence[Row]) -> None:
    """The trainers that the study names, in order."""
    if context.study.reward_model is not None:
        train_reward_model(context, preferences)
    if context.study.policy is not None:
        train_policy(context, reward_folder_of(context, context.study.policy))


def reward_folder_of(context: Context, settings: PolicySettings) -> Path | None:
    """The reward model that the study trained, where the reward graph wants one."""
    wanted = any(part.kind == "reward_model" and not part.path for part in settings.rewards)
    return context.run.path / "reward_model" / "model" if wanted else None
