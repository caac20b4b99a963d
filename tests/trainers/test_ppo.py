import math

import numpy as np
import pytest

from tests.trainers.samples import floats, lists, seen
from trainers.ppo import credit, loss, whiten_all
from truing.config.kl import Kl
from truing.config.policy import Ppo

OLD, REFERENCE = floats(-1.0, -2.0, -0.5), floats(-1.5, -1.0, -0.5)
"""log π/π_ref of each token: 0.5, -1, 0."""


@pytest.mark.parametrize(
    ("kl", "expected"),
    [
        # -β·KL = -0.1·(0.5, -1, 0); r = 2 at the end, (1 - β)·r = 1.8
        (Kl(), [-0.05, 0.1, 2.0]),
        (Kl(objective="rlaif"), [-0.05, 0.1, 1.8]),
        # k2: -0.1·½·(0.25, 1, 0)
        (Kl(estimator="k2"), [-0.0125, -0.05, 2.0]),
        # k3: -0.1·(e^-½ - ½, e - 2, 0)
        (Kl(estimator="k3", objective="rlaif"), [-0.1 * (math.exp(-0.5) - 0.5), -0.1 * (math.e - 2), 1.8]),
    ],
)
def test_every_token_pays_its_kl_and_the_last_one_has_the_reward(kl: Kl, expected: list[float]) -> None:
    # With λ = 0, γ = 1 and values that are all V, A_t = r_t but for the last one's -V: V = 0 shows the rewards.
    found = credit(2.0, OLD, REFERENCE, floats(0, 0, 0), 0.1, kl, Ppo(discount=1.0, gae_lambda=0.0))
    assert found is not None
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_response_of_one_token() -> None:
    found = credit(1.0, floats(-1.0), floats(-2.0), floats(0.25), 0.5, Kl(), Ppo())
    assert found is not None
    # r = 1 - 0.5·1 = 0.5;  A = 0.5 - 0.25
    assert (found[0].tolist(), found[1].tolist()) == ([0.25], [0.5])


def test_credit_is_gae_by_hand() -> None:
    algorithm = Ppo(discount=0.9, gae_lambda=0.5)
    found = credit(2.0, OLD, REFERENCE, floats(0.5, 1.0, -1.0), 0.1, Kl(), algorithm)
    assert found is not None
    # Rewards -0.05, 0.1, 2. Backwards, γ = 0.9, γλ = 0.45:
    #   δ₃ = 2 + 0 - (-1) = 3                   A₃ = 3
    #   δ₂ = 0.1 + 0.9·(-1) - 1 = -1.8          A₂ = -1.8 + 0.45·3 = -0.45
    #   δ₁ = -0.05 + 0.9·1 - 0.5 = 0.35         A₁ = 0.35 + 0.45·(-0.45) = 0.1475
    advantages, targets = found
    assert advantages.tolist() == pytest.approx([0.1475, -0.45, 3.0])
    # A + V
    assert targets.tolist() == pytest.approx([0.6475, 0.55, 2.0])
    assert advantages.dtype == targets.dtype == np.float32


def test_with_lambda_1_and_no_discount_the_target_is_what_is_still_to_come() -> None:
    algorithm = Ppo(discount=1.0, gae_lambda=1.0)
    found = credit(2.0, OLD, REFERENCE, floats(0.3, -0.2, 0.9), 0.1, Kl(objective="rlaif"), algorithm)
    assert found is not None
    # Rewards -0.05, 0.1, 1.8: sums from the end 1.8, 1.9, 1.85
    assert found[1].tolist() == pytest.approx([1.85, 1.9, 1.8])


def test_a_failed_reward_has_no_credit() -> None:
    assert credit(None, OLD, REFERENCE, floats(0, 0, 0), 0.1, Kl(), Ppo()) is None
    assert credit(None, floats(math.nan), floats(0), floats(math.inf), 0.1, Kl(), Ppo()) is None


def test_what_is_left_out_does_not_leak_into_the_others() -> None:
    # Of what is left, 1 and 3: mean 2, deviation 1
    assert [lists(group) for group in whiten_all([[None, floats(1)], [None, floats(3)]])] == [
        [None, pytest.approx([-1.0])], [None, pytest.approx([1.0])],
    ]  # fmt: skip


def test_the_inputs_stay_as_they_were() -> None:
    old, reference, values = OLD.copy(), REFERENCE.copy(), floats(1, 2, 3)
    for array in (old, reference, values):
        array.flags.writeable = False  # as what comes from the object store
    credit(2.0, old, reference, values, 0.1, Kl(), Ppo())
    assert (old.tolist(), values.tolist()) == (OLD.tolist(), [1, 2, 3])


def test_advantages_are_whitened_over_all_tokens_of_the_batch() -> None:
    found = whiten_all([[floats(1, 2), None], [floats(6), floats(3, -2, 2)]])
    # Mean (1 + 2 + 6 + 3 - 2 + 2)/6 = 2; squares of the differences 1 + 0 + 16 + 1 + 16 + 0 = 34; deviation √(34/6)
    deviation = (34 / 6) ** 0.5
    expected = [[[-1 / deviation, 0], None], [[4 / deviation], [1 / deviation, -4 / deviation, 0]]]
    for group, right in zip(found, expected, strict=True):
        for tokens, numbers in zip(group, right, strict=True):
            assert (tokens is None) == (numbers is None)
            assert tokens is None or tokens.tolist() == pytest.approx(numbers, abs=1e-6)
    whole = np.concatenate([tokens for group in found for tokens in group if tokens is not None])
    assert whole.mean() == pytest.approx(0, abs=1e-6)
    assert whole.std() == pytest.approx(1, abs=1e-6)


def test_equal_advantages_whiten_to_nothing() -> None:
    assert [tokens.tolist() for tokens in whiten_all([[floats(3, 3), floats(3)]])[0] if tokens is not None] == [
        [0, 0],
        [0],
    ]


def test_at_ratio_1_nothing_is_clipped() -> None:
    batch = seen()
    # -(1·2 + 0.5·(-1) + 2·3) = -7.5, less 0.1·3 of entropy
    found = loss(batch, clip=0.2, entropy=0.1)
    assert found.item() == pytest.approx(-7.8)
    found.backward()
    assert batch.logprobs.grad is not None
    assert batch.logprobs.grad.tolist() == pytest.approx([-2.0, 0.5, -6.0])


def test_the_ratio_is_clipped_where_it_would_gain_by_going_further() -> None:
    # Ratios 1.5, 1.5, 0.5 with A = 2, -1, 3 and w = 1, ½, 2:
    #   min(3, 2.4) = 2.4;  min(-1.5, -1.2) = -1.5;  min(1.5, 2.4) = 1.5      -(2.4 - 0.75 + 3) = -4.65
    old = np.array([-1.0, -2.0, -0.5])
    batch = seen(logprobs=(old + np.log([1.5, 1.5, 0.5])).astype(np.float32).tolist())
    assert loss(batch, clip=0.2, entropy=0.0).item() == pytest.approx(-4.65, rel=1e-5)
