"""The reward graph: reward models, labelers and rules, weighted. The same in training, best-of-n and evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.forward import regroup
from actors.group import ActorGroup
from actors.labeler import Labeler, Missing
from actors.pending import Pending
from actors.reward_model import RewardScorer
from actors.serving import ServedLabelers
from truing.algorithms.rules import finished_reward, length_penalty, pattern_share
from truing.algorithms.statistics import standardised
from truing.config.rewards import FinishedPart, LengthPart, RulePart
from truing.labeling.asking import Asking
from truing.records import Failed, NotAsked, Rollout, Unparsable

Scores = Sequence[Sequence[float | Failed]]
"""One score a completion, by prompt."""

Groups = Sequence[Sequence[Rollout]]


def model_scores(scorer: RewardScorer, groups: Groups) -> list[list[float | Failed]]:
    """The reward model's scaled scores."""
    found = scorer.score([(group[0].prompt, [rollout.text for rollout in group]) for group in groups])
    return [list(scores) for scores in found]


def labeler_scores(labeler: Labeler, groups: Groups, *, asking: Asking, steps: str) -> list[list[float | Failed]]:
    """The labeler's direct scores in [-1, 1]; a reply without a score, or none, has failed."""
    texts = [(rollout.prompt, rollout.text) for group in groups for rollout in group]
    return regroup([_number(found) for found in labeler.score(texts, asking, steps)], groups)


def _number(found: float | Missing) -> float | Failed:
    if isinstance(found, Unparsable):
        return Failed(f"unparsable: {found.raw[:200]}")
    return Failed(found.reason) if isinstance(found, NotAsked) else found


def rule_score(rule: RulePart, text: str, tokens: int, finished: bool) -> float:
    """What a rule gives one completion, in training and in evaluation alike."""
    if isinstance(rule, FinishedPart):
        return finished_reward(finished)
    if isinstance(rule, LengthPart):
        return length_penalty(tokens, rule.target)
    return pattern_share(text, rule.pattern)


def rule_scores(_: object, groups: Groups, *, rule: RulePart) -> list[list[float | Failed]]:
    """The rule on each completion; any actor can compute it."""
    return [[rule_score(rule, one.text, len(one.tokens), one.finished) for one in group] for group in groups]


@dataclass(frozen=True, slots=True)
class Part:
    """One node of the graph: a function that some group of actors runs on the rollouts."""

    name: str
    weight: float
    group: ActorGroup[Any] | ServedLabelers
    function: Callable[..., list[list[float | Failed]]]
    options: dict[str, object] = field(default_factory=dict)
    whiten: bool = False
    """In the total its scores are scaled to mean 0 and deviation 1 over each batch."""


@dataclass(frozen=True, slots=True)
class Reward:
    """Raw scores by part, and two weighted sums of them: what is reported, and what is trained on."""

    parts: dict[str, float | Failed]
    raw: float | None
    """Of the scores as they are; None where a part failed."""
    total: float | None
    """Of the scores as the graph scales them: another number only where a part is whitened. None where a part failed."""


def whitened_scores(scores: Scores) -> list[list[float | Failed]]:
    """Mean 0 and deviation 1 over the scores of a batch that did not fail."""
    scaled = iter(standardised([s for group in scores for s in group if not isinstance(s, Failed)]))
    return [[s if isinstance(s, Failed) else next(scaled) for s in group] for group in scores]


class RewardGraph:
    """A weighted sum of parts. Raw scores are kept beside the total; shaping (KL) happens elsewhere."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)

    def start(self, samples: Pending[list[Rollout]]) -> list[Pending[list[float | Failed]]]:
        """Set every part to work at the same time."""
        return [part.group.scatter(part.function, samples, **part.options) for part in self._parts]

    def finish(self, pending: Sequence[Pending[list[float | Failed]]]) -> list[list[Reward]]:
        """Wait for the parts and sum them, by prompt and completion."""
        raw = [scores.get() for scores in pending]
        scaled = [
            whitened_scores(scores) if part.whiten else scores for part, scores in zip(self._parts, raw, strict=True)
        ]
        prompts = zip(_by_completion(raw), _by_completion(scaled), strict=True)
        return [[self._reward(*one) for one in zip(*prompt, strict=True)] for prompt in prompts]

    def _reward(self, raw: Sequence[float | Failed], scaled: Sequence[float | Failed]) -> Reward:
        parts = {part.name: score for part, score in zip(self._parts, raw, strict=True)}
        return Reward(parts, self._sum(raw), self._sum(scaled))

    def _sum(self, scores: Sequence[float | Failed]) -> float | None:
        known = [
            part.weight * score
            for part, score in zip(self._parts, scores, strict=True)
            if not isinstance(score, Failed)
        ]
        return sum(known) if len(known) == len(scores) else None


def _by_completion(columns: Sequence[Scores]) -> list[list[tuple[float | Failed, ...]]]:
    """The scores of all parts together, by prompt and completion."""
    return [list(zip(*prompt, strict=True)) for prompt in zip(*columns, strict=True)]
