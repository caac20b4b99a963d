import math

import numpy as np
import pytest

from tests.trainers.samples import floats, lists, seen
from trainers.grpo import credit, loss

OLD = [floats(-1.0, -2.0), floats(-0.5), floats(-3.0, -1.0, -1.0)]


def test_the_advantage_is_the_reward_relative_to_its_group() -> None:
    # Mean 1, squares of the differences 0, 4, 4: deviation √(8/3) = 1.63299; A = 0, 2/1.63299 = 1.224745, and minus that
    assert lists(credit([1.0, 3.0, -1.0], OLD)) == [
        pytest.approx([0.0] * 2), pytest.approx([1.224745], rel=1e-5), pytest.approx([-1.224745] * 3, rel=1e-5),
    ]  # fmt: skip


def test_it_does_not_hang_on_the_rewards_scale() -> None:
    for one, other in zip(credit([1.0, 3.0, -1.0], OLD), credit([110.0, 130.0, 90.0], OLD), strict=True):
        assert one is not None
        assert other is not None
        assert one.tolist() == pytest.approx(other.tolist(), abs=1e-5)


def test_a_failed_reward_is_in_neither_mean_nor_deviation() -> None:
    # Of 1 and -1: mean 0, deviation 1
    assert lists(credit([1.0, None, -1.0], OLD)) == [
        pytest.approx([1.0] * 2, abs=1e-5), None, pytest.approx([-1.0] * 3, abs=1e-5),
    ]  # fmt: skip


def test_equal_rewards_and_a_single_one_teach_nothing() -> None:
    assert lists(credit([2.0, 2.0, 2.0], OLD)) == [[0.0] * 2, [0.0], [0.0] * 3]
    assert lists(credit([None, 5.0, None], OLD)) == [None, [0.0], None]


def test_the_advantage_is_float32_and_of_its_own_memory() -> None:
    found = credit([1.0, 3.0, -1.0], OLD)[2]
    assert found is not None
    assert found.dtype == np.float32
    found[0] = 9.0
    assert found[1] == pytest.approx(-1.224745, rel=1e-5)


def test_at_ratio_1_and_without_distance_the_loss_is_the_weighted_advantage() -> None:
    batch = seen()
    # -(1·2 + 0.5·(-1) + 2·3) = -7.5; the KL is 0; less 0.1·3 of entropy
    found = loss(batch, clip=0.2, beta=0.5, estimator="k3", entropy=0.1)
    assert found.item() == pytest.approx(-7.8)
    found.backward()
    assert batch.logprobs.grad is not None
    # At distance 0 the gradient of k3 is 0 too
    assert batch.logprobs.grad.tolist() == pytest.approx([-2.0, 0.5, -6.0])


@pytest.mark.parametrize(
    ("estimator", "kl"),
    [
        # log π/π_ref = 1, -1, 0
        ("k1", 1.0 - 1.0 + 0.0),
        ("k2", 0.5 + 0.5 + 0.0),
        # e^-1 - 1 + 1 = e^-1;  e^1 - 1 - 1 = e - 2;  0
        ("k3", math.exp(-1) + math.e - 2),
    ],
)
def test_the_kl_is_in_the_loss(estimator: str, kl: float) -> None:
    batch = seen(reference=[-2.0, -1.0, -0.5])
    assert loss(batch, clip=0.2, beta=0.5, estimator=estimator, entropy=0.0).item() == pytest.approx(-7.5 + 0.5 * kl)


def test_the_ratio_is_clipped_where_it_would_gain_by_going_further() -> None:
    # Ratios 1.5, 1.5, 0.5 with A = 2, -1, 3 and w = 1, ½, 2, ε = 0.2:
    #   min(3, 2.4) = 2.4;  min(-1.5, -1.2) = -1.5;  min(1.5, 2.4) = 1.5      -(2.4 - 0.75 + 3) = -4.65
    old = np.array([-1.0, -2.0, -0.5])
    batch = seen(logprobs=(old + np.log([1.5, 1.5, 0.5])).astype(np.float32).tolist())
    assert loss(batch, clip=0.2, beta=0.0, estimator="k1", entropy=0.0).item() == pytest.approx(-4.65, rel=1e-5)
