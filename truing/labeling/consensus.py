"""From label log-probabilities to one preference or score (Lee et al., RLAIF, arXiv 2309.00267)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from truing.algorithms.scores import weighted_score

Position = Literal["first", "second"]


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


def flips(ab: OrderedLogprobs, ba: OrderedLogprobs) -> bool:
    """The verdict (a, b or neither) changes with the order: a place wins twice, or exactly one order is a dead heat."""
    opposite: Mapping[Position | None, Position | None] = {"first": "second", "second": "first", None: None}
    return ab.winner != opposite[ba.winner]


def inverted(p: float) -> float:
    """P(a preferred) from P(a named), for a template that asks for the worse one (harmlessness: "more harmful")."""
    return 1 - p


def self_consistent(readings: Sequence[OrderedLogprobs]) -> OrderedLogprobs:
    """One reading for several of the same order, one after each rationale (section 2.1, "Self-Consistency").

        P(first) = mean_i P_i(first),   mass = mean_i mass_i,   log-prob of first = log P(first) + log mass

    and the same of second, each from its own sum, so that swapped readings give the swapped answer to the last bit.
    Raises ValueError where there is no reading.
    """
    if not readings:
        raise ValueError("no reading to average: every rationale failed, so the question failed.")
    log_mass = _log_mean([_log_sum(r.first, r.second) for r in readings])
    first = _log_mean([_log_share(r.first, r.second) for r in readings])
    second = _log_mean([_log_share(r.second, r.first) for r in readings])
    return OrderedLogprobs(first + log_mass, second + log_mass)


def p_yes(logp_yes: float, logp_no: float) -> float:
    """P(yes) / (P(yes) + P(no)): was the feedback incorporated (Scheurer et al., ILF, arXiv 2303.16755)."""
    return OrderedLogprobs(logp_yes, logp_no).p_first


def expected_score(log_likelihoods: Mapping[str, float] | Sequence[float]) -> float:
    """Direct score s = sum_i i P(i), i = 1..n, in [1, n], P renormalised over the n strings (section 2.2.2; G-Eval).

    `log_likelihoods`: in nats, that of string i under its name or at index i - 1; a common constant has no effect. Our
    engines give all n; `truing.algorithms.scores.weighted_score` takes a judge's top tokens, in which some are missing.
    Raises ValueError unless the names are 1..n, n > 1, none is NaN, and the maximum is finite.
    """
    found = _named(log_likelihoods)
    usable = not any(math.isnan(value) or value == math.inf for value in found.values())
    score = weighted_score(found, range(1, len(found) + 1)) if usable else None
    if score is None:
        raise ValueError("the score strings have no usable likelihood: treat the reply as unparsable.")
    return score


def to_unit_interval(score: float, top: int = 10) -> float:
    """A score of 1..top mapped linearly to a reward in [-1, 1]: (s - 1) / (top - 1) * 2 - 1."""
    return (score - 1) / (top - 1) * 2 - 1


def _named(given: Mapping[str, float] | Sequence[float]) -> Mapping[str, float]:
    """The log-likelihoods by "1".."n", with none missing."""
    if not isinstance(given, Mapping):
        given = {str(score): value for score, value in enumerate(given, start=1)}
    if set(given) != {str(score) for score in range(1, len(given) + 1)}:
        raise ValueError(f"log-likelihoods of {sorted(given)}: a score needs those of 1 to n, each, and no others.")
    if len(given) < 2:
        raise ValueError(f"{len(given)} log-likelihoods: a score reads those of at least two strings.")
    return given


def _log_share(one: float, other: float) -> float:
    """log(e^one / (e^one + e^other)), where not both are -inf."""
    lead = one - other
    return -math.log1p(math.exp(-lead)) if lead >= 0 else lead - math.log1p(math.exp(lead))


def _log_sum(one: float, other: float) -> float:
    high, low = max(one, other), min(one, other)
    return high + math.log1p(math.exp(low - high))


def _log_mean(values: Sequence[float]) -> float:
    """Log of the mean of e^value, whatever the order of the values."""
    top = max(values)
    return (
        top if math.isinf(top) else top + math.log(math.fsum(math.exp(value - top) for value in values) / len(values))
    )
