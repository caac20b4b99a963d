"""Two games of one pair, in both orders, and what they say (Zheng et al., MT-bench, arXiv 2306.05685; FastChat)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from truing.algorithms.scores import bracketed_numbers
from truing.algorithms.statistics import (
    Interval,
    binomial_two_sided,
    bootstrap_mean,
    bootstrap_share,
    bootstrap_where_defined,
    ratio_of_sums,
)

Verdict = Literal["first", "second", "tie"]
"""What one game says of the two answers as they were shown."""
Winner = Literal["a", "b", "tie"]
Games = tuple[Verdict | None, Verdict | None]
"""The verdict with a shown first, and the one with b shown first; None where a reply could not be read."""

CONSISTENT: tuple[Games, ...] = (("first", "second"), ("second", "first"), ("tie", "tie"))
"""The verdict is the same in both orders."""
TIE = 0.1
"""Ratings of one game that differ by no more are a tie."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts of `n` pairs as a has them; rates are shares in [0, 1].

    `win_rate` leaves ties out of the numerator only; `win_rate_adjusted` = (wins + ties / 2) / n. `disagreements` of the
    ties have two games that named different winners. `n_missing` pairs have a game that could not be read.
    """

    wins: int
    losses: int
    ties: int
    disagreements: int
    win_rate: Interval
    loss_rate: Interval
    win_rate_adjusted: Interval
    n: int
    n_missing: int


@dataclass(frozen=True, slots=True)
class PositionBias:
    """How much the place of an answer decides; shares in [0, 1], None where there is nothing to take a share of.

    `first` is the share of single games won by the answer shown first, ties left out (`ties` counts them) and its interval
    over pairs; 1/2 is no bias, as every pair is shown both ways. Over the `n` pairs with two readable games: `same_position`
    is the share in which one place wins twice, `flips` the share in which the verdict changes with the order at all (a
    tie on one side too). `first_among_same` says which place it is, and `p_value` tests that against a half (two-sided
    binomial). `n_missing` pairs are in no figure.
    """

    first: Interval | None
    same_position: Interval | None
    flips: Interval | None
    first_among_same: Interval | None
    p_value: float
    ties: int
    n: int
    n_missing: int


def rating(reply: str) -> float | None:
    """The first `[[7]]` in a reply, else the first `[7]`; None where FastChat says -1. No range is checked, as there.

    For recorded judges, whose published figures were read so. Our own labeler's replies are read more strictly
    (`truing.labeling.verdicts.rating`): two ratings that differ, or one off the scale, are none.
    """
    return next(iter(bracketed_numbers(reply)), None)


def verdict_of_ratings(first: float | None, second: float | None) -> Verdict | None:
    """The verdict of one game from the ratings of the answers shown first and second: a tie where |first - second| <= 0.1.

    None where a rating is missing or NaN. 1.1 and 1.0 are a tie, though their difference in floating point exceeds 0.1.
    """
    if first is None or second is None or math.isnan(first) or math.isnan(second):
        return None
    if abs(first - second) <= TIE + 1e-9:
        return "tie"
    return "first" if first > second else "second"


def winner(games: Games) -> Winner | None:
    """The winner of two games: a or b where both name it, a tie where they disagree or either is one, None unread."""
    if games[0] is None or games[1] is None:
        return None
    if games == ("first", "second"):
        return "a"
    return "b" if games == ("second", "first") else "tie"


def tally(games: Sequence[Games], *, seed: int) -> Tally:
    """Counts and rates of `games`, one entry a pair. Raises ValueError where no pair has two readable games."""
    read = [pair for pair in games if None not in pair]
    if not read:
        raise ValueError(f"none of {len(games)} pairs has two readable games: there is no win rate to report.")
    winners = [winner(pair) for pair in read]
    return Tally(
        wins=winners.count("a"),
        losses=winners.count("b"),
        ties=winners.count("tie"),
        disagreements=sum(pair in (("first", "first"), ("second", "second")) for pair in read),
        win_rate=bootstrap_mean([float(one == "a") for one in winners], seed=seed),
        loss_rate=bootstrap_mean([float(one == "b") for one in winners], seed=seed),
        win_rate_adjusted=bootstrap_mean([{"a": 1.0, "b": 0.0}.get(one or "", 0.5) for one in winners], seed=seed),
        n=len(read),
        n_missing=len(games) - len(read),
    )


def position_bias(games: Sequence[Games], *, seed: int) -> PositionBias:
    """Position bias of the judge of `games`, one entry a pair, over the pairs with two readable games."""
    read = [pair for pair in games if None not in pair]
    same = [pair[0] for pair in read if pair[0] == pair[1] and pair[0] != "tie"]
    firsts = [float(pair.count("first")) for pair in read]
    decided = [float(2 - pair.count("tie")) for pair in read]
    n_first = same.count("first")
    return PositionBias(
        first=bootstrap_where_defined(ratio_of_sums, firsts, decided, seed=seed) if read else None,
        same_position=bootstrap_share([pair[0] == pair[1] != "tie" for pair in read], seed=seed),
        flips=bootstrap_share([pair not in CONSISTENT for pair in read], seed=seed),
        first_among_same=bootstrap_share([place == "first" for place in same], seed=seed),
        p_value=binomial_two_sided(n_first, len(same)),
        ties=sum(pair.count("tie") for pair in read),
        n=len(read),
        n_missing=len(games) - len(read),
    )
