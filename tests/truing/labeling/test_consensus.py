import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from truing.labeling.consensus import (
    OrderedLogprobs,
    expected_score,
    inverted,
    p_yes,
    preference_from_orders,
    self_consistent,
    to_unit_interval,
)

logprobs = st.one_of(st.floats(-30, 0), st.floats(max_value=0, allow_nan=False, allow_infinity=False))
orders = st.builds(OrderedLogprobs, logprobs, logprobs)
certain = st.sampled_from([OrderedLogprobs(0.0, -math.inf), OrderedLogprobs(-math.inf, -2.0)])
readings = st.lists(orders | certain, min_size=1, max_size=5)
AT_LEAST_CERTAIN = OrderedLogprobs(0.0, -800.0)


def mirrored(order: OrderedLogprobs) -> OrderedLogprobs:
    return OrderedLogprobs(order.second, order.first)


# --- two orders ------------------------------------------------------------------------------------------------------


@given(orders, orders)
@example(AT_LEAST_CERTAIN, OrderedLogprobs(-800.0, 0.0))
@example(OrderedLogprobs(-0.1, -2.3), OrderedLogprobs(-0.3, -1.7))
def test_swapping_the_pair_flips_the_preference_to_the_last_bit(ab: OrderedLogprobs, ba: OrderedLogprobs) -> None:
    p, swapped = preference_from_orders(ab, ba), preference_from_orders(ba, ab)
    assert swapped == 1 - p
    assert p + swapped == 1.0
    assert 0 <= p <= 1


@given(logprobs, logprobs)
def test_swapping_the_labels_flips_p_first_to_the_last_bit(first: float, second: float) -> None:
    assert OrderedLogprobs(second, first).p_first == 1 - OrderedLogprobs(first, second).p_first


@given(orders, orders)
def test_inverting_twice_changes_nothing(ab: OrderedLogprobs, ba: OrderedLogprobs) -> None:
    p = preference_from_orders(ab, ba)
    assert inverted(inverted(p)) == p
    assert inverted(p) == preference_from_orders(ba, ab)


def test_p_first_is_the_softmax_of_the_two_labels() -> None:
    # odds e^{-1 + 3} : 1
    assert OrderedLogprobs(-1.0, -3.0).p_first == pytest.approx(math.exp(2) / (1 + math.exp(2)))
    assert OrderedLogprobs(-1e308, -1e308).p_first == 0.5
    assert OrderedLogprobs(-math.inf, -2.0).p_first == 0.0
    assert OrderedLogprobs(0.0, -1e308).p_first == 1.0


def test_both_orders_count_the_same() -> None:
    # P(first | a, b) = .9, P(second | b, a) = .6: (.9 + .6) / 2
    ab = OrderedLogprobs(math.log(0.9), math.log(0.1))
    ba = OrderedLogprobs(math.log(0.4), math.log(0.6))
    assert preference_from_orders(ab, ba) == pytest.approx(0.75)
    # A pure position habit is no preference.
    assert preference_from_orders(ab, ab) == 0.5


def test_mass_and_winner() -> None:
    order = OrderedLogprobs(math.log(0.5), math.log(0.25))
    assert order.mass == pytest.approx(0.75)
    assert order.winner == "first"
    assert OrderedLogprobs(-2.0, -1.0).winner == "second"
    assert OrderedLogprobs(-1.0, -1.0).winner is None


@pytest.mark.parametrize(
    "labels", [(math.nan, -1.0), (-1.0, math.nan), (-math.inf, -math.inf), (math.inf, -1.0), (math.nan, -math.inf)]
)
def test_labels_that_cannot_be_compared_are_unparsable(labels: tuple[float, float]) -> None:
    reason = f"label log-probabilities {labels[0]} and {labels[1]} cannot be compared: the reply is unparsable."
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        OrderedLogprobs(*labels)


# --- several rationales ----------------------------------------------------------------------------------------------


def test_self_consistency_by_hand() -> None:
    # P(first) = .4 / .5 = .8 and .1 / .4 = .25, mean .525; mass .5 and .4, mean .45.
    found = self_consistent(
        [
            OrderedLogprobs(math.log(0.4), math.log(0.1)),
            OrderedLogprobs(math.log(0.1), math.log(0.3)),
        ]
    )
    assert found.p_first == pytest.approx(0.525)
    assert found.mass == pytest.approx(0.45)
    assert (math.exp(found.first), math.exp(found.second)) == pytest.approx((0.525 * 0.45, 0.475 * 0.45))


def test_a_weak_reading_counts_as_much_as_a_strong_one() -> None:
    # The second puts a thousandth of the first's mass on its labels, and its P(first) of 0 counts half all the same.
    strong, weak = OrderedLogprobs(0.0, -math.inf), OrderedLogprobs(-math.inf, math.log(1e-3))
    found = self_consistent([strong, weak])
    assert found.winner is None
    assert found.mass == pytest.approx(1.001 / 2)


@given(readings)
@example([OrderedLogprobs(0.0, -math.inf)])
@example([OrderedLogprobs(-134217728.0, -134217728.0), OrderedLogprobs(-134217244.0, -134217245.0)])
@example([OrderedLogprobs(-0.1, -2.3), OrderedLogprobs(-700.0, -0.5), OrderedLogprobs(-1.3, -1.3)])
def test_swapped_readings_give_the_swapped_answer_to_the_last_bit(several: list[OrderedLogprobs]) -> None:
    found = self_consistent(several)
    assert self_consistent([mirrored(each) for each in several]) == mirrored(found)
    assert self_consistent(several[::-1]) == found
    mean = math.fsum(each.p_first for each in several) / len(several)
    # Label and mass in one number round to its last bit, which is coarse only where the mass is next to nothing.
    assert found.p_first == pytest.approx(mean, abs=1e-12 + math.ulp(max(found.first, found.second)))


@given(readings, readings)
def test_swapping_a_pair_read_several_times_flips_p_exactly(
    ab: list[OrderedLogprobs], ba: list[OrderedLogprobs]
) -> None:
    p = preference_from_orders(self_consistent(ab), self_consistent(ba))
    assert preference_from_orders(self_consistent(ba), self_consistent(ab)) == 1 - p


@given(st.builds(OrderedLogprobs, st.floats(-30, 0), st.floats(-30, 0)), st.integers(1, 4))
def test_the_same_reading_again_changes_nothing(one: OrderedLogprobs, times: int) -> None:
    found = self_consistent([one] * times)
    assert (found.first, found.second) == pytest.approx((one.first, one.second), abs=1e-9)


def test_without_a_reading_there_is_no_answer() -> None:
    with pytest.raises(ValueError, match=r"^no reading to average: every rationale failed, so the question failed\.$"):
        self_consistent([])


# --- yes or no, and scores -------------------------------------------------------------------------------------------


def test_p_yes_is_the_share_of_yes() -> None:
    # P(yes) = .3, P(no) = .1: three quarters of what is on the two
    assert p_yes(math.log(0.3), math.log(0.1)) == pytest.approx(0.75)
    assert p_yes(-math.inf, -1.0) == 0.0


def test_scores_by_hand() -> None:
    # P = .1, .2, .3 of three strings: sum i P(i) = .1 + .4 + .9 = 1.4, of .6.
    values = [math.log(p) for p in (0.1, 0.2, 0.3)]
    named = {"3": values[2], "1": values[0], "2": values[1]}
    assert [expected_score(values), expected_score(named)] == pytest.approx([1.4 / 0.6] * 2)


def test_ten_comes_after_nine() -> None:
    # All probability on "10": sorted as words, it would stand second and score 2.
    ten = {str(i): -math.inf for i in range(1, 10)} | {"10": -3.0}
    assert expected_score(ten) == 10.0


@given(st.lists(st.floats(-200, 0), min_size=2, max_size=10), st.floats(-500, 500))
# P(9) of just under 2^-53: both sums round, and 9 P(9) + 10 is rounded up.
@example([-math.inf] * 8 + [math.log(0.95 * 2**-53), 0.0], 0.0)
def test_a_common_factor_does_not_change_the_score(likelihoods: list[float], shift: float) -> None:
    score = expected_score(likelihoods)
    assert 1 <= score <= len(likelihoods)
    assert expected_score([value + shift for value in likelihoods]) == pytest.approx(score, abs=1e-9)


@given(st.lists(st.floats(-20, 0), min_size=2, max_size=10))
def test_the_scale_turned_round_turns_the_score_round(likelihoods: list[float]) -> None:
    n = len(likelihoods)
    assert expected_score(likelihoods[::-1]) == pytest.approx(n + 1 - expected_score(likelihoods))


def test_uniform_likelihoods_score_the_middle() -> None:
    # (1 + ... + 10) / 10 = 5.5, the middle of the scale: reward 0
    assert to_unit_interval(expected_score([-4.0] * 10)) == pytest.approx(0.0)
    assert (to_unit_interval(1), to_unit_interval(10)) == (-1.0, 1.0)
    # Of 1..5, 2 is a quarter of the way up: -1 + 2 / 4
    assert to_unit_interval(2, top=5) == -0.5


@pytest.mark.parametrize(
    ("unusable", "reason"),
    [
        ([], "0 log-likelihoods: a score reads those of at least two strings."),
        ([-1.0], "1 log-likelihoods: a score reads those of at least two strings."),
        ([-math.inf] * 10, "the score strings have no usable likelihood: treat the reply as unparsable."),
        ([-1.0, math.nan], "the score strings have no usable likelihood: treat the reply as unparsable."),
        ([math.inf, -1.0], "the score strings have no usable likelihood: treat the reply as unparsable."),
        ({"1": -1.0, "3": -2.0}, "log-likelihoods of ['1', '3']: a score needs those of 1 to n, each, and no others."),
        (
            {"1": -1.0, "2": -2.0, "The": -1.0},
            "log-likelihoods of ['1', '2', 'The']: a score needs those of 1 to n, each, and no others.",
        ),
    ],
)
def test_a_score_without_likelihoods_is_an_error(unusable: dict[str, float] | list[float], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        expected_score(unusable)
