"""Scores in the replies of a judge, and the mean of samples (G-Eval, Liu et al., arXiv 2303.16634).

Two readers, each for its own form of reply: `parse_score` where the judge is asked for the score alone, `stated_score`
where it reasons first. The paper's own reader and its probability-weighted score are in `truing.algorithms.scores`.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from truing.records import Unparsable

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
"""Numbers that a judge writes out."""

_NUMBER = rf"(?<![\w.])(\d+(?:\.\d+)?|{'|'.join(WORDS)})(?!\w|\.\d|\.\.)"
_ALONE = re.compile(rf"\s*(?:[-*]\s+)?(?:[A-Za-z][A-Za-z ]*[:=])?\s*{_NUMBER}", re.IGNORECASE)
_AFTER_SCORE = re.compile(rf"\bscor(?:e|es|ed|ing)\b[^.]*?{_NUMBER}", re.IGNORECASE)
_OUT_OF = re.compile(rf"{_NUMBER}\s*(?:out of|/)\s*(?:\d|{'|'.join(WORDS)})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SampledScore:
    """Mean of the `n` samples that hold a score, NaN where none does; `unparsable` samples are in no other figure."""

    mean: float
    n: int
    unparsable: int


def parse_score(reply: str, low: float, high: float) -> float | Unparsable:
    """The number that a reply begins with, after white space, a bullet and a heading ("- Coherence: 3"), in [low, high].

    "4.", "2/5" and "three" are read; "4..5", a number off the scale and prose that reaches its number later are not.
    """
    return _within(_ALONE.match(reply), reply, low, high)


def stated_score(reply: str, low: float, high: float) -> float | Unparsable:
    """The score of a reply that gives its reasons first, in [low, high].

    The first number after "score" or "scoring" within a sentence; without one, the last that is "out of" something.
    Words up to ten are read.
    """
    found = _AFTER_SCORE.search(reply)
    if found is None:
        *_, found = None, *_OUT_OF.finditer(reply)
    return _within(found, reply, low, high)


def mean_of_samples(scores: Sequence[float | Unparsable]) -> SampledScore:
    """Mean over the samples of one item (the paper: 20 at temperature 1), those without a score left out and counted."""
    read = [score for score in scores if not isinstance(score, Unparsable)]
    mean = math.fsum(read) / len(read) if read else math.nan
    return SampledScore(mean, len(read), len(scores) - len(read))


def _within(found: re.Match[str] | None, reply: str, low: float, high: float) -> float | Unparsable:
    if found is None:
        return Unparsable(reply)
    number = found.group(1).lower()
    score = float(WORDS.index(number)) if number in WORDS else float(number)
    return score if low <= score <= high else Unparsable(reply)
