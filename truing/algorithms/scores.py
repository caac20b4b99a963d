"""Scores of a judge: the probability-weighted one (G-Eval, Liu et al., arXiv 2303.16634), and numbers in its replies.

None is no score: what becomes of the item, a reply that could not be read or a missing figure, is the caller's to say.
"""

import math
import re
from collections.abc import Mapping, Sequence

_BRACKETED = re.compile(r"\[\[(\d+\.?\d*)\]\]"), re.compile(r"\[(\d+\.?\d*)\]")
_LEGACY = re.compile(r"^ ?([\d.]+)")


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
    mean = math.fsum(score * weight for score, weight in weights.items()) / math.fsum(weights.values())
    return min(max(mean, float(min(weights))), float(max(weights)))  # the two roundings may give an ulp more


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


def legacy_score(reply: str) -> float:
    """The number at the start as G-Eval's released code reads it: no range, and 0 where there is none.

    Its zeros are averaged in, which lowers every mean; it is here to reproduce published figures, and for nothing else.
    """
    found = _LEGACY.search(reply)
    try:
        return float(found.group(1)) if found else 0.0
    except ValueError:
        return 0.0


def bracketed_numbers(reply: str) -> list[float]:
    """Every `[[7]]` in a reply in order, else every `[7]`: ratings (Zheng et al., MT-bench, arXiv 2306.05685)."""
    double, single = (pattern.findall(reply) for pattern in _BRACKETED)
    return [float(number) for number in double or single]


def _on_scale(logprobs: Mapping[str, float], scale: Sequence[int]) -> dict[int, float]:
    found = {score: logprobs.get(str(score), -math.inf) for score in scale}
    if not found:
        raise ValueError("the scale is empty: name its scores, such as range(1, 6).")
    if any(math.isnan(logp) or logp == math.inf for logp in found.values()):
        raise ValueError(f"log-probabilities {found}: NaN or +inf is none; leave the token out, and it counts as 0.")
    return found
