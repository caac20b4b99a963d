"""The ways in which the sets of an agreement study are asked about, and what is refused before anything is started."""

from pathlib import Path
from typing import Any

import pytest

from jobs.askings import asked_sets
from tests.jobs.drive import write_lines
from truing.config.study import Study
from truing.errors import ConfigError

ROW = {"prompt": "Why?", "first": "So.", "second": "Because.", "human": "first"}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(write_lines(tmp_path / "human.jsonl", [ROW]))


def study(sets: list[dict[str, Any]], label: dict[str, Any] | None = None, **agreement: Any) -> Study:
    return Study.model_validate({"name": "x", "label": label or {}, "agreement": {"sets": sets, **agreement}})


def refusal(given: Study) -> str:
    with pytest.raises(ConfigError) as caught:
        asked_sets(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_styles_the_study_s_own_is_asked(path: str) -> None:
    (one,) = asked_sets(study([{"path": path}], {"style": {"preamble": "detailed", "exemplars": 2}}))
    assert list(one.askings) == ["detailed, 2 exemplars, no rationale"]
    (one,) = asked_sets(study([{"path": path}], {"style": {"preamble": "detailed"}}, styles=[{}, {"exemplars": 1}]))
    assert list(one.askings) == ["base, no exemplars, no rationale", "base, 1 exemplars, no rationale"]


def test_sets_times_templates_times_styles(path: str) -> None:
    templates = [{"*": "helpful"}, {"*": "summarize"}]
    found = asked_sets(
        study([{"path": path}, {"path": path, "name": "b"}], templates=templates, styles=[{}, {"exemplars": 1}])
    )
    assert [(one.name, one.survey.pairs, len(one.askings)) for one in found] == [("human", 1, 4), ("b", 1, 4)]


def test_a_study_without_the_section_has_no_sets() -> None:
    assert asked_sets(Study(name="x")) == ()


def test_two_sets_of_one_name_are_refused(path: str, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = str(write_lines(tmp_path / "other" / "human.jsonl", [ROW]))
    assert refusal(study([{"path": path}, {"path": other}])) == (
        f"agreement.sets: {path} and {other} are both called 'human'; give each its own name (name: …)"
    )
    assert len(asked_sets(study([{"path": path}, {"path": other, "name": "theirs"}]))) == 2


@pytest.mark.parametrize(
    ("agreement", "expected"),
    [
        ({"sets": [{"path": "nowhere.jsonl"}]}, "nowhere.jsonl: there is no such file or folder;"),
        ({"templates": [{"*": "helpfull"}]}, "helpfull"),
        ({"criteria": ["charm"]}, "charm"),
        ({"styles": [{"exemplars": 99}]}, "99"),
        ({"styles": [{}, {}]}, "asked twice in the same way"),
    ],
)
def test_what_cannot_be_asked(path: str, agreement: dict[str, Any], expected: str) -> None:
    assert expected in refusal(study(**{"sets": [{"path": path}], **agreement}))


def test_a_file_of_no_known_format(tmp_path: Path) -> None:
    path = str(write_lines(tmp_path / "x.jsonl", [{"text": "A"}]))
    assert "which is none of the known formats" in refusal(study([{"path": path}]))
