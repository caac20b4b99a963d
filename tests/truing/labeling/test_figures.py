import math
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.truing.labeling.judgements import EVEN, FIRST, SECOND, judged, pairs, with_p
from tests.vectors import vector
from truing.labeling.calibration import scores
from truing.labeling.concordance import prompt_sensitivity
from truing.labeling.consensus import OrderedLogprobs
from truing.labeling.figures import (
    alignment,
    confidence_group,
    ece,
    figures,
    flip_rate,
    kappa,
)
from truing.labeling.judged import Judged


def test_alignment_reproduces_the_vector() -> None:
    # argmax 0 1 0 (a tie) 0 1 against humans 0 1 1 1 0: two of five agree.
    case = vector("rlaif_alignment")
    sample = [
        with_p(p, human_first=human == 0)
        for (p, _), human in zip(case["input"]["P"], case["input"]["human"], strict=True)
    ]
    assert alignment(sample, seed=0).value == pytest.approx(case["expected"], abs=case["tolerance"])
    assert figures(sample, seed=0).ties == 1


def test_position_figures_reproduce_the_vector() -> None:
    # Winning positions (ab, ba): 1 2, 2 2, 1 1, 2 1. Two of four pairs follow the position, one each way.
    case = vector("rlaif_position")
    orders = zip(case["input"]["logp_AB"], case["input"]["logp_BA"], strict=True)
    found = figures([judged(OrderedLogprobs(*ab), OrderedLogprobs(*ba)) for ab, ba in orders], seed=0)
    assert found.same_position_rate.value == case["expected"]["same_position_rate"]
    assert found.same_position_first is not None
    assert found.same_position_first.value == case["expected"]["first_pos_share_among_same"]
    assert found.same_position_first.n == 2
    assert found.position_p_value == 1.0
    assert found.flip_rate.value == 0.5


def test_a_labeler_that_follows_the_position_is_found_out() -> None:
    found = figures([judged(FIRST, FIRST)] * 10, seed=0)
    assert found.same_position_rate.value == 1.0
    assert found.same_position_first is not None
    assert found.same_position_first.value == 1.0
    assert found.position_p_value == pytest.approx(2 / 1024)  # ten heads or ten tails in ten tosses
    assert found.ties == 10


def test_without_a_position_habit_there_is_no_share_to_report() -> None:
    found = figures([judged(FIRST, SECOND)] * 3, seed=0)
    assert found.same_position_rate.value == 0.0
    assert found.same_position_first is None
    assert found.position_p_value == 1.0


def test_flips_are_same_positions_and_half_ties() -> None:
    assert [judged(ab, ba).flips for ab, ba in [(FIRST, SECOND), (SECOND, FIRST), (EVEN, EVEN)]] == [False] * 3
    assert [judged(ab, ba).flips for ab, ba in [(FIRST, FIRST), (SECOND, SECOND), (EVEN, FIRST)]] == [True] * 3
    assert judged(EVEN, FIRST).same_position is None


@given(pairs)
@settings(max_examples=15)
def test_flip_rate_is_same_position_rate_plus_half_ties(sample: list[Judged]) -> None:
    found = figures(sample, seed=0)
    half_ties = sum((pair.ab.winner is None) != (pair.ba.winner is None) for pair in sample) / len(sample)
    assert found.flip_rate.value == pytest.approx(found.same_position_rate.value + half_ties)


def test_entropy_and_mass_by_hand() -> None:
    # p = 1/2 has ln 2 nats, p = 1 none: mean ln 2 / 2.
    sample = [with_p(0.5, human_first=True), with_p(1.0, human_first=True)]
    assert figures(sample, seed=0).mean_entropy.value == pytest.approx(math.log(2) / 2)
    weak = OrderedLogprobs(math.log(0.2), math.log(0.1))
    strong = OrderedLogprobs(math.log(0.3), math.log(0.6))
    assert judged(weak, strong).label_mass == pytest.approx((0.3 + 0.9) / 2)


def test_calibration_by_hand() -> None:
    # Confidence .9 .9 .9 .7 (p = .1 is .9 for b); agreeing: yes yes no, yes. Bins: .9 -> 2/3, .7 -> 1.
    sample = [
        with_p(0.9, human_first=True),
        with_p(0.1, human_first=False),
        with_p(0.9, human_first=False),
        with_p(0.7, human_first=True),
    ]
    low, high = figures(sample, seed=0).calibration
    assert (low.low, low.high) == pytest.approx((0.65, 0.7))
    assert (low.n, low.confidence, low.accuracy) == pytest.approx((1, 0.7, 1.0))
    assert (high.low, high.high) == pytest.approx((0.85, 0.9))
    assert (high.n, high.confidence, high.accuracy) == pytest.approx((3, 0.9, 2 / 3))
    # 3/4 |2/3 - .9| + 1/4 |1 - .7| = .175 + .075
    assert ece(sample, seed=0).value == pytest.approx(0.25)


@given(pairs)
@settings(max_examples=15)
def test_calibration_error_is_read_off_the_bins(sample: list[Judged]) -> None:
    found = figures(sample, seed=0)
    bins = found.calibration
    assert sum(each.n for each in bins) == len(sample)
    from_bins = sum(each.n / len(sample) * abs(each.accuracy - each.confidence) for each in bins)
    assert found.ece.value == pytest.approx(from_bins)


def test_kappa_by_hand() -> None:
    # Labeler a a a b, people a a b b: they agree on 3 of 4; by chance 3/4 1/2 + 1/4 1/2 = 1/2. (3/4 - 1/2) / (1/2).
    marks = [(0.9, True), (0.8, True), (0.7, False), (0.1, False)]
    found = kappa([with_p(p, human_first=human) for p, human in marks] * 5, seed=0)
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert found.n == 20
    assert found.low < 0.5 < found.high


def test_kappa_knows_when_the_order_gives_the_answer_away() -> None:
    # People always prefer a: whatever the labeler does, chance explains it all. Where it does the same, 0 / 0.
    found = figures([judged(), judged(SECOND, FIRST)] * 3, seed=0).kappa
    assert found is not None
    assert found.value == 0.0
    assert kappa([judged()] * 3, seed=0) is None


def test_verdicts_without_probabilities_have_all_figures() -> None:
    # (0, -inf) is certain: confidence 1, entropy 0. Agreeing in one of two, ECE is |1/2 - 1|.
    first, second = OrderedLogprobs(0.0, -math.inf), OrderedLogprobs(-math.inf, 0.0)
    found = figures([judged(first, second), judged(first, second, human_first=False)], seed=0)
    assert (found.mean_entropy.value, found.label_mass.value, found.ece.value) == (0.0, 1.0, 0.5)
    assert found.flip_rate.value == 0.0
    # One that follows the position, and one that calls a tie: p = 1/2 both, but only the first flips.
    tie = OrderedLogprobs(math.log(0.5), math.log(0.5))
    found = figures([judged(first, first), judged(tie, tie)], seed=0)
    assert (found.ties, found.flip_rate.value, found.label_mass.value) == (2, 0.5, pytest.approx(1.0))


def test_several_criteria_of_a_pair_are_one_item() -> None:
    # Three pairs, each asked by two criteria that say the same: everything is as if they had been asked by one, and three
    # heads in three tosses have p = 2 / 8, where six in six would have 2 / 64.
    once = [replace(judged(FIRST, FIRST, human_first=i > 0), pair=f"pair {i}") for i in range(3)]
    one, two = (figures([*once * times], seed=0) for times in (1, 2))
    assert (two.alignment.value, two.alignment.n) == (pytest.approx(2 / 3), 3)
    assert (two.position_p_value, two.position_pairs) == (pytest.approx(0.25), 3)
    assert (two.judgements, two.ties, one.judgements) == (6, 6, 3)
    for name in ("alignment", "same_position_rate", "same_position_first", "flip_rate", "mean_entropy", "ece"):
        assert vars(getattr(two, name)) == pytest.approx(vars(getattr(one, name))), name
    assert two.kappa is not None
    assert two.kappa.n == 3


def test_a_pair_whose_criteria_follow_both_positions_is_no_toss() -> None:
    # Pair a: first, first, second: one head. Pair b: first and second: none. Pair c, second alone: one tail.
    said = [("a", FIRST), ("a", FIRST), ("a", SECOND), ("b", FIRST), ("b", SECOND), ("c", SECOND)]
    found = figures([replace(judged(order, order), pair=pair) for pair, order in said], seed=0)
    assert (found.position_p_value, found.position_pairs) == (1.0, 2)
    assert found.same_position_first is not None
    assert (found.same_position_first.value, found.same_position_first.n) == (0.5, 3)


def test_pairs_of_one_order_say_nothing_of_position_and_order() -> None:
    # Mirrored, such a pair seems consistent: it would halve the rates, of which half the pairs know nothing.
    one_order = replace(judged(FIRST, SECOND, human_first=False), both_orders=False)
    found = figures([judged(FIRST, FIRST), judged(SECOND, FIRST), one_order, one_order], seed=0)
    assert found.flip_rate is not None
    assert (found.flip_rate.value, found.flip_rate.n) == (0.5, 2)
    assert found.same_position_rate is not None
    assert (found.same_position_rate.value, found.same_position_rate.n) == (0.5, 2)
    assert found.same_position_first is not None
    assert (found.same_position_first.value, found.same_position_first.n) == (1.0, 1)
    assert flip_rate([judged(FIRST, FIRST), one_order], seed=0) == flip_rate([judged(FIRST, FIRST)], seed=0)
    # All else is about all four: a tie counts as a and agrees, the others name another than people do.
    assert (found.alignment.value, found.alignment.n, found.ties) == (0.25, 4, 1)
    assert (found.label_mass.n, found.mean_entropy.n, found.ece.n) == (4, 4, 4)


def test_where_all_are_of_one_order_there_are_no_such_figures() -> None:
    found = figures([replace(judged(), both_orders=False)] * 3, seed=0)
    assert found.flip_rate is None
    assert found.same_position_rate is None
    assert found.same_position_first is None
    assert found.position_p_value == 1.0
    assert (found.alignment.value, found.alignment.n) == (1.0, 3)
    assert flip_rate([], seed=0) is None


def test_confidence_groups_share_no_border() -> None:
    borders = {0.5: "0.5-0.6", 0.6: "0.5-0.6", 0.61: "0.6-0.7", 0.8: "0.7-0.8", 0.9: "0.8-0.9", 1.0: "0.9-1.0"}
    assert {p: confidence_group(p) for p in borders} == borders


def test_a_resample_draws_prompts_with_all_their_pairs() -> None:
    """Two prompts of ten pairs each: the labeler is right on all of one and on none of the other."""
    apart = [replace(judged(human_first=i < 10), pair=f"pair {i}") for i in range(20)]
    together = [replace(one, prompt=f"prompt {i // 10}") for i, one in enumerate(apart)]
    one, two = (figures(some, seed=0).alignment for some in (apart, together))
    assert (one.value, one.n, two.value, two.n) == (0.5, 20, 0.5, 20)
    # Twenty tosses are seldom all alike; two are in every second draw.
    assert 0.2 < one.low < one.high < 0.8
    assert (two.low, two.high) == (0, 1)


def test_where_all_pairs_have_one_prompt_pairs_are_drawn() -> None:
    some = [replace(judged(human_first=i < 10), pair=f"pair {i}", prompt="the only one") for i in range(20)]
    assert figures(some, seed=0) == figures([replace(one, prompt=None) for one in some], seed=0)


def test_calibration_and_wording_draw_prompts_too() -> None:
    right, wrong = judged(FIRST, SECOND), judged(SECOND, FIRST)
    some = [replace(right if i < 10 else wrong, pair=f"pair {i}", prompt=f"prompt {i // 10}") for i in range(20)]
    squares = scores(some, seed=0).brier
    lowest = prompt_sensitivity({"one": some, "two": some}, seed=0).lowest
    # Either both draws are of the prompt on which it is right, or both of the other, or one of each.
    assert (squares.n, squares.low, squares.high) == (
        20,
        pytest.approx((right.p - 1) ** 2),
        pytest.approx((wrong.p - 1) ** 2),
    )
    assert (lowest.n, lowest.low, lowest.high) == (20, 0, 1)
