"""What is said when Ray's memory monitor kills what is needed: a real monitor, for which any use is too much."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.jobs.drive import ROOT

TIGHT = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
"""A worker is killed, ten times a second, as long as more than a thousandth of the memory is in use."""


def starved(what: str, folder: Path) -> Any:
    """What a part of tests/jobs/starved.py has found."""
    found = folder / "found.json"
    command = [sys.executable, "-m", "tests.jobs.starved", what, str(found)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | TIGHT, capture_output=True, text=True, timeout=300, check=False
    )
    assert found.exists(), done.stderr[-3000:]
    return json.loads(found.read_text(encoding="utf-8"))


def test_a_pass_whose_count_is_killed_ends_in_one_line(tmp_path: Path) -> None:
    assert starved("counting", tmp_path) == (
        "doubling: the actor that counts: the process was killed for lack of memory: lower token_budget, batch, max_sequences or"
        " the number of actors, or set memory aside for its role (cluster.memory);"
        " run the same command again to go on from what is stored"
    )


def test_a_group_knows_that_it_has_lost_an_actor(tmp_path: Path) -> None:
    assert starved("group", tmp_path) == [0]
