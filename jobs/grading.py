"""Grading: reward parts of each output, and the judge's verdicts against the start policy."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from actors.reward_model import RewardScorer
from actors.scoring import rule_score
from jobs import measure
from jobs.calibrated import fitted_maps
from jobs.consult import consult, judgements
from jobs.context import Context
from jobs.labelers import member, online, spent
from jobs.labelers import pool as labeler_pool
from jobs.models import fingerprint
from jobs.steps import evaluation_steps
from jobs.sweep import Pool, sweep
from trainers.roles import score_asking, scorer_needs
from truing.algorithms.rules import safety_first
from truing.algorithms.statistics import standardised
from truing.config.rewards import AiScorePart, CombinedPart, RewardModelPart, RewardPart, part_name
from truing.config.roles import Scorer
from truing.errors import ConfigError
from truing.labeling.calibration import p_first
from truing.records import Pair, Row, canonical_pair, content_id

START = "start"
"""What the start policy is called in an evaluation."""


@dataclass(frozen=True)
class Graders:
    """Who scores outputs, and where what they say is kept: `home` is a folder below the run's."""

    context: Context
    scorer: Scorer
    precision: str
    home: str

    def pool(self, make: Callable[[], Any], answer: Any) -> Pool:
        """Scoring actors of an offline pass."""
        cluster, count = self.context.study.cluster, self.scorer.count
        return Pool(make, answer, scorer_needs(self.scorer, cluster), count, count)

    def asked(self, title: str, table: str, rows: list[Row], pool: Pool) -> dict[str, Row]:
        """One pass; the answers by question id."""
        unique = list({row["id"]: row for row in rows}.values())
        done = sweep(
            title, unique, self.context.run.table(f"{self.home}/{table}"), pool,
            max_failed=self.context.study.label.max_failed, connect=self.context.connect,
        )  # fmt: skip
        return {row["id"]: row for row in done}


def graded(graders: Graders, parts: Sequence[RewardPart], rows: list[Row]) -> dict[str, dict[str, float]]:
    """Reward parts of each output and their weighted `total`, by output id; a part that failed is absent, and the total too."""
    found: dict[str, dict[str, float]] = {row["id"]: {} for row in rows}
    for part in parts:
        for key, score in _scores(graders, part, rows).items():
            found[key][part_name(part)] = score
    weights = {part_name(part): part.weight for part in parts}
    for scores in found.values():
        if set(scores) == set(weights):
            scores["total"] = sum(weights[kind] * score for kind, score in scores.items())
    return found


def _scores(graders: Graders, part: RewardPart, rows: list[Row]) -> dict[str, float]:
    if isinstance(part, RewardModelPart):
        return _model_scores(graders, part, rows)
    if isinstance(part, CombinedPart):
        return _combined_scores(graders, part, rows)
    if isinstance(part, AiScorePart):
        return _ai_scores(graders, part, rows)
    return {row["id"]: rule_score(part, row["text"], len(row["tokens"]), row["finished"]) for row in rows}


def _model_scores(graders: Graders, part: RewardModelPart, rows: list[Row]) -> dict[str, float]:
    folder = part.path or str(graders.context.run.path / "reward_model" / "model")
    if not Path(folder).is_dir():
        raise ConfigError(
            f"{graders.home}: the reward graph wants a reward model and {folder} is absent; run `truing train` first"
        )
    return _scored(graders, folder, rows, measure.reward)


def _combined_scores(graders: Graders, part: CombinedPart, rows: list[Row]) -> dict[str, float]:
    """Llama 2's reward, whitened over all outputs."""
    safety, helpful = (_scored(graders, folder, rows, measure.raw_reward) for folder in (part.safety, part.helpful))
    limit = math.log(part.threshold / (1 - part.threshold))
    found = {
        row["id"]: safety_first(
            safety[row["id"]], helpful[row["id"]], must_be_safe=row["domain"] in part.domains, limit=limit
        )
        for row in rows
        if row["id"] in safety and row["id"] in helpful
    }
    return dict(zip(found, standardised(list(found.values())), strict=True))


def _scored(graders: Graders, folder: str, rows: list[Row], answer: Any) -> dict[str, float]:
    """A reward model's score of each output; the same text is scored once."""
    identity = content_id(fingerprint(folder), answer.__name__)
    keys = {row["id"]: content_id("reward", identity, row["prompt"], row["text"]) for row in rows}
    questions = [{"id": keys[row["id"]], "prompt": row["prompt"], "text": row["text"]} for row in rows]
    make = partial(RewardScorer, folder, graders.context.study.model.context, graders.scorer, graders.precision)
    found = graders.asked("reward model", "rewards", questions, graders.pool(make, answer))
    return {key: found[question]["score"] for key, question in keys.items() if question in found}


def _ai_scores(graders: Graders, part: AiScorePart, rows: list[Row]) -> dict[str, float]:
    context = graders.context
    judge = member(online(part.labeler or context.study.labeler, "rewards: ai_score"))
    asking = score_asking(part)
    steps = evaluation_steps(context, part)
    asked_of = content_id("score", judge.id, asking.template("*").hash, asking.criterion, steps)
    keys = {row["id"]: content_id(asked_of, row["prompt"], row["text"]) for row in rows}
    questions = [{"id": keys[row["id"]], "prompt": row["prompt"], "text": row["text"]} for row in rows]
    answer = partial(measure.score, asking=asking, steps=steps)
    account = spent(context.run.path, judge.id)
    pool = labeler_pool(judge, context.study.cluster, answer, 64, spent=account)
    found = graders.asked("direct scores", "scores", questions, pool)
    return {key: found[question]["score"] for key, question in keys.items() if question in found}


@dataclass(frozen=True, slots=True)
class Game:
    """A text and the one that it is judged against."""

    prompt: str
    text: str
    other: str
    domain: str


def verdicts(context: Context, title: str, folder: Path, games: Sequence[Game]) -> list[float | None]:
    """1 where the study's labeler finds the text better (P > ½), ½ for a tie, 0 else; None where it gave no verdict.

    P is the mean of both orders, or the study's calibration map's. Equal texts are a tie, unasked. Raises ConfigError where
    the map is to be used and is not fitted yet.
    """
    paired = [canonical_pair(game.prompt, game.text, game.other, game.domain) for game in games]
    unlike = [pair for pair, _ in paired if pair.first != pair.second]
    label = context.study.label
    askings = dict([next(iter(context.askings.items()))])
    ((asked_as, asking),) = askings.items()
    maps = fitted_maps(context, askings)
    consult(context, title, folder, partial(_pairs, unlike), askings, label.max_failed)
    known = judgements(context.study.labeler, folder)
    found: list[float | None] = []
    for pair, swapped in paired:
        judged = known.get((pair.id, asked_as))
        if pair.first == pair.second:
            found.append(0.5)
        elif judged is None:
            found.append(None)
        else:
            p = p_first(judged, asking, pair, maps.get(asked_as))
            found.append(0.5 if p == 0.5 else float((p > 0.5) != swapped))
    return found


def _pairs(pairs: list[Pair]) -> Iterator[tuple[Pair, Row]]:
    for pair in {pair.id: pair for pair in pairs}.values():
        yield pair, {}
