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
