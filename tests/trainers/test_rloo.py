import numpy as np
import pytest

from actors.forward import Floats
from actors.scoring import Reward
from trainers.rloo import credit
from truing.records import Failed


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


def reward(total: float | None) -> Reward:
    return Reward({"r": Failed("too long") if total is None else total}, total)


REWARDS = [reward(1.0), reward(3.0), reward(-1.0)]
OLD = [floats(-1.0, -2.0), floats(-0.5), floats(-3.0, -1.0, -1.0)]
REFERENCE = [floats(-1.5, -3.0), floats(-0.5), floats(-2.0, -1.0, -2.0)]
"""Σ log π/π_ref: 0.5 + 1 = 1.5;  0;  -1 + 0 + 1 = 0."""


def test_instructgpt_takes_the_kl_from_the_reward() -> None:
    # R = r - 0.2·KL = 1 - 0.3, 3, -1 = 0.7, 3, -1
    # A = 0.7 - (3 - 1)/2 = -0.3;  3 - (0.7 - 1)/2 = 3.15;  -1 - (0.7 + 3)/2 = -2.85
    found = credit(REWARDS, OLD, REFERENCE, 0.2, "instructgpt")
    assert [a.tolist() for a in found if a is not None] == [
        pytest.approx([-0.3] * 2), pytest.approx([3.15]), pytest.approx([-2.85] * 3),
    ]  # fmt: skip


def test_rlaif_mixes_reward_and_kl() -> None:
    # R = 0.8·r - 0.2·KL = 0.8 - 0.3, 2.4, -0.8 = 0.5, 2.4, -0.8
    # A = 0.5 - (2.4 - 0.8)/2 = -0.3;  2.4 - (0.5 - 0.8)/2 = 2.55;  -0.8 - (0.5 + 2.4)/2 = -2.25
    found = credit(REWARDS, OLD, REFERENCE, 0.2, "rlaif")
    assert [a.tolist() for a in found if a is not None] == [
        pytest.approx([-0.3] * 2), pytest.approx([2.55]), pytest.approx([-2.25] * 3),
    ]  # fmt: skip


@pytest.mark.parametrize("objective", ["instructgpt", "rlaif"])
def test_a_failed_reward_is_left_out_and_is_nobodys_baseline(objective: str) -> None:
    rewards = [REWARDS[0], reward(None), REWARDS[2]]
    first, failed, last = credit(rewards, OLD, REFERENCE, 0.0, objective)
    assert failed is None
    # β = 0, of the two that are left: 1 - (-1) = 2, -1 - 1 = -2
    assert first is not None
    assert last is not None
    assert (first.tolist(), last.tolist()) == ([2.0] * 2, [-2.0] * 3)


def test_a_single_reward_has_no_baseline_and_teaches_nothing() -> None:
    only, *failed = credit([REWARDS[0], reward(None), reward(None)], OLD, REFERENCE, 0.2, "instructgpt")
    assert only is not None
    assert only.tolist() == [0.0, 0.0]
    assert failed == [None, None]


def test_the_advantage_is_float32_and_of_its_own_memory() -> None:
    found = credit(REWARDS, OLD, REFERENCE, 0.2, "instructgpt")[0]
    assert found is not None
    assert found.dtype == np.float32
    # An expanded tensor would be one number seen twice.
    found[0] = 9.0
    assert found[1] == pytest.approx(-0.3)
    assert found.flags.writeable
