import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.truing.evaluation.recorded import DIMENSIONS, experts, head_to_head, systems
from truing.evaluation.ladder import Comparison, Ladder, ladder, online_elo, win_probability
from truing.evaluation.pairwise import winner


def ratings(found: Ladder) -> dict[str, float]:
    return {row.policy: row.rating for row in found.ratings}


def test_two_policies_by_hand() -> None:
    # a wins 3 of 4: 400 log10(3) = 190.85 apart, around 1000.
    comparisons: list[Comparison] = [("a", "b", 1.0)] * 3 + [("b", "a", 1.0)]
    found = ladder(comparisons, resamples=50)
    apart = 400 * math.log10(3)
    assert ratings(found) == pytest.approx({"a": 1000 + apart / 2, "b": 1000 - apart / 2}, abs=1e-5)
    assert [row.policy for row in found.ratings] == ["a", "b"]
    assert (found.n, found.n_missing, found.ratings[0].n) == (4, 0, 4)
    # b wins nothing in .75^4 = 32 % of resamples, a in .25^4 = .4 %.
    assert 5 <= found.undefined <= 30
    assert found.ratings[0].low <= found.ratings[0].rating <= found.ratings[0].high
    assert ratings(ladder(comparisons, anchor="b", resamples=0)) == pytest.approx(
        {"a": 1000 + apart, "b": 1000}, abs=1e-5
    )


def test_comparisons_about_one_item_are_drawn_together() -> None:
    # Five items, each asked about four times with the same outcome: as surely known as five comparisons, not as twenty.
    scores: list[float | None] = [1.0, 1.0, 0.5, 0.0, 1.0]
    once: list[Comparison] = [("a", "b", score) for score in scores]
    few = ladder(once, resamples=50)
    # The one without a verdict is about an item of its own, and in no figure.
    many = ladder([*once * 4, ("a", "b", None)], resamples=50, items=[*[0, 1, 2, 3, 4] * 4, 5])
    for a, b in zip(few.ratings, many.ratings, strict=True):
        assert (b.rating, b.low, b.high, b.n) == (
            pytest.approx(a.rating),
            pytest.approx(a.low),
            pytest.approx(a.high),
            20,
        )


def test_ties_are_half_wins_and_missing_is_neither() -> None:
    tied: list[Comparison] = [("a", "b", 1.0), ("a", "b", 0.5), ("a", "b", None), ("b", "a", math.nan)]
    split: list[Comparison] = [("a", "b", 1.0), ("a", "b", 1.0), ("a", "b", 1.0), ("a", "b", 0.0)]
    found = ladder(tied, resamples=0)  # 1.5 of 2 = 3 of 4
    assert ratings(found) == pytest.approx(ratings(ladder(split, resamples=0)), abs=1e-5)
    assert (found.n, found.n_missing) == (2, 2)
    even = ladder([("a", "b", 0.5), ("b", "c", 0.5), ("a", "c", 0.5)], resamples=20)
    assert ratings(even) == pytest.approx({"a": 1000, "b": 1000, "c": 1000})


def test_policies_that_never_met_are_compared_through_others() -> None:
    # a beats b 3 : 1, b beats c 3 : 1; a and c never met: log-odds add up, 2 * 190.85 apart.
    comparisons: list[Comparison] = [(x, y, s) for x, y in (("a", "b"), ("b", "c")) for s in (1.0, 1.0, 1.0, 0.0)]
    found = ratings(ladder(comparisons, resamples=0))
    assert found["a"] - found["c"] == pytest.approx(800 * math.log10(3), abs=1e-4)
    assert win_probability(found["a"], found["c"]) == pytest.approx(0.9, abs=1e-6)  # odds 3 * 3


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=6, max_size=6),
    st.permutations(["a", "b", "c", "d"]),
)
@settings(max_examples=30)
def test_expected_wins_are_the_wins(scores: list[float], names: list[str]) -> None:
    # The score equations of the likelihood. One tie of each pair keeps every rating finite.
    pairs = list(combinations(names, 2))
    comparisons: list[Comparison] = [(a, b, s) for (a, b), s in zip(pairs, scores, strict=True)]
    comparisons += [(b, a, 0.5) for a, b in pairs]
    found = ratings(ladder(comparisons, resamples=0))
    for name in names:
        own = [(a, b, s) if a == name else (b, a, 1 - s) for a, b, s in comparisons if s is not None and name in (a, b)]
        expected = sum(win_probability(found[a], found[b]) for a, b, _ in own)
        assert sum(s for _, _, s in own) == pytest.approx(expected, abs=1e-6)
    mirrored = ratings(ladder([(b, a, None if s is None else 1 - s) for a, b, s in comparisons], resamples=0))
    assert mirrored == pytest.approx(found, abs=1e-4)


def test_groups_that_never_met_are_named() -> None:
    with pytest.raises(ValueError, match="2 groups that never met: a, b; c, d\\. Compare across them"):
        ladder([("a", "b", 0.5), ("c", "d", 0.5)])


def test_one_that_never_lost_is_named() -> None:
    with pytest.raises(ValueError, match=r"^a, b never lost to, nor tied with, the others"):
        ladder([("a", "b", 0.5), ("a", "c", 1.0), ("b", "c", 1.0)])


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="none of 1 comparisons has a verdict"):
        ladder([("a", "b", None)])
    with pytest.raises(ValueError, match="none of 0"):
        online_elo([])
    with pytest.raises(ValueError, match="the score 2 of 'a' against 'b'"):
        ladder([("a", "b", 2)])
    with pytest.raises(ValueError, match="'a' is compared with itself"):
        online_elo([("a", "a", 0.5)])
    with pytest.raises(ValueError, match="anchor 'x' is in no comparison; there are a, b"):
        ladder([("a", "b", 0.5)], anchor="x")


def test_too_few_resamples_with_ratings_give_no_interval() -> None:
    # Of two comparisons, one each: half of the resamples draw the same one twice, and without resamples there is nothing.
    found = ladder([("a", "b", 1.0), ("b", "a", 1.0)], resamples=0)
    assert math.isnan(found.ratings[0].low)
    assert math.isnan(found.ratings[0].high)
    assert found.undefined == 0


def test_online_elo_by_hand() -> None:
    # Both at 1000, a wins: 4 (1 - .5) = 2 points. Then b beats c at 998 against 1000: expected .49712, gain 2.01151.
    found = online_elo([("a", "b", 1.0), ("b", "c", 1.0), ("a", "c", None)])
    gain = 4 * (1 - 1 / (1 + 10 ** (2 / 400)))
    assert found == pytest.approx({"a": 1002, "b": 998 + gain, "c": 1000 - gain})
    assert sum(found.values()) == pytest.approx(3000)


def test_online_elo_hangs_on_the_order() -> None:
    comparisons: list[Comparison] = [("a", "b", 1.0), ("a", "b", 0.0)]
    assert online_elo(comparisons, k=100) != pytest.approx(online_elo(comparisons[::-1], k=100))
    assert ratings(ladder(comparisons, resamples=0)) == pytest.approx({"a": 1000, "b": 1000})


def chatgpt_comparisons(dimension: str) -> list[Comparison]:
    scores = {"a": 1.0, "b": 0.0, "tie": 0.5}
    return [(a, b, scores[winner(games) or ""]) for (_, a, b), games in head_to_head(dimension).items()]


def test_a_ladder_of_summarisers_from_chatgpt() -> None:
    """11 pairs of neighbours, 100 documents each: 12 systems that hang together by a chain."""
    comparisons = chatgpt_comparisons("relevance")
    found = ladder(comparisons, resamples=40)
    assert (found.n, found.n_missing, len(found.ratings), found.undefined) == (1100, 0, 12, 0)
    by_name = ratings(found)
    # On a chain the likelihood parts into pairs: each gap is its own 400 log10(won / lost).
    won = {
        pair: sum(s or 0 for a, b, s in comparisons if (a, b) == pair) for pair in {(a, b) for a, b, _ in comparisons}
    }
    assert len(won) == 11
    for (a, b), wins in won.items():
        assert by_name[a] - by_name[b] == pytest.approx(400 * math.log10(wins / (100 - wins)), abs=1e-3)
    assert all(row.low < row.rating < row.high for row in found.ratings)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_the_ladder_parts_the_good_systems_from_the_bad_as_experts_do(dimension: str) -> None:
    # The four lowest rungs are the same four systems on every dimension; they are among the experts' five lowest, save M20,
    # which experts find coherent.
    found = ladder(chatgpt_comparisons(dimension), resamples=0)
    assert {row.policy for row in found.ratings[-4:]} == {"M9", "M10", "M11", "M20"}
    means = dict(zip(systems(), experts(dimension).mean(axis=0), strict=True))
    lowest = sorted(means, key=lambda name: means[name])[:5]
    assert {"M9", "M10", "M11"} <= set(lowest)
    assert ("M20" in lowest) == (dimension != "coherence")


def test_many_policies() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 200, size=30)
    comparisons: list[Comparison] = []
    for i, j in combinations(range(30), 2):
        p = win_probability(true[i], true[j])
        comparisons += [(f"p{i}", f"p{j}", float(rng.random() < p)) for _ in range(20)]
    found = ratings(ladder(comparisons, resamples=0))
    errors = [found[f"p{i}"] - 1000 - (true[i] - true.mean()) for i in range(30)]
    # 580 comparisons each: standard error about 173.7 / sqrt(580 * .2) = 16 points.
    assert np.std(errors) < 25
