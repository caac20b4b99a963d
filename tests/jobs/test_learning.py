"""RLOO raises a reward that can be checked by eye, and a run that was stopped equals one that was not."""

import math
import statistics

import pytest

from tests.jobs.conftest import Stopped, Trained

pytestmark = pytest.mark.timeout(3600)

FIVE = 5


def test_train_needs_no_preferences_where_nothing_reads_them(learned: Trained):
    assert learned.outcome.last_line == str(learned.folder / "report.html")
    assert not (learned.folder / "preferences").exists()
    assert not (learned.folder / "reward_model").exists()


def test_before_the_first_update_policy_and_start_policy_are_one(learned: Trained):
    first = learned.rows[0]
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert first["ratio"] == pytest.approx(1, abs=1e-3)
    # Float32 on both sides; the engine has the weights in bfloat16, which the start policy's are not.
    assert first["logprob_gap"] < 1e-2


def test_the_reward_goes_up_by_more_than_chance(learned: Trained):
    rewards = [row["reward"] for row in learned.rows]
    early, late = rewards[:FIVE], rewards[-FIVE:]
    # Welch's standard error of the difference of two means of five steps each. The early steps are already rising,
    # which makes it larger than chance alone would: the bound is on the safe side.
    error = math.sqrt(statistics.variance(early) / FIVE + statistics.variance(late) / FIVE)
    gain = statistics.mean(late) - statistics.mean(early)
    assert gain > 5 * error, rewards
    # The first step is what a random model does: about one character in three is a lower-case letter.
    assert gain > 0.2, rewards
    assert statistics.mean(late) > rewards[0] + 0.3, rewards


def test_every_step_is_reported_in_full(learned: Trained):
    assert [row["step"] for row in learned.rows] == list(range(24))
    assert [row["version"] for row in learned.rows] == list(range(24))
    assert len({row["checksum"] for row in learned.rows}) == 24
    assert all(math.isfinite(value) for row in learned.rows for value in row.values() if isinstance(value, float))
    assert [list(row["parts"].values()) for row in learned.rows] == [[row["reward"]] for row in learned.rows]


def test_a_finished_run_keeps_its_model_and_no_checkpoint(learned: Trained):
    assert (learned.folder / "policy" / "model" / "model.safetensors").is_file()
    assert not list((learned.folder / "policy").glob("checkpoint-*"))


def test_a_killed_driver_leaves_no_process(stopped: Stopped):
    assert stopped.killed_at % 8, "the kill was meant for a step without a checkpoint"
    assert stopped.left_by_kill == []


def test_killed_and_gone_on_with_equals_uninterrupted(learned: Trained, stopped: Stopped):
    """Two runs of one seed, and one of them killed at step 10 and interrupted at step 18: the same to the last bit."""
    assert stopped.between == learned.rows[: len(stopped.between)]
    assert stopped.finished.rows == learned.rows


def test_the_models_of_both_runs_are_the_same_file(learned: Trained, stopped: Stopped):
    one, two = ((run.folder / "policy/model/model.safetensors").read_bytes() for run in (learned, stopped.finished))
    assert one == two
