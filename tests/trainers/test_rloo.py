import numpy as np
import pytest
import torch

from tests.trainers.samples import floats, lists, seen
from trainers.rloo import credit, loss
from truing.config.kl import Kl

OLD = [floats(-1.0, -2.0), floats(-0.5), floats(-3.0, -1.0, -1.0)]
REFERENCE = [floats(-1.5, -3.0), floats(-0.5), floats(-2.0, -1.0, -2.0)]
"""log π/π_ref by token: (0.5, 1), (0), (-1, 0, 1); summed 1.5, 0, 0."""


def test_instructgpt_takes_the_kl_from_the_reward() -> None:
    # R = r - 0.2·KL = 1 - 0.3, 3, -1 = 0.7, 3, -1
    # A = 0.7 - (3 - 1)/2 = -0.3;  3 - (0.7 - 1)/2 = 3.15;  -1 - (0.7 + 3)/2 = -2.85
    assert lists(credit([1.0, 3.0, -1.0], OLD, REFERENCE, 0.2, Kl())) == [
        pytest.approx([-0.3] * 2), pytest.approx([3.15]), pytest.approx([-2.85] * 3),
    ]  # fmt: skip


def test_rlaif_mixes_reward_and_kl() -> None:
    # R = 0.8·r - 0.2·KL = 0.8 - 0.3, 2.4, -0.8 = 0.5, 2.4, -0.8
    # A = 0.5 - (2.4 - 0.8)/2 = -0.3;  2.4 - (0.5 - 0.8)/2 = 2.55;  -0.8 - (0.5 + 2.4)/2 = -2.25
    assert lists(credit([1.0, 3.0, -1.0], OLD, REFERENCE, 0.2, Kl(objective="rlaif"))) == [
        pytest.approx([-0.3] * 2), pytest.approx([2.55]), pytest.approx([-2.25] * 3),
    ]  # fmt: skip


def test_k2_is_summed_over_the_tokens() -> None:
    # ½·(0.5² + 1²) = 0.625; 0; ½·(1 + 0 + 1) = 1.    R = 1 - 0.2·0.625, 3, -1 - 0.2 = 0.875, 3, -1.2
    # A = 0.875 - (3 - 1.2)/2 = -0.025;  3 - (0.875 - 1.2)/2 = 3.1625;  -1.2 - (0.875 + 3)/2 = -3.1375
    assert lists(credit([1.0, 3.0, -1.0], OLD, REFERENCE, 0.2, Kl(estimator="k2"))) == [
        pytest.approx([-0.025] * 2), pytest.approx([3.1625]), pytest.approx([-3.1375] * 3),
    ]  # fmt: skip


@pytest.mark.parametrize("objective", ["instructgpt", "rlaif"])
def test_a_failed_reward_is_left_out_and_is_nobodys_baseline(objective: str) -> None:
    found = credit([1.0, None, -1.0], OLD, REFERENCE, 0.0, Kl.model_validate({"objective": objective}))
    # β = 0, of the two that are left: 1 - (-1) = 2, -1 - 1 = -2
    assert lists(found) == [[2.0] * 2, None, [-2.0] * 3]


def test_what_is_not_a_number_in_a_failed_completion_does_not_leak() -> None:
    broken = [OLD[0], floats(float("nan")), OLD[2]]
    assert lists(credit([1.0, None, -1.0], broken, REFERENCE, 0.0, Kl())) == [[2.0] * 2, None, [-2.0] * 3]
    # The KLs of those two are 1.5 and 0: R = 0.7 and -1.
    found = lists(credit([1.0, None, -1.0], broken, REFERENCE, 0.2, Kl()))
    assert found == [pytest.approx([1.7] * 2), None, pytest.approx([-1.7] * 3)]


def test_a_single_reward_has_no_baseline_and_teaches_nothing() -> None:
    assert lists(credit([1.0, None, None], OLD, REFERENCE, 0.2, Kl())) == [[0.0, 0.0], None, None]


def test_the_advantage_is_float32_and_of_its_own_memory() -> None:
    found = credit([1.0, 3.0, -1.0], OLD, REFERENCE, 0.2, Kl())[0]
    assert found is not None
    assert found.dtype == np.float32
    # An expanded tensor would be one number seen twice.
    found[0] = 9.0
    assert found[1] == pytest.approx(-0.3)
    assert found.flags.writeable


def test_at_ratio_1_the_loss_is_the_weighted_advantage_and_its_gradient_reinforces() -> None:
    batch = seen()
    # -(1·2 + 0.5·(-1) + 2·3) = -7.5;  less 0.1·(0.5 + 1 + 1.5) = 0.3
    found = loss(batch, entropy=0.1)
    assert found.item() == pytest.approx(-7.8)
    found.backward()
    # -w·A·∇log π, and -0.1 for the entropy of each token
    assert batch.logprobs.grad is not None
    assert batch.entropy.grad is not None
    assert batch.logprobs.grad.tolist() == pytest.approx([-2.0, 0.5, -6.0])
    assert batch.entropy.grad.tolist() == pytest.approx([-0.1] * 3)


def test_away_from_ratio_1_it_is_not_clipped() -> None:
    # Ratio e^1: the first token's part is -e·2
    batch = seen(logprobs=[0.0, -2.0, -0.5])
    assert loss(batch, entropy=0.0).item() == pytest.approx(-2 * float(torch.e) + 0.5 - 6, rel=1e-6)
