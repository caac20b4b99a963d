"""Who the labelers of a configuration are: what identifies them, and what they are called."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from jobs.labelers import members, online
from tests.jobs.drive import write_lines
from truing.config.labeling import Labeler
from truing.errors import ConfigError

SERVED = {"kind": "endpoint", "model": "judge"}
HERE, THERE = {**SERVED, "url": "http://127.0.0.1:1/v1"}, {**SERVED, "url": "http://127.0.0.1:2/v1"}


def named(*given: dict[str, str]) -> list[str]:
    return [one.name for one in members(TypeAdapter(Labeler).validate_python({"kind": "ensemble", "members": given}))]


def test_members_of_one_name_are_told_apart(tmp_path: Path) -> None:
    assert named(HERE, {**HERE, "model": "other"}, THERE) == ["judge (1)", "other", "judge (3)"]
    files = [str(write_lines(tmp_path / f"{i}.jsonl", [{"n": i}])) for i in (1, 2)]
    assert named(*({"kind": "recorded", "path": path, "verdict": "v"} for path in files)) == ["v (1)", "v (2)"]


def test_a_cascade_of_two_of_one_name() -> None:
    cascade = TypeAdapter(Labeler).validate_python({"kind": "cascade", "first": HERE, "second": THERE})
    assert [one.name for one in members(cascade)] == ["judge (1)", "judge (2)"]


def test_the_same_labeler_twice_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        named(HERE, THERE, HERE)
    assert str(caught.value) == (
        "labeler: the ensemble has judge twice, and both would give the same answers; leave one out"
    )


def test_a_file_of_verdicts_that_is_not_there(tmp_path: Path) -> None:
    path = str(tmp_path / "verdicts.jsonl")
    with pytest.raises(ConfigError) as caught:
        members(TypeAdapter(Labeler).validate_python({"kind": "recorded", "path": path, "verdict": "v"}))
    assert str(caught.value) == f"{path}: cannot be read (No such file or directory); give a readable file"


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("ensemble", {"members": [HERE, THERE]}),
        ("cascade", {"first": HERE, "second": THERE}),
        ("recorded", {"path": "verdicts.jsonl", "verdict": "v"}),
    ],
)
def test_what_cannot_be_asked_while_something_waits(kind: str, more: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        online(TypeAdapter(Labeler).validate_python({"kind": kind, **more}), "policy.rewards: ai_score")
    assert str(caught.value) == (
        f"policy.rewards: ai_score: needs one engine or endpoint, and the labeler is {kind}; name one there"
    )
