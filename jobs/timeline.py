"""A Chrome trace of a run's steps, for Perfetto or chrome://tracing: phases as the driver timed them, and what actors did.

Rows of metrics.jsonl have the seconds of each phase. Where they have the beginnings too (`timings.spans`: name, Unix time,
seconds) phases stand where they were; rows without are drawn one phase after the other, and each span says so.
"""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.store import read_json, write_json, write_text
from trainers.metrics import read_metrics
from truing.errors import ConfigError

KEEP = "TRUING_TIMELINE"
"""Environment variable: where it is set, a training stage keeps what its actors were called for and when."""
ACTORS = "actors.json"
"""File of a stage's folder that holds it."""
COUNTERS = ("reward", "kl", "logprob_gap", "loss")
"""Columns that are drawn as curves above the spans."""

Event = dict[str, Any]


def write_timeline(run: Path, file: Path, step: int | None = None) -> int:
    """Write the trace of all training stages in a run's folder, or of one step of each; returns the number of spans.

    Raises:
        ConfigError: no stage has done such a step.
    """
    events: list[Event] = []
    for number, path in enumerate(sorted(run.rglob("metrics.jsonl")), start=1):
        rows = [row for row in read_metrics(path) if step is None or row["step"] == step]
        if rows:
            name = str(path.parent.relative_to(run))
            events += stage_events(number, name, rows, read_json(path.parent / ACTORS) or ())
    if not events:
        which = "a step" if step is None else f"step {step}"
        raise ConfigError(f"{run}: no training stage has done {which}; `truing status` says how far each has come")
    write_text(file, json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
    return sum(event["ph"] == "X" for event in events)


def stage_events(
    number: int, name: str, rows: Sequence[Mapping[str, Any]], actors: Iterable[Mapping[str, Any]] = ()
) -> list[Event]:
    """Events of one stage, which is the trace's process `number`. `actors`: spans of `actor_spans`."""
    spans = [(row["step"], *span) for row, some in zip(rows, _spans(rows), strict=True) for span in some]
    first, last = min(begun for _, _, begun, _, _ in spans), max(begun + took for _, _, begun, took, _ in spans)
    threads = {"steps": 1, "phases": 2}
    events: list[Event] = []
    for step, what, begun, took, how in spans:
        thread = threads["steps" if what == "step" else "phases"]
        shown = f"step {step}" if what == "step" else what
        events.append(_span(number, thread, shown, begun, took, {"step": step} | how))
    ends = [begun + took for _, what, begun, took, _ in spans if what == "step"]
    for row, end in zip(rows, ends, strict=True):
        events += [
            {"ph": "C", "name": column, "pid": number, "ts": _micro(end), "args": {column: row[column]}}
            for column in COUNTERS
            if column in row
        ]
    for one in actors:
        if one["begun"] + one["seconds"] >= first and one["begun"] <= last:
            thread = threads.setdefault(str(one["process"]), len(threads) + 1)
            events.append(_span(number, thread, str(one["name"]), one["begun"], one["seconds"], {}))
    named = [_named("process_name", number, 0, name)]
    return [*named, *(_named("thread_name", number, thread, track) for track, thread in threads.items()), *events]


def _spans(rows: Sequence[Mapping[str, Any]]) -> list[list[tuple[str, float, float, dict[str, str]]]]:
    """(name, beginning in s, seconds, remark) of each row's step and phases; steps without a beginning follow one another."""
    found: list[list[tuple[str, float, float, dict[str, str]]]] = []
    clock = _start(rows)
    for row in rows:
        timings = row["timings"]
        if "spans" in timings:
            found.append([(what, begun, took, {}) for what, begun, took in timings["spans"]])
            clock = max(begun + took for _, begun, took in timings["spans"])
            continue
        remark = {"begins": "not stored; drawn after what came before"}
        some = [("step", clock, timings["step"], remark)]
        within = clock
        for what, took in timings.items():
            if what != "step":
                some.append((what, within, took, remark))
                within += took
        found.append(some)
        clock += timings["step"]
    return found


def _start(rows: Sequence[Mapping[str, Any]]) -> float:
    """Where the first step begins: rows before the first whose time is stored are put right in front of it."""
    for number, row in enumerate(rows):
        if "spans" in row["timings"]:
            begun = min(begun for _, begun, _ in row["timings"]["spans"])
            return begun - sum(before["timings"]["step"] for before in rows[:number])
    return 0.0


def _span(process: int, thread: int, name: str, begun: float, took: float, more: Mapping[str, Any]) -> Event:
    return {
        "ph": "X", "name": name, "pid": process, "tid": thread, "ts": _micro(begun), "dur": _micro(took), "args": dict(more),
    }  # fmt: skip


def _named(kind: str, process: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _micro(seconds: float) -> int:
    return round(seconds * 1e6)


def actor_spans(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What `ray.timeline()` says of whole calls: name, process, beginning (Unix time) and seconds, in order of time."""
    calls = [one for one in events if str(one["cat"]).startswith("task::")]
    found = [
        {
            "name": str(one["cat"]).removeprefix("task::"),
            "process": f"{one['pid']} {str(one['tid']).removeprefix('worker:')[:8]}",
            "begun": one["ts"] / 1e6,
            "seconds": one["dur"] / 1e6,
        }
        for one in calls
    ]
    return sorted(found, key=lambda one: one["begun"])


def keep_actor_spans(folder: Path) -> None:
    """Store what Ray remembers of its actors' calls, where TRUING_TIMELINE is set and there is a Ray.

    Ray keeps the last 100,000 tasks of a cluster, and all of them are read: that is why it has to be asked for.
    """
    if KEEP not in os.environ or "ray" not in sys.modules:
        return
    import ray

    if ray.is_initialized():
        write_json(folder / ACTORS, actor_spans(ray.timeline() or ()))
