"""PPO with a critic: the policy starts where the start policy is, and the critic learns to foresee the reward."""

import math
import statistics

import pytest

from tests.jobs.conftest import Trained
from tests.jobs.drive import ROOT, truing

pytestmark = pytest.mark.timeout(3600)

PPO = str(ROOT / "configs" / "smoke" / "ppo.yaml")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, small: list[str]) -> Trained:
    """configs/smoke/ppo.yaml on the tiny model."""
    folder = tmp_path_factory.mktemp("ppo")
    return Trained(truing(folder, "train", PPO, f"storage={folder}", *small).expect(0), folder / "smoke-ppo")


def test_before_the_first_update_policy_and_start_policy_are_one(trained: Trained):
    first = trained.rows[0]
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert first["first_ratio"] == pytest.approx(1, abs=1e-3)
    # On the mean over both minibatches: the second one meets weights that the first has changed.
    assert first["ratio"] != first["first_ratio"]
    assert first["logprob_gap"] <= 1e-3


def test_every_figure_is_finite(trained: Trained):
    assert [row["step"] for row in trained.rows] == list(range(8))
    for row in trained.rows:
        assert "value_loss" in row
        assert all(math.isfinite(value) for value in row.values() if isinstance(value, float)), row


def test_the_critic_learns(trained: Trained):
    losses = [row["value_loss"] for row in trained.rows]
    # Its head starts at zero: the first loss is half the mean squared return, the later ones what is left unforeseen.
    assert losses[0] > 0.02
    assert statistics.mean(losses[-3:]) < losses[0] / 2, losses


def test_the_policy_moves(trained: Trained):
    assert len({row["checksum"] for row in trained.rows}) == 8
    assert trained.rows[-1]["kl"] > 0.01
    assert trained.rows[-1]["reward"] > trained.rows[0]["reward"]


def test_it_ends_as_every_run_does(trained: Trained):
    assert trained.outcome.err == ""
    assert trained.outcome.last_line == str(trained.folder / "report.html")
    assert (trained.folder / "policy" / "model" / "model.safetensors").is_file()
    assert not list((trained.folder / "policy").glob("checkpoint-*"))
