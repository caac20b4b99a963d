"""Scores in the replies of a judge: the probability-weighted score and the mean of samples (G-Eval, arXiv 2303.16634).

Three readers, each for its own form of reply: `parse_score` where the judge is asked for the score alone, `stated_score`
where it reasons first, and `legacy_score`, which is the paper's code.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from truing.records import Unparsable

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
"""Numbers that a judge writes out."""

_NUMBER = rf"(?<![\w.])(\d+(?:\.\d+)?|{'|'.join(WORDS)})(?!\w|\.\d|\.\.)"
_ALONE = re.compile(rf"\s*(?:[-*]\s+)?(?:[A-Za-z][A-Za-z ]*[:=])?\s*{_NUMBER}", re.IGNORECASE)
_AFTER_SCORE = re.compile(rf"\bscor(?:e|es|ed|ing)\b[^.]*?{_NUMBER}", re.IGNORECASE)
_OUT_OF = re.compile(rf"{_NUMBER}\s*(?:out of|/)\s*(?:\d|{'|'.join(WORDS)})", re.IGNORECASE)
_LEGACY = re.compile(r"^ ?([\d.]+)")


@dataclass(frozen=True, slots=True)
class SampledScore:
    """Mean of the `n` samples that hold a score, NaN where none does; `unparsable` samples are in no other figure."""

    mean: float
    n: int
    unparsable: int


# --- token probabilities ---------------------------------------------------------------------------------------------


def weighted_score(logprobs: Mapping[str, float], scale: Sequence[int]) -> float | None:
    """sum_s s P(s) / sum_s P(s) over the scores s of `scale`, P from log-probabilities in nats by token.

    Tokens off the scale are not counted, and a score that is missing among the top tokens has probability 0. None where
    the whole scale has none: the reply is unparsable. Raises ValueError for an empty scale or a NaN.
    """
    found = _on_scale(logprobs, scale)
    top = max(found.values())
    if top == -math.inf:
        return None
    weights = {score: math.exp(logp - top) for score, logp in found.items()}
    return math.fsum(score * weight for score, weight in weights.items()) / math.fsum(weights.values())


def literal_weighted_score(logprobs: Mapping[str, float], scale: Sequence[int]) -> float | None:
    """The paper's equation 1 to the letter: sum_s s P(s), not renormalised. Otherwise as `weighted_score`.

    Probability on other tokens pulls it towards 0, so that a judge who chats scores low.
    """
    found = _on_scale(logprobs, scale)
    if max(found.values()) == -math.inf:
        return None
    return math.fsum(score * math.exp(logp) for score, logp in found.items())


def scale_mass(logprobs: Mapping[str, float], scale: Sequence[int]) -> float:
    """Probability that the judge gives to the scale at all, in [0, 1]: far below 1, the two scores above part ways."""
    return math.fsum(math.exp(logp) for logp in _on_scale(logprobs, scale).values())


def _on_scale(logprobs: Mapping[str, float], scale: Sequence[int]) -> dict[int, float]:
    found = {score: logprobs.get(str(score), -math.inf) for score in scale}
    if not found:
        raise ValueError("the scale is empty: name its scores, such as range(1, 6).")
    if any(math.isnan(logp) or logp == math.inf for logp in found.values()):
        raise ValueError(f"log-probabilities {found}: NaN or +inf is none; leave the token out, and it counts as 0.")
    return found


# --- replies ---------------------------------------------------------------------------------------------------------


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


def legacy_score(reply: str) -> float:
    """The number at the start as the paper's released code reads it: no range, and 0 where there is none.

    Its zeros are averaged in, which lowers every mean; it is here to reproduce published figures, and for nothing else.
    """
    found = _LEGACY.search(reply)
    try:
        return float(found.group(1)) if found else 0.0
    except ValueError:
        return 0.0


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
