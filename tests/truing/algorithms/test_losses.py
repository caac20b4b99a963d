import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from truing.algorithms.losses import (
    clipped_surrogate,
    clipped_value,
    direct_preference,
    identity_preference,
    importance_weights,
    negative_log_likelihood,
    policy_gradient,
    preference,
)

Loss = Callable[..., Tensor]


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def logs(*values: float) -> Tensor:
    return f64(*values).log()


# --- each by hand --------------------------------------------------------------------------------


def test_importance_weights_are_truncated() -> None:
    # .6/.3 = 2, capped at 1.5; .2/.4 = .5; equal: 1
    found = importance_weights(logs(0.6, 0.2, 0.7), logs(0.3, 0.4, 0.7), cap=1.5)
    assert_close(found, f64(1.5, 0.5, 1.0))


def test_policy_gradient_by_hand() -> None:
    # ρ = .4/.2 = 2 and .3/.3 = 1: -(1·3·2 + .5·(-4)·1) = -4
    found = policy_gradient(logs(0.4, 0.3), logs(0.2, 0.3), f64(3, -4), f64(1, 0.5))
    assert float(found) == pytest.approx(-4, abs=1e-9)


def test_on_fresh_samples_the_gradient_is_reinforces() -> None:
    # d/dlogπ of -w·A·π/π_old at π = π_old: -w·A
    logprobs = logs(0.4, 0.3).requires_grad_()
    policy_gradient(logprobs, logprobs.detach().clone(), f64(3, -4), f64(1, 0.5)).backward()
    assert_close(logprobs.grad, f64(-3, 2))


def test_clipped_surrogate_by_hand() -> None:
    # The ratio is clipped to .8 and 1.2.
    # ρ = 1.5, A =  2: min( 3.0,  1.2·2)  =  2.4      ρ = 1.5, A = -1: min(-1.5, -1.2) = -1.5, weight 2: -3
    # ρ =  .5, A = -1: min( -.5, -.8)     =  -.8      ρ =  .5, A =  1: min(  .5,   .8) =   .5
    # -(2.4 - .8 - 3 + .5) = .9
    found = clipped_surrogate(
        logs(0.6, 0.2, 0.6, 0.2), logs(0.4, 0.4, 0.4, 0.4), f64(2, -1, -1, 1), f64(1, 1, 2, 1), 0.2
    )
    assert float(found) == pytest.approx(0.9, abs=1e-9)


def test_outside_the_trust_region_nothing_pulls_further_out() -> None:
    # ρ = 1.5 with A > 0 and ρ = .5 with A < 0 have been clipped; the other two may come back: gradient -A·ρ
    logprobs = logs(0.6, 0.2, 0.6, 0.2).requires_grad_()
    clipped_surrogate(logprobs, logs(0.4, 0.4, 0.4, 0.4), f64(2, -1, -1, 1), f64(1, 1, 1, 1), 0.2).backward()
    assert_close(logprobs.grad, f64(0, 0, 1.5, -0.5))


def test_clipped_value_takes_the_larger_error() -> None:
    # A value may move by .2 from the old one.
    # V = 1, old = .5, R = 2: (1-2)² = 1, clipped (.7-2)² = 1.69
    # V = 3, old = 0, R = .1: (3-.1)² = 8.41, clipped (.2-.1)² = .01
    # V = .1, old = 0, R = 1: not clipped, .81
    # (1.69 + 8.41 + .81)/2 = 5.455
    found = clipped_value(f64(1, 3, 0.1), f64(0.5, 0, 0), f64(2, 0.1, 1), 0.2)
    assert float(found) == pytest.approx(5.455, abs=1e-9)


def test_preference_by_hand() -> None:
    # gap ln 3: σ = 3/4. p = 1: -ln(3/4) = .2876821; p = 1/2: -(ln(3/4) + ln(1/4))/2 = .8369882, weight 2: 1.6739765
    found = preference(logs(3, 3), f64(0, 0), f64(1, 0.5), f64(1, 2), f64(0, 0))
    assert float(found) == pytest.approx(0.2876820724 + 1.6739764336, abs=1e-9)


def test_the_gradient_of_a_preference_is_the_error_of_its_probability() -> None:
    # d/dr_c = σ(gap) - p: 3/4 - 1, 3/4 - 1/2
    chosen = logs(3, 3).requires_grad_()
    preference(chosen, f64(0, 0), f64(1, 0.5), f64(1, 1), f64(0, 0)).backward()
    assert_close(chosen.grad, f64(-0.25, 0.25))


@pytest.mark.parametrize(
    ("gap", "p", "expected"), [(1e4, 1.0, 0.0), (-1e4, 1.0, 1e4), (1e4, 0.0, 1e4), (0.0, 0.3, math.log(2))]
)
def test_preferences_of_distant_rewards_stay_finite(gap: float, p: float, expected: float) -> None:
    found = preference(f64(gap), f64(0), f64(p), f64(1), f64(0))
    assert float(found) == pytest.approx(expected, abs=1e-9)


def test_a_margin_asks_for_more_than_a_lead() -> None:
    # gap ln 3, margin ln 2: σ(ln 3 - ln 2) = (3/2)/(3/2 + 1) = 3/5, -ln = .5108256
    # p = ½ asks the margin of both sides: ½·.5108256 - ½ ln σ(-ln 3 - ln 2) = .2554128 + ½ ln 7 (= .9729551) = 1.2283679
    found = preference(logs(3), f64(0), f64(1), f64(1), logs(2))
    assert float(found) == pytest.approx(0.5108256238, abs=1e-9)
    found = preference(logs(3), f64(0), f64(0.5), f64(1), logs(2))
    assert float(found) == pytest.approx(1.2283678865, abs=1e-9)


rewards = st.lists(
    st.tuples(st.floats(-50, 50), st.floats(-50, 50), st.floats(0, 1), st.floats(0, 3), st.floats(0, 5)), min_size=1
)


@given(rewards)
def test_swapping_the_pair_and_its_label_changes_nothing(rows: list[tuple[float, ...]]) -> None:
    chosen, rejected, p, weights, margins = f64(*[x for row in rows for x in row]).view(-1, 5).unbind(-1)
    there = preference(chosen, rejected, p, weights, margins)
    back = preference(rejected, chosen, 1 - p, weights, margins)
    assert_close(there, back, rtol=1e-9, atol=1e-9)
    # The losses of log-prob ratios too: the other order is the other sign of h.
    h = chosen - rejected
    for loss in (direct_preference, identity_preference):
        assert_close(loss(h, p, weights, 0.1), loss(-h, 1 - p, weights, 0.1), rtol=1e-9, atol=1e-9)


# --- losses of log-prob ratios -------------------------------------------------------------------


def test_the_likelihood_of_answers_by_hand() -> None:
    # -(ln ½ + ln ¼) = ln 8 = 2.0794415, each token the same pull
    logprobs = logs(0.5, 0.25).requires_grad_()
    loss = negative_log_likelihood(logprobs)
    assert loss.item() == pytest.approx(2.0794415417, abs=1e-9)
    loss.backward()
    assert_close(logprobs.grad, f64(-1, -1))


@pytest.mark.parametrize(
    ("h", "p", "expected"),
    [
        (0.0, 1.0, 0.6931471806),  # policy = reference: ln 2
        (0.0, 0.3, 0.6931471806),
        # β = ½, h = 2 ln 3: σ(ln 3) = 3/4
        (2 * math.log(3), 1.0, 0.2876820724),  # DPO: -ln(3/4)
        (-2 * math.log(3), 1.0, 1.3862943611),  # -ln(1/4)
        (2 * math.log(3), 0.9, 0.3975433013),  # conservative, ε = .1: .9·.2876821 + .1·1.3862944
        (2 * math.log(3), 0.6, 0.7271269879),  # a soft label: .6·.2876821 + .4·1.3862944
    ],
)
def test_direct_preference_by_hand(h: float, p: float, expected: float) -> None:
    assert float(direct_preference(f64(h), f64(p), f64(1), 0.5)) == pytest.approx(expected, abs=1e-9)
    # Twice the weight, twice the loss; none, none.
    assert float(direct_preference(f64(h, h), f64(p, p), f64(2, 0), 0.5)) == pytest.approx(2 * expected, abs=1e-9)


def test_the_gradient_of_direct_preference_is_beta_times_the_error() -> None:
    # d/dh = β(σ(βh) - p): ½(3/4 - 1), ½(3/4 - .6)
    h = f64(2 * math.log(3), 2 * math.log(3)).requires_grad_()
    direct_preference(h, f64(1, 0.6), f64(1, 1), 0.5).backward()
    assert_close(h.grad, f64(-0.125, 0.075))


@pytest.mark.parametrize(
    ("h", "p", "expected"),
    # β = ¼: the target is 2. (h-2)² and (h+2)²
    [(0.0, 1.0, 4.0), (3.0, 1.0, 1.0), (3.0, 0.0, 25.0), (3.0, 0.75, 7.0), (2.0, 1.0, 0.0)],
)
def test_identity_preference_by_hand(h: float, p: float, expected: float) -> None:
    assert float(identity_preference(f64(h), f64(p), f64(1), 0.25)) == pytest.approx(expected, abs=1e-9)
    assert float(identity_preference(f64(h, h), f64(p, p), f64(3, 0), 0.25)) == pytest.approx(3 * expected, abs=1e-9)


@given(st.floats(0, 1), st.floats(0.01, 2), st.floats(-20, 20))
def test_identity_preference_is_least_where_the_margin_says_the_label(p: float, beta: float, other: float) -> None:
    # h = (2p - 1)/2β
    best = f64((2 * p - 1) / (2 * beta)).requires_grad_()
    loss = identity_preference(best, f64(p), f64(1), beta)
    loss.backward()
    assert_close(best.grad, f64(0), rtol=0, atol=1e-9)
    assert loss.item() <= float(identity_preference(f64(other), f64(p), f64(1), beta)) + 1e-9


# --- a loss does not depend on how its batch was split -------------------------------------------

LOSSES: list[tuple[Loss, int]] = [
    (policy_gradient, 4),
    (lambda *columns: clipped_surrogate(*columns, clip=0.2), 4),
    (lambda *columns: clipped_value(*columns, clip=0.2), 3),
    (preference, 5),
    (negative_log_likelihood, 1),
    (lambda *columns: direct_preference(*columns, beta=0.3), 3),
    (lambda *columns: identity_preference(*columns, beta=0.3), 3),
]
NAMES = ["policy_gradient", "surrogate", "value", "preference", "likelihood", "direct", "identity"]


@st.composite
def split_batches(draw: st.DrawFn) -> tuple[int, list[int]]:
    sizes = draw(st.lists(st.integers(0, 5), min_size=1, max_size=6))
    return draw(st.integers(0, 2**31)), sizes


@pytest.mark.parametrize(("loss", "columns"), LOSSES, ids=NAMES)
@given(batch=split_batches())
def test_micro_batches_add_up_to_the_batch(loss: Loss, columns: int, batch: tuple[int, list[int]]) -> None:
    seed, sizes = batch
    n = sum(sizes)
    data = torch.randn(columns, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    whole = data[0].clone().requires_grad_()
    total = loss(whole, *data[1:]) / max(n, 1)
    total.backward()

    parts = data[0].clone().requires_grad_()
    added = f64(0)
    for part, *others in zip(parts.split(sizes), *(column.split(sizes) for column in data[1:]), strict=True):
        share = loss(part, *others) / max(n, 1)
        share.backward(retain_graph=True)
        added += share.detach()
    assert_close(added[0], total.detach(), rtol=0, atol=1e-9)
    assert_close(parts.grad, whole.grad, rtol=0, atol=1e-12)
