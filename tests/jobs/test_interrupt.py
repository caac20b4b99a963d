"""Ctrl-C in the middle of RL: one line, nothing left running, nothing lost."""

import pytest

from tests.jobs.conftest import Stopped

pytestmark = pytest.mark.timeout(3600)


def test_it_stops_within_ten_seconds(stopped: Stopped):
    """The one deadline that is tested: it is what the user was promised."""
    assert stopped.children > 3, "Ray, engine and learner were to be running"
    assert stopped.seconds_to_stop < 10


def test_it_says_so_in_one_line(stopped: Stopped):
    assert stopped.interrupted.code == 130, stopped.interrupted.tail()
    lines = stopped.interrupted.err.splitlines()
    assert lines == ["truing: stopped; run the same command again to go on from what is stored"], (
        stopped.interrupted.tail()
    )


def test_no_process_is_left(stopped: Stopped):
    assert stopped.left_by_interrupt == []


def test_the_next_run_goes_on_from_the_checkpoint(stopped: Stopped):
    assert 16 < stopped.interrupted_at < 24
    assert "going on from the last checkpoint" in stopped.finished.outcome.out
    # Its table shows every step; its first progress line is beyond the checkpoint after step 16.
    assert [row["step"] for row in stopped.finished.rows] == list(range(24))
