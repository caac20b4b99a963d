"""A trace of steps: phases where they were, curves, tracks of actors; and what a real Ray says of its actors' calls."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.timeline import ACTORS, KEEP, actor_spans, keep_actor_spans, stage_events, write_timeline
from tests.jobs.drive import write_lines
from tests.local_ray import local_ray
from truing.errors import ConfigError

WITH = [
    {"step": 0, "reward": 0.5, "kl": 0.0,
     "timings": {"push": 1.0, "sample": 2.5, "step": 5.0,
                 "spans": [["push", 1000.0, 1.0], ["sample", 1001.0, 2.0], ["sample", 1004.5, 0.5], ["step", 1000.0, 5.0]]}},
    {"step": 1, "reward": 0.75, "kl": 0.1,
     "timings": {"push": 1.0, "step": 2.0, "spans": [["push", 1010.0, 1.0], ["step", 1010.0, 2.0]]}},
]  # fmt: skip
WITHOUT = [{"step": step, "loss": 0.5, "timings": {"update": 1.0, "look": 0.5, "step": 2.0}} for step in (3, 4)]


def spans(events: list[dict[str, Any]]) -> list[tuple[str, int, int, float, float]]:
    """Name, process, track, beginning and length in seconds."""
    return [(e["name"], e["pid"], e["tid"], e["ts"] / 1e6, e["dur"] / 1e6) for e in events if e["ph"] == "X"]


def tracks(events: list[dict[str, Any]]) -> dict[int, str]:
    return {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}


def test_phases_stand_where_they_were() -> None:
    events = stage_events(1, "policy", WITH)
    assert spans(events) == [
        ("push", 1, 2, 1000.0, 1.0),
        ("sample", 1, 2, 1001.0, 2.0),
        ("sample", 1, 2, 1004.5, 0.5),
        ("step 0", 1, 1, 1000.0, 5.0),
        ("push", 1, 2, 1010.0, 1.0),
        ("step 1", 1, 1, 1010.0, 2.0),
    ]
    assert tracks(events) == {1: "steps", 2: "phases"}
    # A curve's point is at the end of its step.
    curves = [(e["name"], e["ts"] / 1e6, e["args"]) for e in events if e["ph"] == "C"]
    assert curves == [
        ("reward", 1005.0, {"reward": 0.5}), ("kl", 1005.0, {"kl": 0.0}),
        ("reward", 1012.0, {"reward": 0.75}), ("kl", 1012.0, {"kl": 0.1}),
    ]  # fmt: skip


def test_without_beginnings_phases_follow_one_another_and_say_so() -> None:
    events = stage_events(1, "dpo", WITHOUT)
    # Two steps of 2 s, from 0 on; in each the update of 1 s and then the look.
    assert spans(events) == [
        ("step 3", 1, 1, 0.0, 2.0), ("update", 1, 2, 0.0, 1.0), ("look", 1, 2, 1.0, 0.5),
        ("step 4", 1, 1, 2.0, 2.0), ("update", 1, 2, 2.0, 1.0), ("look", 1, 2, 3.0, 0.5),
    ]  # fmt: skip
    assert {e["args"].get("begins") for e in events if e["ph"] == "X"} == {"not stored; drawn after what came before"}


def test_steps_without_a_beginning_stand_right_before_those_with_one() -> None:
    events = stage_events(1, "policy", [*WITHOUT, *WITH])
    steps = [(name, begun) for name, _, track, begun, _ in spans(events) if track == 1]
    # Two steps of 2 s before 1000.
    assert steps == [("step 3", 996.0), ("step 4", 998.0), ("step 0", 1000.0), ("step 1", 1010.0)]


def test_actors_have_tracks_of_their_own_and_only_what_fell_into_the_steps() -> None:
    actors = [
        {"name": "rollout: write", "process": "10.0.0.2 ab", "begun": 1001.0, "seconds": 2.0},
        {"name": "policy: update", "process": "10.0.0.3 cd", "begun": 1003.0, "seconds": 1.0},
        {"name": "policy: export", "process": "10.0.0.3 cd", "begun": 1013.0, "seconds": 1.0},
    ]
    events = stage_events(4, "policy", WITH, actors)
    assert tracks(events) == {1: "steps", 2: "phases", 3: "10.0.0.2 ab", 4: "10.0.0.3 cd"}
    found = [one for one in spans(events) if one[2] > 2]
    assert found == [("rollout: write", 4, 3, 1001.0, 2.0), ("policy: update", 4, 4, 1003.0, 1.0)]


def test_every_stage_of_a_run_is_a_process_of_the_trace(tmp_path: Path) -> None:
    for stage, rows in (("reward_model", WITHOUT), ("policy", WITH)):
        (tmp_path / stage).mkdir()
        write_lines(tmp_path / stage / "metrics.jsonl", rows)
    assert write_timeline(tmp_path, tmp_path / "all.json") == 12
    events = json.loads((tmp_path / "all.json").read_text())["traceEvents"]
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == ["policy", "reward_model"]
    # Step 4 is the reward model's alone: a step and two phases.
    assert write_timeline(tmp_path, tmp_path / "one.json", step=4) == 3
    with pytest.raises(ConfigError, match=r"no training stage has done step 9; `truing status` says how far"):
        write_timeline(tmp_path, tmp_path / "none.json", step=9)
    assert not (tmp_path / "none.json").exists()


# --- a real Ray -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with local_ray(2):
        yield


class Napper:
    """An actor that takes its time."""

    def nap(self, seconds: float) -> float:
        """Sleep; the Unix time at which that began."""
        begun = time.time()
        time.sleep(seconds)
        return begun


def test_ray_remembers_when_an_actor_was_called(cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    napper: Any = ray.remote(Napper).options(num_cpus=0).remote()
    begun = ray.get(napper.nap.options(name="rollout: write").remote(0.4))
    monkeypatch.delenv(KEEP, raising=False)
    keep_actor_spans(tmp_path)
    assert not (tmp_path / ACTORS).exists()  # not asked for
    monkeypatch.setenv(KEEP, "1")
    end, found = time.monotonic() + 60, []
    while time.monotonic() < end and not found:  # events reach Ray's head about once a second
        time.sleep(0.5)
        found = [one for one in actor_spans(ray.timeline()) if one["name"] == "rollout: write"]
    keep_actor_spans(tmp_path)
    (one,) = [one for one in json.loads((tmp_path / ACTORS).read_text()) if one["name"] == "rollout: write"]
    assert one["begun"] <= begun
    assert one["begun"] + one["seconds"] >= begun + 0.4
    assert one["process"].startswith(ray.nodes()[0]["NodeManagerAddress"])
