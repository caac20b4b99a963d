import math

import numpy as np
import pytest

from tests.trainers.samples import floats, seen
from trainers.reinforce import credit, loss
from truing.config.kl import Kl

OLD, REFERENCE = floats(-1.0, -2.0, -0.5), floats(-1.5, -1.0, -0.5)
"""log π/π_ref of each token: 0.5, -1, 0."""
VALUES = floats(0.5, 1.0, -1.0)


def test_the_return_is_what_is_still_to_come_and_the_advantage_is_it_less_the_baseline() -> None:
    found = credit(2.0, OLD, REFERENCE, VALUES, 0.1, Kl(), 1.0)
    assert found is not None
    advantages, targets = found
    # r = -0.1·(0.5, -1, 0) + (0, 0, 2) = -0.05, 0.1, 2;  from the end G = 2.05, 2.1, 2;  A = G - V = 1.55, 1.1, 3
    assert targets.tolist() == pytest.approx([2.05, 2.1, 2.0])
    assert advantages.tolist() == pytest.approx([1.55, 1.1, 3.0])
    assert advantages.dtype == targets.dtype == np.float32


def test_rlaif_and_a_discount() -> None:
    found = credit(2.0, OLD, REFERENCE, VALUES, 0.1, Kl(objective="rlaif"), 0.5)
    assert found is not None
    # r = -0.05, 0.1, 0.9·2 = 1.8;  G₃ = 1.8, G₂ = 0.1 + 0.9 = 1, G₁ = -0.05 + 0.5 = 0.45
    assert found[1].tolist() == pytest.approx([0.45, 1.0, 1.8])
    assert found[0].tolist() == pytest.approx([-0.05, 0.0, 2.8])


def test_k3_is_paid_token_by_token() -> None:
    found = credit(0.0, OLD, REFERENCE, floats(0, 0, 0), 1.0, Kl(estimator="k3"), 1.0)
    assert found is not None
    # k3 of 0.5, -1, 0: e^-½ - 1 + ½ = 0.106531;  e - 1 - 1 = 0.718282;  0.  G = minus the sums from the end
    first, second = math.exp(-0.5) - 0.5, math.e - 2
    assert found[1].tolist() == pytest.approx([-first - second, -second, 0.0], abs=1e-6)


def test_a_failed_reward_has_no_credit_whatever_the_numbers_of_its_tokens_are() -> None:
    assert credit(None, OLD, REFERENCE, VALUES, 0.1, Kl(), 1.0) is None
    assert credit(None, floats(math.nan), floats(0), floats(math.inf), 0.1, Kl(), 1.0) is None


def test_the_inputs_stay_as_they_were() -> None:
    old, reference, values = OLD.copy(), REFERENCE.copy(), VALUES.copy()
    for array in (old, reference, values):
        array.flags.writeable = False  # as what comes from the object store
    credit(2.0, old, reference, values, 0.1, Kl(), 1.0)
    assert (old.tolist(), values.tolist()) == (OLD.tolist(), VALUES.tolist())


def test_at_ratio_1_the_gradient_is_reinforces() -> None:
    batch = seen()
    # -(1·2 + 0.5·(-1) + 2·3) = -7.5, less 0.2·3 of entropy
    found = loss(batch, entropy=0.2)
    assert found.item() == pytest.approx(-8.1)
    found.backward()
    assert batch.logprobs.grad is not None
    assert batch.logprobs.grad.tolist() == pytest.approx([-2.0, 0.5, -6.0])
