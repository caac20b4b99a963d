"""A pair that the labeler judged in both orders and people marked: what all trust in a labeler is measured on."""

import math
from dataclasses import dataclass, replace

from truing.labeling.consensus import OrderedLogprobs, Position, flips, inverted


@dataclass(frozen=True)
class Judged:
    """One pair (a, b) judged by the labeler in both orders and marked by humans.

    `p`: P(a preferred), both orders averaged and inverted where the template asks for the worse one.
    `ab`, `ba`: the label log-probabilities with a, respectively b, shown first; raw, never inverted. A judge that only
    names its verdict has (0, -inf), one that calls a tie (log 1/2, log 1/2).
    `human_first`: humans prefer a; pairs that they call a tie are left out and counted by the caller.
    `length_gap`: length of a minus length of b, in whatever unit all pairs share.
    `criterion`: what the labeler was asked to judge by. `asks_for_worse`: its template asks for the worse response.
    `both_orders`: False for a recorded judge that was asked in one order only; its `ba` is the mirror image of `ab`, and
    no figure of its consistency counts it.
    `pair`: what the pair is called, the same under every criterion: its judgements are one item of every figure's n. None
    for a pair that is judged once.
    `prompt`: what its prompt is called. Pairs of one prompt are not independent: a resample draws them together. None for
    a prompt with a single pair.
    Raises ValueError where `p` is not in [0, 1].
    """

    p: float
    ab: OrderedLogprobs
    ba: OrderedLogprobs
    human_first: bool
    domain: str
    length_gap: int
    criterion: str = "overall"
    asks_for_worse: bool = False
    both_orders: bool = True
    pair: str | None = None
    prompt: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"P(a preferred) = {self.p} is not in [0, 1]: leave unparsable pairs out and count them.")

    def swap(self) -> "Judged":
        """The same judgement with the responses named the other way round."""
        return replace(
            self,
            p=inverted(self.p),
            ab=self.ba,
            ba=self.ab,
            human_first=not self.human_first,
            length_gap=-self.length_gap,
        )

    @property
    def tied(self) -> bool:
        """The labeler prefers neither: p is exactly 1/2."""
        return self.p == 0.5

    @property
    def pick(self) -> Position | None:
        """The response that the labeler prefers, both orders taken together; None where it is tied."""
        if self.tied:
            return None
        return "first" if self.p > 0.5 else "second"

    @property
    def agrees(self) -> bool:
        """argmax of (p, 1 - p) is the response humans prefer; a tie goes to a."""
        return (self.p >= 0.5) == self.human_first

    @property
    def confidence(self) -> float:
        """Probability of the response the labeler picks, in [0.5, 1]."""
        return max(self.p, 1 - self.p)

    @property
    def entropy(self) -> float:
        """Entropy of (p, 1 - p) in nats, from 0 (certain) to ln 2 (undecided)."""
        return -sum(q * math.log(q) for q in (self.p, 1 - self.p) if q > 0)

    @property
    def same_position(self) -> Position | None:
        """The position that wins in both orders, if one does: the labeler followed the place, not the text."""
        return self.ab.winner if self.ab.winner == self.ba.winner else None

    @property
    def flips(self) -> bool:
        """The verdict (a, b or neither) changes with the order.

        So it does wherever the same position wins twice, and besides where exactly one order is a dead heat:
        flip rate = same-position rate + share of pairs with one order tied.
        """
        return flips(self.ab, self.ba)

    @property
    def chosen_longer_by(self) -> int:
        """Length of the response humans prefer minus that of the other."""
        return self.length_gap if self.human_first else -self.length_gap

    @property
    def label_mass(self) -> float:
        """Probability on the two labels, mean of both orders."""
        return (self.ab.mass + self.ba.mass) / 2
