"""How far to trust an AI labeler: its verdicts on pairs that humans have marked (Lee et al., RLAIF, 2309.00267)."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, binomial_two_sided, bootstrap, bootstrap_mean
from truing.labeling.consensus import OrderedLogprobs, Position

FloatArray = NDArray[np.float64]
Key = TypeVar("Key", str, int)
Row = dict[str, str | float | None]
OPPOSITE: Mapping[Position | None, Position | None] = {"first": "second", "second": "first", None: None}

EDGES = np.linspace(0.5, 1, 11)
"""Edges of the calibration bins, over the probability of the response the labeler picks."""


@dataclass(frozen=True)
class Judged:
    """One pair (a, b) judged by the labeler in both orders and marked by humans.

    `p`: P(a preferred), both orders averaged and inverted where the template asks for the worse one.
    `ab`, `ba`: the label log-probabilities with a, respectively b, shown first; raw, never inverted.
    `human_first`: humans prefer a. `length_gap`: length of a minus length of b, in whatever unit all pairs share.
    Raises ValueError where `p` is not in [0, 1].
    """

    p: float
    ab: OrderedLogprobs
    ba: OrderedLogprobs
    human_first: bool
    domain: str
    length_gap: int

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"P(a preferred) = {self.p} is not in [0, 1]: leave unparsable pairs out and count them.")

    @property
    def tied(self) -> bool:
        """The labeler prefers neither: p is exactly 1/2."""
        return self.p == 0.5

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
        return self.ab.winner != OPPOSITE[self.ba.winner]

    @property
    def chosen_longer_by(self) -> int:
        """Length of the response humans prefer minus that of the other."""
        return self.length_gap if self.human_first else -self.length_gap

    @property
    def label_mass(self) -> float:
        """Probability on the two labels, mean of both orders."""
        return (self.ab.mass + self.ba.mass) / 2


@dataclass(frozen=True)
class Bin:
    """`n` pairs with confidence in (low, high], the first bin with 0.5: their mean confidence and share agreeing."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Figures:
    """What a group of pairs says of the labeler; shares in [0, 1].

    `same_position_first` is the share of "first" among pairs in which one position won twice (None: there are none),
    and `position_p_value` the two-sided binomial test of its being a half. `mean_entropy` is in nats. `ece` is
    sum_bins n_bin / n |accuracy - confidence| (Guo et al., arXiv 1706.04599); in small groups it is biased upwards, and
    its bootstrap interval more so. `ties` counts the pairs with p = 1/2, which `alignment` takes as a preferred.
    """

    alignment: Interval
    ties: int
    same_position_rate: Interval
    same_position_first: Interval | None
    position_p_value: float
    flip_rate: Interval
    mean_entropy: Interval
    label_mass: Interval
    ece: Interval
    calibration: tuple[Bin, ...]


@dataclass(frozen=True)
class TrustReport:
    """`Figures` over all pairs and by domain, and alignment by how the lengths lie to the human choice."""

    overall: Figures
    by_domain: Mapping[str, Figures]
    alignment_by_length: Mapping[str, Interval]

    def as_rows(self) -> list[Row]:
        """One JSON-able row a figure: scope (all, domain, length), group, figure, value, low, high, n.

        `low` and `high` are None for counts and p-values, `value` too where it is undefined.
        """
        rows = _rows("all", "all", self.overall)
        for domain, figures in self.by_domain.items():
            rows += _rows("domain", domain, figures)
        for group, interval in self.alignment_by_length.items():
            rows.append(_row("length", group, "alignment", interval))
        return rows


@dataclass(frozen=True)
class Gate:
    """What a labeler must reach before its labels are used; all three are shares in [0, 1]."""

    min_alignment: float
    max_flip_rate: float
    max_unparsable: float

    def reasons(self, report: TrustReport, unparsable_share: float) -> list[str]:
        """Why the labeler fails, a sentence each; empty where it passes. A NaN share never passes."""
        alignment, flips = report.overall.alignment, report.overall.flip_rate
        reasons: list[str] = []
        if not alignment.value >= self.min_alignment:
            reasons.append(
                f"Alignment with humans is {_shown(alignment)}, below the required {self.min_alignment:.1%}."
            )
        if not flips.value <= self.max_flip_rate:
            reasons.append(
                f"The verdict changes with the order of the responses in {_shown(flips)}, "
                f"above the allowed {self.max_flip_rate:.1%}."
            )
        if not unparsable_share <= self.max_unparsable:
            reasons.append(
                f"{unparsable_share:.1%} of the replies cannot be parsed, above the allowed {self.max_unparsable:.1%}."
            )
        return reasons


def trust_report(judged: Sequence[Judged], *, seed: int) -> TrustReport:
    """Every figure of `judged`, overall and by domain, with its 95 % bootstrap interval over pairs drawn from `seed`.

    Raises ValueError where no pair is given.
    """
    if not judged:
        raise ValueError("no pair carries both a verdict and a human mark: there is nothing to measure trust on.")
    by_domain = _grouped(sorted(judged, key=lambda pair: pair.domain), lambda pair: pair.domain)
    half = median(abs(pair.length_gap) for pair in judged)
    by_gap = sorted(judged, key=lambda pair: pair.chosen_longer_by)
    by_length = _grouped(by_gap, lambda pair: length_group(pair.chosen_longer_by, half))
    return TrustReport(
        overall=figures(judged, seed=seed),
        by_domain={domain: figures(pairs, seed=seed) for domain, pairs in by_domain.items()},
        alignment_by_length={group: alignment(pairs, seed=seed) for group, pairs in by_length.items()},
    )


def figures(judged: Sequence[Judged], *, seed: int) -> Figures:
    """All figures of one group of pairs. Raises ValueError where it is empty."""
    same = Counter(pair.same_position for pair in judged)
    n_same = same["first"] + same["second"]
    which = [1.0] * same["first"] + [0.0] * same["second"]
    return Figures(
        alignment=alignment(judged, seed=seed),
        ties=sum(pair.tied for pair in judged),
        same_position_rate=bootstrap_mean([float(pair.same_position is not None) for pair in judged], seed=seed),
        same_position_first=bootstrap_mean(which, seed=seed) if which else None,
        position_p_value=binomial_two_sided(same["first"], n_same),
        flip_rate=bootstrap_mean([float(pair.flips) for pair in judged], seed=seed),
        mean_entropy=bootstrap_mean([pair.entropy for pair in judged], seed=seed),
        label_mass=bootstrap_mean([pair.label_mass for pair in judged], seed=seed),
        ece=calibration_error(judged, seed=seed),
        calibration=calibration(judged),
    )


def alignment(judged: Sequence[Judged], *, seed: int) -> Interval:
    """AI labeler alignment: the share of pairs whose argmax is the human choice (a tie counts as a)."""
    return bootstrap_mean([float(pair.agrees) for pair in judged], seed=seed)


def calibration(judged: Sequence[Judged]) -> tuple[Bin, ...]:
    """The bins of the reliability diagram that hold a pair, by rising confidence."""
    bins: list[Bin] = []
    members = _grouped(sorted(judged, key=lambda pair: pair.confidence), lambda pair: int(_bin_of(pair.confidence)))
    for i, pairs in members.items():
        n = len(pairs)
        confidence = sum(pair.confidence for pair in pairs) / n
        accuracy = sum(pair.agrees for pair in pairs) / n
        bins.append(Bin(float(EDGES[i]), float(EDGES[i + 1]), n, confidence, accuracy))
    return tuple(bins)


def calibration_error(judged: Sequence[Judged], *, seed: int) -> Interval:
    """Expected calibration error (ECE) over `EDGES`: sum_bins n_bin / n |accuracy - confidence|."""
    return bootstrap(_ece, [pair.confidence for pair in judged], [float(pair.agrees) for pair in judged], seed=seed)


def length_group(chosen_longer_by: int, half: float) -> str:
    """Where a pair stands by length: the human choice is longer, shorter or equal, by more or less than `half`."""
    if chosen_longer_by == 0:
        return "human choice equally long"
    side = "longer" if chosen_longer_by > 0 else "shorter"
    extent = "more than" if abs(chosen_longer_by) > half else "at most"
    return f"human choice {side} by {extent} {half:g}"


def _bin_of(confidence: float | FloatArray) -> NDArray[np.intp]:
    return np.digitize(confidence, EDGES[1:-1], right=True)


def _ece(confidence: FloatArray, agrees: FloatArray) -> float:
    excess = np.bincount(_bin_of(confidence), weights=agrees - confidence)
    return float(np.abs(excess).sum() / len(agrees))


def _grouped(pairs: Sequence[Judged], key: Callable[[Judged], Key]) -> dict[Key, list[Judged]]:
    groups: dict[Key, list[Judged]] = {}
    for pair in pairs:
        groups.setdefault(key(pair), []).append(pair)
    return groups


def _rows(scope: str, group: str, figures: Figures) -> list[Row]:
    n = figures.alignment.n
    first = figures.same_position_first
    return [
        _row(scope, group, "alignment", figures.alignment),
        _number(scope, group, "ties", figures.ties, n),
        _row(scope, group, "same position rate", figures.same_position_rate),
        _row(scope, group, "first among same position", first)
        if first
        else _number(scope, group, "first among same position", None, 0),
        _number(scope, group, "position p-value", figures.position_p_value, first.n if first else 0),
        _row(scope, group, "flip rate", figures.flip_rate),
        _row(scope, group, "mean entropy (nats)", figures.mean_entropy),
        _row(scope, group, "label mass", figures.label_mass),
        _row(scope, group, "calibration error", figures.ece),
    ]


def _row(scope: str, group: str, figure: str, interval: Interval) -> Row:
    return {"scope": scope, "group": group, "figure": figure, **asdict(interval)}


def _number(scope: str, group: str, figure: str, value: float | None, n: int) -> Row:
    return {"scope": scope, "group": group, "figure": figure, "value": value, "low": None, "high": None, "n": n}


def _shown(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}] of {interval.n} pairs"
