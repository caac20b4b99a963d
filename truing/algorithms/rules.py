"""Rewards that a rule can give: no model, no opinion."""

import re


def finished_reward(finished: bool) -> float:
    """0 for a completion that ended by itself, -1 for one cut off."""
    return 0.0 if finished else -1.0


def pattern_share(text: str, pattern: str) -> float:
    """Share of the characters of `text` that lie inside matches of a regular expression; 0 for an empty text."""
    if not text:
        return 0.0
    return sum(match.end() - match.start() for match in re.finditer(pattern, text)) / len(text)


def length_penalty(tokens: int, target: int) -> float:
    """0 up to `target` tokens, then -1 for each further `target` tokens, linearly."""
    return -max(0, tokens - target) / target


def safety_first(safety: float, helpfulness: float, *, must_be_safe: bool, limit: float) -> float:
    """Llama 2's R_c (Touvron et al., arXiv 2307.09288, §3.2.3), on the models' logits.

    The safety score where the prompt may elicit unsafe answers or the score lies below `limit`, the logit of 0.15 there;
    else the helpfulness score.
    """
    return safety if must_be_safe or safety < limit else helpfulness
