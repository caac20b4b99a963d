import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.vectors import vector
from truing.labeling.consensus import (
    OrderedLogprobs,
    expected_score,
    inverted,
    preference_from_orders,
    string_likelihoods,
    to_unit_interval,
)

logprobs = st.one_of(st.floats(-30, 0), st.floats(max_value=0, allow_nan=False, allow_infinity=False))
orders = st.builds(OrderedLogprobs, logprobs, logprobs)
AT_LEAST_CERTAIN = OrderedLogprobs(0.0, -800.0)


def test_preference_reproduces_the_vector() -> None:
    # First pair: softmax(-.2, -1.8)[0] = .832018, softmax(-1.5, -.3)[1] = .768525; their mean is .800272.
    case = vector("rlaif_position")
    pairs = zip(case["input"]["logp_AB"], case["input"]["logp_BA"], case["expected"]["soft_pref_A_B"], strict=True)
    for ab, ba, (p_a, p_b) in pairs:
        p = preference_from_orders(OrderedLogprobs(*ab), OrderedLogprobs(*ba))
        assert (p, inverted(p)) == pytest.approx((p_a, p_b), abs=case["tolerance"])


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


def test_a_pure_position_habit_is_no_preference() -> None:
    always_first = OrderedLogprobs(math.log(0.9), math.log(0.1))
    assert preference_from_orders(always_first, always_first) == 0.5


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
    with pytest.raises(ValueError, match="unparsable"):
        OrderedLogprobs(*labels)


def test_score_reproduces_the_vector() -> None:
    case = vector("drlaif_score")
    score = expected_score(case["input"])
    assert [score, to_unit_interval(score)] == pytest.approx(case["expected"], abs=case["tolerance"])


def test_the_token_one_is_shared_between_one_and_ten() -> None:
    # P(token 1) = .4, P(0 | 1) = .25: P("1") = .3 and P("10") = .1
    tokens = {"1": math.log(0.4), **{str(i): math.log(0.05) for i in range(2, 10)}, "The": -0.5}
    likelihoods = [math.exp(value) for value in string_likelihoods(tokens, math.log(0.25))]
    assert likelihoods == pytest.approx([0.3, *[0.05] * 8, 0.1])
    # (.3 * 1 + .05 * (2 + ... + 9) + .1 * 10) / .8 = (.3 + 2.2 + 1) / .8
    assert expected_score(string_likelihoods(tokens, math.log(0.25))) == pytest.approx(3.5 / 0.8)


@given(st.floats(-20, 0), st.floats(-50, 0))
def test_one_and_ten_together_are_the_token_one(logp_one: float, logp_zero: float) -> None:
    tokens = {str(i): logp_one for i in range(1, 10)}
    likelihoods = string_likelihoods(tokens, logp_zero)
    assert math.exp(likelihoods[0]) + math.exp(likelihoods[9]) == pytest.approx(math.exp(logp_one))


def test_a_certain_zero_leaves_nothing_for_one() -> None:
    tokens = {"1": 0.0, **{str(i): -math.inf for i in range(2, 10)}}
    assert expected_score(string_likelihoods(tokens, 0.0)) == 10.0
    assert expected_score(string_likelihoods(tokens, -math.inf)) == 1.0


def test_missing_digits_and_impossible_likelihoods_are_errors() -> None:
    with pytest.raises(ValueError, match="\\['3'\\]"):
        string_likelihoods({str(i): -2.0 for i in range(1, 10) if i != 3}, -1.0)
    for impossible in (0.5, math.nan):
        with pytest.raises(ValueError, match="no log-probability"):
            string_likelihoods({str(i): -2.0 for i in range(1, 10)}, impossible)


@given(st.lists(st.floats(-200, 0), min_size=10, max_size=10), st.floats(-500, 500))
def test_a_common_factor_does_not_change_the_score(likelihoods: list[float], shift: float) -> None:
    score = expected_score(likelihoods)
    assert 1 <= score <= 10
    assert expected_score([value + shift for value in likelihoods]) == pytest.approx(score, abs=1e-9)


def test_uniform_likelihoods_score_the_middle() -> None:
    # (1 + ... + 10) / 10 = 5.5, the middle of the scale: reward 0
    assert to_unit_interval(expected_score([-4.0] * 10)) == pytest.approx(0.0)
    assert (to_unit_interval(1), to_unit_interval(10)) == (-1.0, 1.0)


@pytest.mark.parametrize("unusable", [[-1.0] * 9, [-math.inf] * 10, [math.nan] + [-1.0] * 9, [-1.0] * 9 + [math.nan]])
def test_a_score_without_likelihoods_is_an_error(unusable: list[float]) -> None:
    with pytest.raises(ValueError, match=r"log-likelihoods|unparsable"):
        expected_score(unusable)
