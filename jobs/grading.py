"""Grading: reward parts of each output, and the judge's verdicts against the start policy."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from actors.reward_model import RewardScorer
from jobs import measure
from jobs.consult import consult, judgements
from jobs.context import Context
from jobs.labelers import member, online
from jobs.labelers import pool as labeler_pool
from jobs.models import fingerprint
from jobs.steps import evaluation_steps
from jobs.sweep import Pool, sweep
from trainers.roles import score_asking, worker_needs
from truing.algorithms.rules import finished_reward, pattern_share
from truing.config.policy import AiScorePart, FinishedPart, PatternPart, RewardModelPart, RewardPart, part_name
from truing.config.stages import Evaluate
from truing.errors import ConfigError
from truing.records import Pair, Row, canonical_pair, content_id

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


def scorers(context: Context, settings: Evaluate, make: Callable[[], Any], answer: Any) -> Pool:
    """Scoring actors of an offline pass."""
    cluster, count = context.study.cluster, settings.scorer.count
    return Pool(make, answer, worker_needs(settings.scorer, cluster, cluster.restarts), count, count)


def asked(context: Context, title: str, table: str, rows: list[Row], pool: Pool) -> dict[str, Row]:
    """One pass; the answers by question id."""
    unique = list({row["id"]: row for row in rows}.values())
    done = sweep(
        title, unique, context.run.table(f"evaluation/{table}"), pool,
        max_failed=context.study.label.max_failed, connect=context.connect,
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
    found = asked(context, "reward model", "rewards", questions, scorers(context, settings, make, measure.reward))
    return {key: found[question]["score"] for key, question in keys.items() if question in found}


def _ai_scores(context: Context, part: AiScorePart, rows: list[Row]) -> dict[str, float]:
    judge = member(online(part.labeler or context.study.labeler, "policy.rewards: ai_score"))
    asking = score_asking(part)
    steps = evaluation_steps(context, part)
    asked_of = content_id("score", judge.id, asking.template("*").hash, steps)
    keys = {row["id"]: content_id(asked_of, row["prompt"], row["text"]) for row in rows}
    questions = [{"id": keys[row["id"]], "prompt": row["prompt"], "text": row["text"]} for row in rows]
    answer = partial(measure.score, asking=asking, steps=steps)
    found = asked(context, "direct scores", "scores", questions, labeler_pool(judge, context.study.cluster, answer, 64))
    return {key: found[question]["score"] for key, question in keys.items() if question in found}


def win_rates(context: Context, outputs: dict[str, dict[str, list[Row]]]) -> dict[str, dict[str, list[float]]]:
    """Wins against the start policy by policy and prompt: 1 where P(better), both orders averaged, exceeds ½; ½ for a tie.

    Equal texts are a tie, unasked.
    """
    games: list[tuple[str, str, Pair, bool]] = []
    wins: dict[str, dict[str, list[float]]] = {name: {} for name in outputs if name != START}
    for name, won in wins.items():
        for prompt, rows in outputs[name].items():
            for row, base in zip(rows, outputs[START].get(prompt, []), strict=False):
                if row["text"] == base["text"]:
                    won.setdefault(prompt, []).append(0.5)
                    continue
                games.append((name, prompt, *canonical_pair(row["prompt"], row["text"], base["text"], row["domain"])))
    label = context.study.label
    askings = dict([next(iter(context.askings.items()))])
    folder = context.run.path / "evaluation" / "judgements"
    consult(
        context,
        "judging against start",
        folder,
        partial(_pairs, [pair for _, _, pair, _ in games]),
        askings,
        label.max_failed,
    )
    known = judgements(context.study.labeler, folder)
    ((asked_as, asking),) = askings.items()
    for name, prompt, pair, swapped in games:
        found = known.get((pair.id, asked_as))
        if found is not None:
            p = found.p_first(asks_for_worse=asking.asks_for_worse(pair.domain))
            wins[name].setdefault(prompt, []).append(0.5 if p == 0.5 else float((p > 0.5) != swapped))
    return wins


def _pairs(pairs: list[Pair]) -> Iterator[tuple[Pair, Row]]:
    for pair in pairs:
        yield pair, {}
