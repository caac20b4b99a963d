import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from truing.algorithms.advantages import (
    generalised_advantage,
    group_relative,
    leave_one_out,
    rewards_to_go,
    whitened,
)

numbers = st.lists(st.floats(-100, 100), min_size=1, max_size=8)


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --- leave one out -------------------------------------------------------------------------------


def test_each_return_is_compared_with_the_mean_of_the_others() -> None:
    # 1 - (3+8)/2 = -4.5; 3 - (1+8)/2 = -1.5; 8 - (1+3)/2 = 6
    found = leave_one_out(f64(1, 3, 8), torch.tensor([True] * 3))
    assert_close(found, f64(-4.5, -1.5, 6))


def test_a_failed_reward_is_nobodys_baseline() -> None:
    # Without the second: 1 - (3+8)/2 = -4.5; 3 - (1+8)/2 = -1.5; 8 - (1+3)/2 = 6
    valid = torch.tensor([True, False, True, True])
    assert_close(leave_one_out(f64(1, math.nan, 3, 8), valid), f64(-4.5, 0, -1.5, 6))
    assert_close(leave_one_out(f64(1, math.inf, 3, 8), valid), f64(-4.5, 0, -1.5, 6))


@pytest.mark.parametrize("valid", [[True, False], [False, True], [False, False]])
def test_without_another_valid_return_there_is_no_advantage(valid: list[bool]) -> None:
    assert leave_one_out(f64(5, math.nan), torch.tensor(valid)).tolist() == [0.0, 0.0]


@given(st.lists(st.one_of(st.floats(-100, 100), st.sampled_from([math.nan, math.inf, -math.inf])), max_size=8))
def test_failed_returns_do_not_leak(returns: list[float]) -> None:
    found = f64(*returns)
    valid = found.isfinite()
    advantages = leave_one_out(found, valid)
    assert (advantages[~valid] == 0).all()
    # The valid ones are what they would be had the others never been sampled.
    assert_close(advantages[valid], leave_one_out(found[valid], valid[valid]), rtol=0, atol=1e-9)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=8), st.floats(-100, 100))
def test_advantages_are_the_scaled_deviations_from_the_mean(returns: list[float], shift: float) -> None:
    # R_i - (S - R_i)/(k-1) = k/(k-1) (R_i - S/k); so they sum to 0 and a constant added to all returns drops out.
    found, k = f64(*returns), len(returns)
    valid = torch.ones(k, dtype=torch.bool)
    assert_close(leave_one_out(found, valid), k / (k - 1) * (found - found.mean()), rtol=0, atol=1e-9)
    assert_close(leave_one_out(found + shift, valid), leave_one_out(found, valid), rtol=0, atol=1e-9)


# --- relative to the group -----------------------------------------------------------------------


def test_a_reward_is_counted_in_deviations_from_the_groups_mean() -> None:
    # mean 2.5, population variance (2.25 + .25)·2/4 = 1.25, deviation 1.1180340 and 1e-6 more
    # -1.5/1.1180350 = -1.3416396, -.5/1.1180350 = -.4472132
    found = group_relative(f64(1, 2, 3, 4), torch.tensor([True] * 4))
    assert_close(found, f64(-1.3416396, -0.4472132, 0.4472132, 1.3416396), rtol=0, atol=1e-6)


def test_a_failed_reward_is_not_in_the_group() -> None:
    # Without the second: mean 4, population variance (9 + 1 + 16)/3 = 8.6666667, deviation 2.9439203
    # -3/2.9439213 = -1.0190489, -1/2.9439213 = -.3396830, 4/2.9439213 = 1.3587319
    valid = torch.tensor([True, False, True, True])
    expected = f64(-1.0190489, 0, -0.3396830, 1.3587319)
    for failed in (math.nan, math.inf, 1e30):
        assert_close(group_relative(f64(1, failed, 3, 8), valid), expected, rtol=0, atol=1e-6)


def test_equal_rewards_and_a_single_one_say_nothing() -> None:
    # A deviation of 0 would divide 0 by 0.
    assert group_relative(f64(3, 3, math.nan), torch.tensor([True, True, False])).tolist() == [0.0] * 3
    assert group_relative(f64(3, math.nan), torch.tensor([True, False])).tolist() == [0.0, 0.0]
    assert group_relative(f64(), torch.tensor([], dtype=torch.bool)).tolist() == []


EQUAL = [7.3, 0.1, -1e-3, 12345.678, *random.Random(0).choices([x / 7 for x in range(-700, 700)], k=40)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", range(2, 17))
def test_equal_rewards_say_nothing_however_they_round(k: int, dtype: torch.dtype) -> None:
    # In float32 the mean of 7.3, 7.3, 7.3 is 7.3000002: a difference that is its own deviation.
    for reward in EQUAL:
        same = torch.full((k,), reward, dtype=dtype)
        assert group_relative(same, torch.ones(k, dtype=torch.bool)).tolist() == [0.0] * k
        assert whitened(same).tolist() == [0.0] * k


def test_rounding_is_no_deviation() -> None:
    # r, r and r + δ: mean r + δ/3, differences -δ/3, -δ/3, 2δ/3, deviation δ·√2/3. δ = 2^-18 is eight steps of float32 at 7.3,
    # of which a mean in float32 may lose one half.
    delta = 2**-18
    found = group_relative(torch.tensor([7.3] * 3) + torch.tensor([0, 0, delta]), torch.tensor([True] * 3))
    expected = torch.tensor([-delta / 3, -delta / 3, 2 * delta / 3]) / (delta * math.sqrt(2) / 3 + 1e-6)
    assert_close(found, expected, rtol=1e-6, atol=0)


@given(st.lists(st.one_of(st.integers(-50, 50), st.just(math.nan)), max_size=8))
def test_failed_rewards_do_not_leak(rewards: list[float]) -> None:
    found = f64(*rewards)
    valid = found.isfinite()
    advantages = group_relative(found, valid)
    assert (advantages[~valid] == 0).all()
    assert_close(advantages[valid], group_relative(found[valid], valid[valid]), rtol=0, atol=1e-9)


# --- rewards to go -------------------------------------------------------------------------------


def test_rewards_to_go_by_hand() -> None:
    # γ = ½: 4; 2 + ½·4 = 4; 1 + ½·4 = 3
    assert_close(rewards_to_go(f64(1, 2, 4), 0.5), f64(3, 4, 4))
    # Undiscounted: 1 + 2 + 4, 2 + 4, 4
    assert_close(rewards_to_go(f64(1, 2, 4), 1.0), f64(7, 6, 4))
    assert rewards_to_go(f64(), 0.5).shape == (0,)


@given(numbers, st.floats(0, 1))
def test_rewards_to_go_are_the_advantage_where_nothing_is_expected(rewards: list[float], discount: float) -> None:
    # V = 0 and λ = 1: δ_t = r_t, A_t = Σ γ^{u-t} r_u
    found = f64(*rewards)
    expected, _ = generalised_advantage(found, torch.zeros_like(found), discount, 1.0)
    assert_close(rewards_to_go(found, discount), expected, rtol=0, atol=1e-9)


# --- generalised advantage -----------------------------------------------------------------------


def test_generalised_advantage_by_hand() -> None:
    # γ = .9, λ = .5, γλ = .45
    # δ_2 = 1 - .3           =  .7     A_2 = .7
    # δ_1 = 0 + .9·.3 - .4   = -.13    A_1 = -.13 + .45·.7   =  .185
    # δ_0 = 0 + .9·.4 - .5   = -.14    A_0 = -.14 + .45·.185 = -.05675
    # targets A + V: .44325, .585, 1.0
    advantages, targets = generalised_advantage(f64(0, 0, 1), f64(0.5, 0.4, 0.3), 0.9, 0.5)
    assert_close(advantages, f64(-0.05675, 0.185, 0.7))
    assert_close(targets, f64(0.44325, 0.585, 1.0))


@st.composite
def responses(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    rewards = draw(numbers)
    return f64(*rewards), f64(*draw(st.lists(st.floats(-100, 100), min_size=len(rewards), max_size=len(rewards))))


@given(responses())
def test_undiscounted_it_is_the_return_minus_the_value(response: tuple[Tensor, Tensor]) -> None:
    rewards, values = response
    advantages, targets = generalised_advantage(rewards, values, 1.0, 1.0)
    returns = f64(*[float(rewards[t:].sum()) for t in range(len(rewards))])
    assert_close(advantages, returns - values, rtol=0, atol=1e-8)
    assert_close(targets, returns, rtol=0, atol=1e-8)


@given(responses(), st.floats(0.1, 1))
def test_without_lambda_it_is_the_one_step_error(response: tuple[Tensor, Tensor], discount: float) -> None:
    rewards, values = response
    following = torch.cat([values[1:], f64(0)])
    advantages, _ = generalised_advantage(rewards, values, discount, 0.0)
    assert_close(advantages, rewards + discount * following - values, rtol=0, atol=1e-9)


def test_an_empty_response_has_no_advantages() -> None:
    advantages, targets = generalised_advantage(f64(), f64(), 1.0, 0.95)
    assert advantages.shape == targets.shape == (0,)


# --- whitening -----------------------------------------------------------------------------------


def test_whitening_by_hand() -> None:
    # mean 2.5, population variance (2.25 + .25)·2/4 = 1.25: -1.5/√1.25 = -1.341641, -.5/√1.25 = -.447214
    assert_close(whitened(f64(1, 2, 3, 4)), f64(-1.341641, -0.447214, 0.447214, 1.341641), rtol=0, atol=1e-6)


def test_equal_advantages_become_zero() -> None:
    assert whitened(f64(3, 3, 3)).tolist() == [0.0, 0.0, 0.0]
    assert whitened(f64(3)).tolist() == [0.0]


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=20, unique=True), st.floats(0.5, 10), st.floats(-10, 10))
def test_unit_and_origin_of_the_reward_do_not_matter(values: list[int], scale: float, shift: float) -> None:
    advantages = f64(*values)
    assert_close(whitened(advantages * scale + shift), whitened(advantages), rtol=0, atol=1e-6)
    assert float(whitened(advantages).square().mean()) == pytest.approx(1, abs=1e-6)
