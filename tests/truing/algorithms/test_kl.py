import math
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from truing.algorithms.kl import (
    ESTIMATORS,
    LARGEST_BETA,
    PENALISED,
    AdaptiveKl,
    FixedKl,
    k1,
    k2,
    k3,
    penalised_instructgpt,
    penalised_rlaif,
    token_rewards,
)
from truing.config.kl import Kl

logprob = st.floats(-15, 0)


def f64(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --- estimators ----------------------------------------------------------------------------------


def test_estimators_by_hand() -> None:
    # π = 1/2, π_ref = 1/4: log ratio ln 2 = .6931472; (ln 2)²/2 = .2402265; 1/2 - 1 + ln 2 = .1931472
    here, there = f64(math.log(0.5)), f64(math.log(0.25))
    assert_close(k1(here, there), f64(0.6931471806), rtol=0, atol=1e-9)
    assert_close(k2(here, there), f64(0.2402265070), rtol=0, atol=1e-9)
    assert_close(k3(here, there), f64(0.1931471806), rtol=0, atol=1e-9)


def test_k1_and_k3_are_unbiased() -> None:
    # π = (3/4, 1/4), π_ref = (1/2, 1/2): KL = 3/4 ln(3/2) + 1/4 ln(1/2) = .3040988 - .1732868 = .1308120
    policy = f64(0.75, 0.25)
    for estimator in (k1, k3):
        mean = (policy * estimator(policy.log(), f64(0.5, 0.5).log())).sum()
        assert float(mean) == pytest.approx(0.1308120359, abs=1e-9)


@given(logprob, logprob)
def test_k2_and_k3_are_never_negative(here: float, there: float) -> None:
    assert float(k2(f64(here), f64(there))) >= 0
    assert float(k3(f64(here), f64(there))) >= 0


def test_k3_keeps_its_digits_near_zero() -> None:
    # e^x - 1 - x = x²/2 + O(x³): at x = 1e-6 5e-13, of which exp(x) - 1 - x keeps four digits
    assert float(k3(f64(0.0), f64(1e-6))) == pytest.approx(5.0000017e-13, rel=1e-7, abs=0)


@pytest.mark.parametrize("estimator", [k1, k2, k3])
def test_equal_policies_have_no_divergence(estimator: type) -> None:
    assert estimator(f64(-1.3, -20.0), f64(-1.3, -20.0)).tolist() == [0.0, 0.0]


def test_each_configurable_estimator_has_its_formula() -> None:
    assert {"k1": k1, "k2": k2, "k3": k3} == ESTIMATORS
    assert set(ESTIMATORS) == set(get_args(Kl.model_fields["estimator"].annotation))


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [
        # Logits (1, 0, -1): e, 1, 1/e over their sum 4.0861613, π = (.6652410, .2447285, .0900306); π_ref = 1/3 each.
        # In a loss an estimator k is differentiated at samples y of π: on average Σ π(y) ∇k(y), and Σ π ∇log π = ∇1 = 0.
        # k1: Σ π ∇log π = 0, whatever π_ref is.
        ("k1", [0, 0, 0]),
        # k2: Σ π log(π/π_ref) ∇log π = ∇KL(π‖π_ref) = π (log π/π_ref - KL): the logs are .6910064, -.3089936, -1.3089936,
        # KL = .4596861 - .0756195 - .1178495 = .2662171, and .6652410·.4247893, .2447285·-.5752107, .0900306·-1.5752107.
        ("k2", [0.2825873, -0.1407705, -0.1418171]),
        # k3: Σ π (1 - π_ref/π) ∇log π = -Σ π_ref ∇log π = ∇KL(π_ref‖π) = π - π_ref.
        ("k3", [0.3319076, -0.0886049, -0.2433028]),
    ],
)
def test_the_expected_gradient_of_an_estimator_in_a_loss(estimator: str, expected: list[float]) -> None:
    logits = f64(1, 0, -1).requires_grad_()
    logprobs = logits.log_softmax(-1)
    # By enumeration: each outcome is sampled with its probability, through which no gradient flows.
    (logprobs.detach().exp() * ESTIMATORS[estimator](logprobs, f64(1, 1, 1).log_softmax(-1))).sum().backward()
    assert_close(logits.grad, f64(*expected), rtol=0, atol=1e-6)


def test_the_gradient_of_k3_is_pulled_to_the_reference() -> None:
    # d/dlogπ (π_ref/π - 1 - log π_ref/π) = 1 - π_ref/π: 1 - ½, 1 - 2
    here = f64(math.log(0.5), math.log(0.25)).requires_grad_()
    k3(here, f64(math.log(0.25), math.log(0.5))).sum().backward()
    assert_close(here.grad, f64(0.5, -1.0))


# --- the two objectives --------------------------------------------------------------------------


def test_the_objectives_by_hand() -> None:
    # r = 2, KL = .5, β = .1: 2 - .05 = 1.95; .9·2 - .05 = 1.75
    assert float(penalised_instructgpt(f64(2), f64(0.5), 0.1)) == pytest.approx(1.95)
    assert float(penalised_rlaif(f64(2), f64(0.5), 0.1)) == pytest.approx(1.75)


def test_each_configurable_objective_has_its_formula() -> None:
    assert set(PENALISED) == set(get_args(Kl.model_fields["objective"].annotation))
    assert float(PENALISED["instructgpt"](f64(2), f64(0.5), 0.1)) == pytest.approx(1.95)
    assert float(PENALISED["rlaif"](f64(2), f64(0.5), 0.1)) == pytest.approx(1.75)


def test_rewards_of_tokens_by_hand() -> None:
    # -.1·(.5, -1, 2) = -.05, .1, -.2; the reward 3 at the last token: -.2 + 3, or -.2 + .9·3
    kl = f64(0.5, -1, 2)
    assert_close(token_rewards(3.0, kl, 0.1, "instructgpt"), f64(-0.05, 0.1, 2.8), rtol=0, atol=1e-12)
    assert_close(token_rewards(3.0, kl, 0.1, "rlaif"), f64(-0.05, 0.1, 2.5), rtol=0, atol=1e-12)
    assert kl.tolist() == [0.5, -1, 2]


@given(st.lists(logprob, min_size=1, max_size=6), st.floats(-5, 5), st.floats(0, 1), st.sampled_from(sorted(PENALISED)))
def test_rewards_of_tokens_add_up_to_the_objective(kl: list[float], total: float, beta: float, objective: str) -> None:
    expected = PENALISED[objective](f64(total)[0], f64(*kl).sum(), beta)
    assert_close(token_rewards(total, f64(*kl), beta, objective).sum(), expected, rtol=0, atol=1e-9)


# --- controllers ---------------------------------------------------------------------------------


def test_a_fixed_controller_does_not_react() -> None:
    kl = FixedKl(0.05)
    kl.observe(100.0, 512)
    assert kl.beta == 0.05


@pytest.mark.parametrize(
    ("measured", "samples", "beta"),
    [
        (6.6, 64, 0.100064),  # .1·(1 + .1·64/10000)
        (12.0, 256, 0.100512),  # error 1, clipped to .2: .1·(1 + .2·256/10000)
        (0.0, 256, 0.099488),  # error -1, clipped to -.2: .1·(1 - .2·256/10000)
        (6.0, 256, 0.1),
        (0.0, 100_000, 0.08),  # counts for 10000 samples: .1·(1 - .2)
    ],
)
def test_an_adaptive_controller_follows_its_target(measured: float, samples: int, beta: float) -> None:
    kl = AdaptiveKl(0.1, 6.0, "instructgpt")
    kl.observe(measured, samples)
    assert kl.beta == pytest.approx(beta, abs=1e-12)


@given(st.lists(st.tuples(st.floats(0, 1000), st.integers(1, 10**6)), max_size=30), st.sampled_from(sorted(PENALISED)))
def test_an_adaptive_beta_stays_positive(seen: list[tuple[float, int]], objective: str) -> None:
    kl = AdaptiveKl(0.1, 6.0, objective)
    for measured, samples in seen:
        kl.observe(measured, samples)
    assert kl.beta > 0


def test_an_adaptive_beta_leaves_the_reward_its_sign() -> None:
    mixed, added = AdaptiveKl(0.9, 6.0, "rlaif"), AdaptiveKl(0.9, 6.0, "instructgpt")
    for _ in range(11):
        mixed.observe(100.0, 512)
        added.observe(100.0, 512)
    # Each batch multiplies by 1 + .2·512/10000 = 1.01024, and 1.01024^11 = 1.11859: .9 becomes 1.00673.
    assert added.beta == pytest.approx(1.00673, abs=1e-5)
    # Of the mixture (1 - β)·r - β·KL a hundredth is r's.
    assert mixed.beta == 0.99
    # From the bound it comes down as from anywhere: .99·(1 - .2·512/10000).
    mixed.observe(0.0, 512)
    assert mixed.beta == pytest.approx(0.9798624)


def test_each_objective_says_how_large_beta_may_become() -> None:
    assert LARGEST_BETA.keys() == PENALISED.keys()


@pytest.mark.parametrize(
    "make",
    [
        lambda beta: FixedKl(beta),
        lambda beta: AdaptiveKl(beta, 6.0, "instructgpt"),
        lambda beta: AdaptiveKl(9 * beta, 6.0, "rlaif"),
    ],
    ids=["fixed", "adaptive", "adaptive at its bound"],
)
def test_a_resumed_controller_goes_on_as_an_uninterrupted_one(make: type) -> None:
    whole, first, second = make(0.1), make(0.1), make(0.7)
    whole.observe(9.0, 30_000)
    first.observe(9.0, 30_000)
    second.restore(first.state())
    whole.observe(5.0, 400)
    second.observe(5.0, 400)
    assert second.beta == whole.beta
