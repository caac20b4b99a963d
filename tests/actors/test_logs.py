"""Log lines of an actor: what is in them, and that they come from a process that was configured."""

import json
import os
import subprocess
import sys
from pathlib import Path

from actors.exporting import place

ROOT = Path(__file__).resolve().parents[2]

SAYS = """
import logging
from actors.logs import at_step, configure
configure(); configure()
ours, theirs = logging.getLogger("actors.rollout"), logging.getLogger("transformers.x")
ours.info("loaded %d weights", 3)
at_step(7)
try:
    {}["lost"]
except KeyError:
    ours.error("a weight is missing", exc_info=True)
at_step(None)
ours.debug("never"); theirs.info("never"); theirs.warning("an old model")
"""


def lines(**more: str) -> list[dict[str, object]]:
    environment = os.environ | place("rollout", "demo") | more
    done = subprocess.run([sys.executable, "-c", SAYS], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_each_record_is_one_line_with_run_role_and_step() -> None:
    first, second, third = lines()
    assert {name: first[name] for name in first.keys() - {"time", "pid"}} == {
        "level": "INFO", "run": "demo", "role": "rollout", "logger": "actors.rollout", "message": "loaded 3 weights",
    }  # fmt: skip
    assert (second["step"], second["message"]) == (7, "a weight is missing")
    assert str(second["error"]).endswith("KeyError: 'lost'")
    # Of others' loggers only warnings come, and a step that is over is not in them.
    assert (third["logger"], "step" in third) == ("transformers.x", False)
    assert str(first["time"]).endswith("+00:00")


def test_the_level_of_our_modules_can_be_given() -> None:
    assert [line["message"] for line in lines(TRUING_LOG_LEVEL="error")] == ["a weight is missing", "an old model"]
    assert [line["message"] for line in lines(TRUING_LOG_LEVEL="DEBUG")][2] == "never"
