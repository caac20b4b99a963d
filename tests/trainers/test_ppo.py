import numpy as np
import pytest

from actors.forward import Floats
from actors.scoring import Reward
from trainers.ppo import credit, token_rewards, whiten_all
from truing.config.policy import Ppo
from truing.records import Failed


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


OLD, REFERENCE = floats(-1.0, -2.0, -0.5), floats(-1.5, -1.0, -0.5)
"""log π/π_ref of each token: 0.5, -1, 0."""


def test_every_token_pays_its_kl_and_the_last_one_has_the_reward() -> None:
    # -β·KL = -0.1·(0.5, -1, 0); r = 2 at the end
    assert token_rewards(2.0, OLD, REFERENCE, 0.1, "instructgpt").tolist() == pytest.approx([-0.05, 0.1, 2.0])
    # (1 - β)·r = 1.8
    assert token_rewards(2.0, OLD, REFERENCE, 0.1, "rlaif").tolist() == pytest.approx([-0.05, 0.1, 1.8])


def test_the_rewards_of_a_response_sum_to_the_objective() -> None:
    for objective, share in (("instructgpt", 1.0), ("rlaif", 0.7)):
        # Σ_t r_t = r - β·KL or (1-β)·r - β·KL, KL = 0.5 - 1 + 0 = -0.5
        total = float(token_rewards(4.0, OLD, REFERENCE, 0.3, objective).sum())
        assert total == pytest.approx(share * 4.0 + 0.3 * 0.5)


def test_a_response_of_one_token() -> None:
    assert token_rewards(1.0, floats(-1.0), floats(-2.0), 0.5, "instructgpt").tolist() == [0.5]


def test_credit_is_gae_by_hand() -> None:
    algorithm = Ppo(discount=0.9, gae_lambda=0.5)
    found = credit(Reward({}, 2.0), OLD, REFERENCE, floats(0.5, 1.0, -1.0), 0.1, "instructgpt", algorithm)
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
    found = credit(Reward({}, 2.0), OLD, REFERENCE, floats(0.3, -0.2, 0.9), 0.1, "rlaif", algorithm)
    assert found is not None
    # Rewards -0.05, 0.1, 1.8: sums from the end 1.8, 1.9, 1.85
    assert found[1].tolist() == pytest.approx([1.85, 1.9, 1.8])


def test_a_failed_reward_has_no_credit() -> None:
    failed = Reward({"judge": Failed("too long"), "finished": -1.0}, None)
    assert credit(failed, OLD, REFERENCE, floats(0, 0, 0), 0.1, "instructgpt", Ppo()) is None


def test_the_inputs_stay_as_they_were() -> None:
    old, reference, values = OLD.copy(), REFERENCE.copy(), floats(1, 2, 3)
    for array in (old, reference, values):
        array.flags.writeable = False  # as what comes from the object store
    credit(Reward({}, 2.0), old, reference, values, 0.1, "instructgpt", Ppo())
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
