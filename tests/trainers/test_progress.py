import math

import numpy as np
import pytest

from actors.forward import Floats
from actors.policy import UpdateStats
from actors.scoring import Reward
from trainers.progress import batch_figures, check_failures, update_figures
from truing.errors import TruingError
from truing.records import Failed


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


def failed(reason: str) -> Reward:
    return Reward({"judge": Failed(reason), "finished": 0.0}, None, None)


GOOD = Reward({"judge": 0.5, "finished": -1.0}, 2.0, 2.0)


def test_failures_up_to_the_share_are_allowed() -> None:
    check_failures([[GOOD, failed("a")], [GOOD, GOOD]], 0.25)
    check_failures([[GOOD]], 0.0)


def test_more_failures_end_the_run_with_the_three_commonest_reasons() -> None:
    reasons = ["long"] * 3 + ["odd"] * 2 + ["torn"] * 2 + ["rare"]
    rewards = [[GOOD, GOOD], [failed(reason) for reason in reasons]]
    with pytest.raises(TruingError) as caught:
        check_failures(rewards, 0.5)
    assert str(caught.value) == (
        "policy: 8 of 10 rewards failed, policy.max_failed is 0.5: long (3); odd (2); torn (2)"
    )


def test_figures_of_a_batch_by_hand() -> None:
    rewards = [
        # Trained on is something else, where a part is whitened.
        [Reward({"judge": 0.5, "finished": -1.0}, 1.0, -7.0), failed("long")],
        [Reward({"judge": 1.5, "finished": -1.0}, 2.5, 7.0)],
    ]
    old = [[floats(-1, -2), floats(-1)], [floats(-1, -1, -1)]]
    reference = [[floats(-2, -2), floats(-0.5)], [floats(-1, -2, -3)]]
    # Reward (1 + 2.5)/2; parts where they have a score, with a reward or without: (0.5 + 1.5)/2, (-1 + 0 - 1)/3;
    # KL of the three responses 1, -0.5, 3: 3.5/3; lengths 2, 1, 3
    assert batch_figures(rewards, old, reference) == {
        "reward": 1.75, "parts": {"finished": pytest.approx(-2 / 3), "judge": 1.0}, "kl": pytest.approx(3.5 / 3),
        "length": 2.0, "tokens": 6, "failed": 1,
    }  # fmt: skip


def test_a_batch_in_which_all_failed_has_no_mean_reward() -> None:
    found = batch_figures([[failed("long")]], [[floats(-1)]], [[floats(-1)]])
    assert math.isnan(found["reward"])
    # Of what was scored there are means; the judge said nothing.
    assert (found["parts"], found["failed"], found["kl"]) == ({"finished": 0.0}, 1, 0.0)


def test_figures_of_updates_are_means_over_them() -> None:
    stats = [
        UpdateStats(loss, 4.0 * loss, 2.0, ratio, 0.5, 0.1, 0.9, 0.0)
        for loss, ratio in ((1.0, 1.0), (2.0, 1.25), (6.0, 1.5))
    ]
    # Loss (1 + 2 + 6)/3, norm four times that; ratio (1 + 1.25 + 1.5)/3, and 1 before the first update.
    assert update_figures(stats) == {
        "loss": 3.0, "grad_norm": 12.0, "entropy": 2.0, "ratio": 1.25, "logprob_gap": 0.5,
        "mismatch_kl": pytest.approx(0.1), "importance": pytest.approx(0.9), "importance_capped": 0.0, "first_ratio": 1.0,
    }  # fmt: skip
