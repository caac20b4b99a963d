import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.truing.evaluation.recorded import DIMENSIONS, head_to_head
from truing.evaluation.pairwise import Games, Verdict, position_bias, rating, tally, verdict_of_ratings, winner

verdicts = st.sampled_from(["first", "second", "tie", None])
played = st.lists(st.tuples(verdicts, verdicts), min_size=1, max_size=12)
MIRROR: dict[Verdict | None, Verdict | None] = {"first": "second", "second": "first", "tie": "tie", None: None}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("Rating: [[7]]", 7), ("[[7.5]] of 10", 7.5), ("[5]", 5), ("[3] then [[8]]", 8), ("[[8]] then [[9]]", 8),
        ("[[8.]]", 8), ("7", None), ("[[]]", None), ("[[A]]", None), ("", None), ("[[-1]]", None),
    ],
)  # fmt: skip
def test_ratings_as_fastchat_reads_them(reply: str, expected: float | None) -> None:
    assert rating(reply) == expected


def test_ratings_a_tenth_apart_tie() -> None:
    assert verdict_of_ratings(7.1, 7.0) == "tie"
    assert verdict_of_ratings(1.1, 1.0) == "tie"  # 1.1 - 1.0 > 0.1 in floating point
    assert verdict_of_ratings(7.2, 7.0) == "first"
    assert verdict_of_ratings(3, 9) == "second"
    assert verdict_of_ratings(None, 9) is None
    assert verdict_of_ratings(9, math.nan) is None


@pytest.mark.parametrize(
    ("games", "expected"),
    [
        (("first", "second"), "a"), (("second", "first"), "b"), (("first", "first"), "tie"), (("second", "second"), "tie"),
        (("tie", "second"), "tie"), (("first", "tie"), "tie"), (("tie", "tie"), "tie"), ((None, "tie"), None),
        (("first", None), None),
    ],
)  # fmt: skip
def test_two_games_must_agree(games: Games, expected: str | None) -> None:
    assert winner(games) == expected


def test_counts_by_hand() -> None:
    # a, a, b, a disagreement, a tie, and one unread: of 5, 2 won, 1 lost, 2 ties: adjusted (2 + 1) / 5.
    games: list[Games] = [
        ("first", "second"), ("first", "second"), ("second", "first"), ("first", "first"), ("tie", "first"), (None, "first"),
    ]  # fmt: skip
    found = tally(games, seed=0)
    assert (found.wins, found.losses, found.ties, found.disagreements) == (2, 1, 2, 1)
    assert (found.n, found.n_missing) == (5, 1)
    assert (found.win_rate.value, found.loss_rate.value) == pytest.approx((0.4, 0.2))
    assert found.win_rate_adjusted.value == pytest.approx(0.6)
    with pytest.raises(ValueError, match="none of 2 pairs has two readable games"):
        tally([(None, "tie"), ("first", None)], seed=0)


def test_all_ties_are_half_a_win() -> None:
    found = tally([("tie", "tie")] * 3, seed=0)
    assert (found.win_rate.value, found.loss_rate.value, found.win_rate_adjusted.value) == (0, 0, 0.5)


@given(played)
@settings(max_examples=8)
def test_naming_the_pair_the_other_way_mirrors_the_counts(games: list[Games]) -> None:
    if all(None in pair for pair in games):
        return
    found, mirrored = tally(games, seed=0), tally([(second, first) for first, second in games], seed=0)
    assert (found.wins, found.losses, found.ties) == (mirrored.losses, mirrored.wins, mirrored.ties)
    assert found.win_rate_adjusted.value + mirrored.win_rate_adjusted.value == pytest.approx(1)
    assert found.wins + found.losses + found.ties + found.n_missing == len(games)
    # And the position of a winner is not that of the pair.
    assert position_bias(games, seed=0).same_position == position_bias([(b, a) for a, b in games], seed=0).same_position


def test_position_bias_by_hand() -> None:
    # Games won by the first place: 1, 2, 0, 1, 0 of 2, 2, 2, 1, 0 decided = 4/7. Same place twice: 2 of 5, once the first.
    # Flips: those two, and the tie on one side: 3 of 5.
    games: list[Games] = [
        ("first", "second"), ("first", "first"), ("second", "second"), ("tie", "first"), ("tie", "tie"), (None, "first"),
    ]  # fmt: skip
    found = position_bias(games, seed=0)
    assert found.first is not None
    assert found.first.value == pytest.approx(4 / 7)
    assert found.same_position is not None
    assert found.same_position.value == 0.4
    assert found.flips is not None
    assert found.flips.value == 0.6
    assert found.first_among_same is not None
    assert (found.first_among_same.value, found.first_among_same.n, found.p_value) == (0.5, 2, 1)
    assert (found.ties, found.n, found.n_missing) == (3, 5, 1)


def test_a_judge_that_always_ties_or_says_nothing_has_no_position() -> None:
    ties = position_bias([("tie", "tie")] * 3, seed=0)
    assert (ties.first, ties.first_among_same, ties.p_value, ties.ties) == (None, None, 1, 6)
    assert ties.same_position is not None
    assert ties.same_position.value == 0
    silent = position_bias([(None, None)], seed=0)
    assert (silent.first, silent.same_position, silent.flips, silent.n, silent.n_missing) == (None, None, None, 0, 1)


@given(played)
@settings(max_examples=8)
def test_a_mirrored_judge_has_the_opposite_bias(games: list[Games]) -> None:
    found = position_bias(games, seed=0)
    mirrored = position_bias([(MIRROR[a], MIRROR[b]) for a, b in games], seed=0)
    if found.first is not None and mirrored.first is not None:
        assert found.first.value + mirrored.first.value == pytest.approx(1)
    assert found.p_value == pytest.approx(mirrored.p_value)
    assert found.flips == mirrored.flips


def test_pairs_about_one_item_are_one_draw() -> None:
    # Four items with five like pairs each: a resample of items has the shares that four single pairs have.
    once: list[Games] = [("first", "first"), ("second", "second"), ("first", "first"), ("first", "second")]
    often, items = once * 5, [0, 1, 2, 3] * 5
    one, many = tally(once, seed=0).win_rate_adjusted, tally(often, seed=0, items=items).win_rate_adjusted
    assert (many.value, many.low, many.high, many.n) == (one.value, one.low, one.high, 20)
    few, lots = position_bias(once, seed=0), position_bias(often, seed=0, items=items)
    for name in ("first", "same_position", "flips"):
        a, b = getattr(few, name), getattr(lots, name)
        assert (b.value, b.low, b.high, b.n) == (a.value, a.low, a.high, 20), name
    assert lots.first_among_same is not None
    assert lots.first_among_same.n == 15
    # Three items lean, two of them to the first place: as three tosses, not fifteen.
    assert (lots.tosses, lots.p_value) == (3, 1.0)


def test_pairs_about_the_only_item_are_drawn_themselves() -> None:
    games: list[Games] = [("first", "first"), ("second", "second"), ("first", "second")]
    assert tally(games, seed=0, items=["x"] * 3) == tally(games, seed=0)


# What ChatGPT said in both orders (summeval_h2h_gpt35), counted from the 1,100 pairs of a dimension: place that won twice
# (first, second), pairs in which a tie stands against a win, games called a tie.
CHATGPT_H2H = {
    "coherence": (203, 162, 27, 59),
    "consistency": (74, 277, 41, 95),
    "fluency": (164, 204, 31, 67),
    "relevance": (242, 82, 40, 86),
}


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_chatgpt_prefers_a_place_by_dimension(dimension: str) -> None:
    first, second, half, ties = CHATGPT_H2H[dimension]
    found = position_bias(list(head_to_head(dimension).values()), seed=0)
    assert (found.n, found.n_missing, found.ties) == (1100, 0, ties)
    assert found.same_position is not None
    assert found.same_position.value == pytest.approx((first + second) / 1100)
    assert found.first_among_same is not None
    assert found.first_among_same.value == pytest.approx(first / (first + second))
    assert found.flips is not None
    assert found.flips.value == pytest.approx((first + second + half) / 1100)


def test_the_bias_cancels_over_dimensions_though_not_within() -> None:
    pooled = position_bias([games for one in DIMENSIONS for games in head_to_head(one).values()], seed=0)
    assert pooled.first is not None
    assert pooled.first.value == pytest.approx(0.496, abs=5e-4)
    assert pooled.first.low < 0.5 < pooled.first.high
    assert pooled.flips is not None
    assert pooled.flips.value == pytest.approx(0.352, abs=5e-4)
    by_dimension = {one: position_bias(list(head_to_head(one).values()), seed=0) for one in DIMENSIONS}
    shares = {one: found.first.value for one, found in by_dimension.items() if found.first}
    expected = {"coherence": 0.521, "consistency": 0.402, "fluency": 0.483, "relevance": 0.577}
    assert shares == pytest.approx(expected, abs=5e-4)
    assert by_dimension["consistency"].p_value < 1e-20
    assert by_dimension["relevance"].p_value < 1e-15
