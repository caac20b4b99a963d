"""The reward graph: what its parts are, and what figures call them."""

import re
from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from truing.config.base import Section
from truing.config.labeling import SingleLabeler
from truing.config.roles import Positive, Scorer, Weight
from truing.config.serving import Replicas


class RewardModelPart(Section):
    """Score of the trained reward model, scaled to mean 0 and deviation 1 on the start policy's samples."""

    kind: Literal["reward_model"] = "reward_model"
    name: Annotated[str, Field(pattern=r"^[\w -]+$")] = "reward_model"
    """What figures call it. Several reward models have a name each."""
    weight: Weight = 1.0
    path: str = ""
    """A reward model's folder; empty takes the one that this study trains."""
    scorer: Scorer = Scorer()


class AiScorePart(Section):
    """Direct RLAIF: the labeler's expected score, 1-10 or whatever the template's scale is, mapped to [-1, 1]."""

    kind: Literal["ai_score"] = "ai_score"
    weight: Weight = 1.0
    template: str = "score"
    """Template name or file."""
    criterion: Annotated[str, Field(pattern=r"^[\w -]+$")] = "overall"
    """Which of the template's qualities is scored; entries of different ones are different parts."""
    labeler: SingleLabeler | None = None
    """Who scores; absent takes the study's labeler, which must then be a single one."""
    serve: Replicas | None = None
    """Serve the labeler with Ray Serve, with so many replicas; absent starts actors of a fixed number."""


class FinishedPart(Section):
    """0 for a completion that ended by itself, -1 for one cut off at `max_tokens`."""

    kind: Literal["finished"] = "finished"
    weight: Weight = 1.0


class LengthPart(Section):
    """0 for a completion of up to `target` tokens, falling by 1 with each further `target` tokens."""

    kind: Literal["length"] = "length"
    weight: Weight = 1.0
    target: Positive = 256
    """Tokens that cost nothing."""


class CombinedPart(Section):
    """Llama 2's reward (Touvron et al., arXiv 2307.09288, §3.2.3): the safety model rules where it must, else helpfulness.

    R = R_safety where the prompt's domain is a safety domain or R_safety < threshold, else R_helpful; both are sigmoids of
    the models' scores. The logit of R is the score; whitened over the batch, it is what is trained on.
    """

    kind: Literal["combined"] = "combined"
    weight: Weight = 1.0
    safety: str
    """Folder of the safety reward model."""
    helpful: str
    """Folder of the helpfulness reward model."""
    domains: tuple[str, ...] = ("harmless",)
    """Domains whose prompts may elicit unsafe answers."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """σ of a safety score below which the answer counts as unsafe, whatever the prompt."""
    scorer: Scorer = Scorer()


class PatternPart(Section):
    """Share of the completion's characters inside matches of a regular expression, in [0, 1]."""

    kind: Literal["pattern"] = "pattern"
    weight: Weight = 1.0
    pattern: str
    """Python regular expression."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"is not a regular expression ({error}); escape what is meant literally") from None
        return pattern


RulePart = FinishedPart | LengthPart | PatternPart
"""Parts that a rule scores: no model, no opinion."""


def part_name(part: "RewardPart") -> str:
    """What a part is called in metrics and reports: its name or its kind, with the pattern or the criterion that tells it from
    others."""
    if isinstance(part, RewardModelPart):
        return part.name
    if isinstance(part, PatternPart):
        return f"pattern {part.pattern}"
    if isinstance(part, AiScorePart) and part.criterion != "overall":
        return f"{part.kind} {part.criterion}"
    return part.kind


RewardPart = Annotated[
    RewardModelPart | CombinedPart | AiScorePart | FinishedPart | LengthPart | PatternPart, Field(discriminator="kind")
]


def _told_apart(parts: tuple[RewardPart, ...]) -> tuple[RewardPart, ...]:
    # Figures show a blank for an underscore, and call the sum of all parts the total.
    names = Counter(part_name(part).replace("_", " ") for part in parts)
    if "total" in names:
        raise ValueError("names a part 'total', which is what the sum of all parts is called; give it another name")
    twice = [part_name(part) for part in parts if names[part_name(part).replace("_", " ")] > 1]
    if twice:
        said = ", ".join(sorted(set(twice)))
        raise ValueError(
            f"names {said} twice: give one entry with the summed weight, or each reward model a name of its own"
        )
    return parts


RewardParts = Annotated[tuple[RewardPart, ...], AfterValidator(_told_apart)]
"""A reward graph: a weighted sum of parts, each with its own name."""
SomeParts = Annotated[tuple[RewardPart, ...], Field(min_length=1), AfterValidator(_told_apart)]
"""The same, of one part at least."""
