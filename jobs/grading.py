"""Grading: reward parts of each output, and the judge's verdicts against the start policy."""

from functools import partial
from pathlib import Path
from typing import Any

from actors.group import Needs
from actors.labeler import Labeler
from actors.reward_model import RewardScorer
from jobs import measure
from jobs.context import Context
from jobs.label import p_first, pair_row
from jobs.models import fingerprint
from jobs.sweep import sweep
from trainers.roles import worker_needs
from truing.algorithms.rules import finished_reward, pattern_share
from truing.config.policy import AiScorePart, FinishedPart, PatternPart, RewardModelPart, RewardPart, part_name
from truing.config.stages import Evaluate
from truing.errors import ConfigError
from truing.labeling.templates import load_template
from truing.records import Row, content_id

START, TRAINED = "start", "trained"


def rewards(context: Context, settings: Evaluate, rows: list[Row]) -> dict[str, dict[str, float]]:
    """Reward parts of each output, by the same graph as in training; a part that failed is absent."""
    parts: tuple[RewardPart, ...] = context.study.policy.rewards if context.study.policy else (FinishedPart(),)
    found: dict[str, dict[str, float]] = {row["id"]: {} for row in rows}
    for part in parts:
        if isinstance(part, RewardModelPart):
            scores = _model_scores(context, settings, part, rows)
        elif isinstance(part, AiScorePart):
            scores = _ai_scores(context, part, rows)
        elif isinstance(part, PatternPart):
            scores = {row["id"]: pattern_share(row["text"], part.pattern) for row in rows}
        else:
            scores = {row["id"]: finished_reward(row["finished"]) for row in rows}
        for key, score in scores.items():
            found[key][part_name(part)] = score
    weights = {part_name(part): part.weight for part in parts}
    for scores in found.values():
        if set(scores) == set(weights):
            scores["total"] = sum(weights[kind] * score for kind, score in scores.items())
    return found


def worker(context: Context, settings: Evaluate) -> Needs:
    """What one scoring actor asks of the cluster."""
    return worker_needs(settings.scorer, context.study.cluster, context.study.cluster.restarts)


def asked(
    context: Context, title: str, table: str, rows: list[Row], make: Any, answer: Any, needs: Needs, count: int
) -> dict[str, Row]:
    """One pass; the answers by question id."""
    unique = list({row["id"]: row for row in rows}.values())
    done = sweep(
        title, unique, context.run.table(f"evaluation/{table}"), make, answer,
        needs=needs, pool=(count, count), batch=64, max_failed=context.study.label.max_failed, connect=context.connect,
    )  # fmt: skip
    return {row["id"]: row for row in done}


def _model_scores(context: Context, settings: Evaluate, part: RewardModelPart, rows: list[Row]) -> dict[str, float]:
    folder = part.path or str(context.run.path / "reward_model" / "model")
    if not Path(folder).is_dir():
        raise ConfigError(
            f"evaluate: the reward graph wants a reward model and {folder} is absent; run `truing train` first"
        )
    identity = fingerprint(folder)
    keys = {row["id"]: content_id("reward", identity, row["prompt"], row["text"]) for row in rows}
    questions = [{"id": keys[row["id"]], "prompt": row["prompt"], "text": row["text"]} for row in rows]
    precision = context.study.policy.learner.precision if context.study.policy else "bfloat16"
    make = partial(RewardScorer, folder, context.study.model.context, settings.scorer, precision)
    found = asked(
        context,
        "reward model",
        "rewards",
        questions,
        make,
        measure.reward,
        worker(context, settings),
        settings.scorer.count,
    )
    return {key: found[question]["score"] for key, question in keys.items() if question in found}


def _ai_scores(context: Context, part: AiScorePart, rows: list[Row]) -> dict[str, float]:
    template = load_template(part.template)
    keys = {row["id"]: content_id("score", context.judge_id, template.hash, row["prompt"], row["text"]) for row in rows}
    questions = [
        {
            "id": keys[row["id"]],
            "kind": "score",
            "prompt": row["prompt"],
            "first": row["text"],
            "second": "",
            "domain": row["domain"],
        }
        for row in rows
    ]
    found = _judge_pass(context, "direct scores", questions, part.template)
    return {key: found[question]["score"] for key, question in keys.items() if question in found}


def _judge_pass(context: Context, title: str, questions: list[Row], score_template: str) -> dict[str, Row]:
    label = context.study.label
    make = partial(Labeler, context.judge_folder, label.model, label.engine, context.templates)
    answer = partial(measure.judge, template=load_template(score_template))
    table = "scores" if questions and questions[0]["kind"] == "score" else "judgements"
    return asked(context, title, table, questions, make, answer, context.needs(label.engine), label.engine.count)


def win_rates(context: Context, outputs: dict[str, dict[str, list[Row]]]) -> dict[str, dict[str, list[float]]]:
    """Wins against the start policy by policy and prompt: 1 where P(better), both orders averaged, exceeds ½; ½ for a tie.

    Equal texts are a tie, unasked.
    """
    questions: list[tuple[str, str, Row]] = []
    wins: dict[str, dict[str, list[float]]] = {name: {} for name in outputs if name != START}
    for name, won in wins.items():
        for prompt, rows in outputs[name].items():
            for row, base in zip(rows, outputs[START].get(prompt, []), strict=False):
                if row["text"] == base["text"]:
                    won.setdefault(prompt, []).append(0.5)
                    continue
                question = pair_row(
                    context, "ai", row["prompt"], row["text"], base["text"], row["domain"], kind="compare"
                )
                questions.append((name, prompt, question))
    part = next(
        (p for p in (context.study.policy.rewards if context.study.policy else ()) if isinstance(p, AiScorePart)),
        AiScorePart(),
    )
    found = _judge_pass(context, "judging against start", [question for _, _, question in questions], part.template)
    for name, prompt, question in questions:
        if question["id"] in found:
            p = p_first(found[question["id"]], context.templates[question["domain"]])
            wins[name].setdefault(prompt, []).append(1.0 if p > 0.5 else 0.5 if p == 0.5 else 0.0)
    return wins
