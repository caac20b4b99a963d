"""Two games of one pair, in both orders, and what they say (Zheng et al., MT-bench, arXiv 2306.05685; FastChat)."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Literal

from truing.algorithms.scores import bracketed_numbers
from truing.algorithms.statistics import (
    Interval,
    binomial_two_sided,
    bootstrap_where_defined,
    clustered_mean,
    ratio_of_sums,
    together,
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
    binomial), with a toss for each of the `tosses` items in whose pairs one place won twice more often than the other did.
    `n_missing` pairs are in no figure.
    """

    first: Interval | None
    same_position: Interval | None
    flips: Interval | None
    first_among_same: Interval | None
    p_value: float
    tosses: int
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


def tally(games: Sequence[Games], *, seed: int, items: Sequence[Hashable] | None = None) -> Tally:
    """Counts and rates of `games`, one entry a pair. Raises ValueError where no pair has two readable games.

    `items`: what each pair is about. Pairs about one item are not independent: a resample draws them together. None: each
    pair is about its own.
    """
    read, about = _read(games, items)
    if not read:
        raise ValueError(f"none of {len(games)} pairs has two readable games: there is no win rate to report.")
    winners = [winner(pair) for pair in read]
    return Tally(
        wins=winners.count("a"),
        losses=winners.count("b"),
        ties=winners.count("tie"),
        disagreements=sum(pair in (("first", "first"), ("second", "second")) for pair in read),
        win_rate=clustered_mean([float(one == "a") for one in winners], about, seed=seed),
        loss_rate=clustered_mean([float(one == "b") for one in winners], about, seed=seed),
        win_rate_adjusted=clustered_mean(
            [{"a": 1.0, "b": 0.0}.get(one or "", 0.5) for one in winners], about, seed=seed
        ),
        n=len(read),
        n_missing=len(games) - len(read),
    )


def position_bias(games: Sequence[Games], *, seed: int, items: Sequence[Hashable] | None = None) -> PositionBias:
    """Position bias of the judge of `games`, one entry a pair, over the pairs with two readable games. `items` as `tally` has
    them."""
    read, about = _read(games, items)
    twice = [pair[0] == pair[1] != "tie" for pair in read]
    same = [float(pair[0] == "first") for pair, won in zip(read, twice, strict=True) if won]
    leaning = list(compress(about, twice))
    heads, tosses = _tosses(same, leaning)
    return PositionBias(
        first=_first(read, about, seed) if read else None,
        same_position=clustered_mean([float(won) for won in twice], about, seed=seed) if read else None,
        flips=clustered_mean([float(pair not in CONSISTENT) for pair in read], about, seed=seed) if read else None,
        first_among_same=clustered_mean(same, leaning, seed=seed) if same else None,
        p_value=binomial_two_sided(heads, tosses),
        tosses=tosses,
        ties=sum(pair.count("tie") for pair in read),
        n=len(read),
        n_missing=len(games) - len(read),
    )


def _read(games: Sequence[Games], items: Sequence[Hashable] | None) -> tuple[list[Games], list[Hashable]]:
    """The pairs with two readable games, and what they are about."""
    about = range(len(games)) if items is None else items
    kept = [(pair, item) for pair, item in zip(games, about, strict=True) if None not in pair]
    return [pair for pair, _ in kept], [item for _, item in kept]


def _first(read: Sequence[Games], about: Sequence[Hashable], seed: int) -> Interval | None:
    """Share of the games with a winner that the first place won."""
    won = [float(pair.count("first")) for pair in read]
    decided = [float(2 - pair.count("tie")) for pair in read]
    found = bootstrap_where_defined(ratio_of_sums, won, decided, seed=seed, groups=together(about))
    return None if found is None else replace(found, n=len(read))


def _tosses(same: Sequence[float], about: Sequence[Hashable]) -> tuple[int, int]:
    """(heads, tosses): items whose pairs lean to the first place, and those that lean at all; pairs, where all are about one."""
    lead: Counter[Hashable] = Counter()
    for first, item in zip(same, together(about) or range(len(same)), strict=True):
        lead[item] += 1 if first else -1
    return sum(by > 0 for by in lead.values()), sum(by != 0 for by in lead.values())
