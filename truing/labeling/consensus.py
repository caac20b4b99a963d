"""From label log-probabilities to one preference or score (Lee et al., RLAIF, arXiv 2309.00267)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Position = Literal["first", "second"]

SCORES = tuple(str(score) for score in range(1, 11))
"""The strings a direct score is read from, in order."""


@dataclass(frozen=True)
class OrderedLogprobs:
    """Log-probabilities (nats) of the labels naming the `first` and `second` response shown, in one presentation order.

    -inf is allowed for a label the labeler ruled out. Raises ValueError where nothing can be compared: a NaN, +inf, or
    -inf for both labels.
    """

    first: float
    second: float

    def __post_init__(self) -> None:
        top = max(self.first, self.second)
        if math.isnan(self.first) or math.isnan(self.second) or math.isinf(top):
            raise ValueError(
                f"label log-probabilities {self.first} and {self.second} cannot be compared: the reply is unparsable."
            )

    @property
    def p_first(self) -> float:
        """Probability of the first label among the two: their softmax (section 2.1.1). Swapped labels give 1 - p."""
        stronger = 1 / (1 + math.exp(-abs(self.first - self.second)))
        return stronger if self.first >= self.second else 1 - stronger

    @property
    def winner(self) -> Position | None:
        """The position whose label is the more probable; None for a dead heat."""
        if self.first == self.second:
            return None
        return "first" if self.first > self.second else "second"

    @property
    def mass(self) -> float:
        """Probability the labeler gives to either label at all: near 1 where it understood what is asked."""
        return math.exp(self.first) + math.exp(self.second)


def preference_from_orders(ab: OrderedLogprobs, ba: OrderedLogprobs) -> float:
    """P(a preferred) = (P(first | a, b) + P(second | b, a)) / 2: both orders, the second flipped back.

    Position bias cancels (section 2.1.1, appendix B). Naming the pair the other way round gives 1 - p to the last bit:
    the distance from 1/2 changes sign exactly, and 1 - x is exact for x in [1/2, 1]. The resolution is 2^-53.
    """
    lean = (ab.p_first - ba.p_first) / 2
    stronger = 0.5 + abs(lean)
    return stronger if lean >= 0 else 1 - stronger


def inverted(p: float) -> float:
    """P(a preferred) from P(a named), for a template that asks for the worse one (harmlessness: "more harmful")."""
    return 1 - p


def string_likelihoods(logp_tokens: Mapping[str, float], logp_zero_after_one: float) -> list[float]:
    """Log-likelihoods of the strings "1".."10", in order, where "10" is the two tokens "1" and "0".

    `logp_tokens`: log-probabilities of the tokens "1".."9" at the position of the score; other entries are ignored.
    `logp_zero_after_one`: log P("0" | "1"), so that the token "1" is shared out:

        P("1") = P(token 1) (1 - P(0 | 1)),   P("10") = P(token 1) P(0 | 1)

    A tokenizer with a token "10" does not need this. Raises ValueError for a missing digit, or a positive or NaN
    `logp_zero_after_one`.
    """
    missing = [digit for digit in SCORES[:-1] if digit not in logp_tokens]
    if missing:
        raise ValueError(f"no log-probability for {missing}: ask the engine for the log-probabilities of every digit.")
    if not logp_zero_after_one <= 0:
        raise ValueError(f'log P("0" | "1") = {logp_zero_after_one} is no log-probability.')
    one, *others = (logp_tokens[digit] for digit in SCORES[:-1])
    p_stop = -math.expm1(logp_zero_after_one)
    logp_stop = math.log(p_stop) if p_stop > 0 else -math.inf
    return [one + logp_stop, *others, one + logp_zero_after_one]


def expected_score(log_likelihoods: Sequence[float]) -> float:
    """Direct score s = sum_i i P(i), i = 1..10, in [1, 10], P renormalised over the ten strings (section 2.2.2).

    `log_likelihoods`: ten values in nats, that of string i at index i - 1; a common constant has no effect.
    Raises ValueError unless there are ten, none NaN, and at least one is a finite maximum.
    """
    if len(log_likelihoods) != len(SCORES):
        raise ValueError(f"{len(log_likelihoods)} log-likelihoods: a direct score reads the ten strings 1..10.")
    top = max(log_likelihoods)
    if any(math.isnan(value) for value in log_likelihoods) or math.isinf(top):
        raise ValueError("the ten score strings have no usable likelihood: treat the reply as unparsable.")
    weights = [math.exp(value - top) for value in log_likelihoods]
    return math.fsum(score * weight for score, weight in enumerate(weights, start=1)) / math.fsum(weights)


def to_unit_interval(score: float) -> float:
    """A score of 1..10 mapped linearly to a reward in [-1, 1]: (s - 1) / 9 * 2 - 1."""
    return (score - 1) / 9 * 2 - 1
