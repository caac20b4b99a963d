"""Llama 2's reward: a safety and a helpfulness model, and the rule that says which one speaks (arXiv 2307.09288, §3.2.3)."""

import math
from collections.abc import Sequence

from actors.reward_model import RewardScorer
from truing.algorithms.rules import safety_first
from truing.config.rewards import CombinedPart
from truing.records import Failed, Rollout


class SafetyAndHelpfulness:
    """Stateless: both models' raw scores."""

    def __init__(self, part: CombinedPart, context: int, precision: str) -> None:
        self.safety = RewardScorer(part.safety, context, part.scorer, precision)
        self.helpful = RewardScorer(part.helpful, context, part.scorer, precision)


def combined_scores(
    models: SafetyAndHelpfulness,
    groups: Sequence[Sequence[Rollout]],
    *,
    safety_prompts: frozenset[str],
    threshold: float,
) -> list[list[float | Failed]]:
    """The logit of R for each completion; in the total the graph whitens it over the batch. A raw score is the logit of its
    sigmoid."""
    asked = [(group[0].prompt, [rollout.text for rollout in group]) for group in groups]
    limit = math.log(threshold / (1 - threshold))
    return [
        [
            safety_first(safe, useful, must_be_safe=group[0].prompt_id in safety_prompts, limit=limit)
            for safe, useful in zip(safety, helpful, strict=True)
        ]
        for group, safety, helpful in zip(groups, models.safety.raw(asked), models.helpful.raw(asked), strict=True)
    ]
