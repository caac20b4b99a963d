import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from truing.algorithms.advantages import generalised_advantage, leave_one_out, whitened

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
