"""The sections of recorded files: what they hold where nothing is said, and what they refuse."""

from pathlib import Path

import pytest

from truing.config.grid import Grid, StudyPolicies
from truing.config.load import load_study
from truing.config.recorded import RecordedOutputs
from truing.config.study import Study
from truing.errors import ConfigError


def study(folder: Path, recorded: str) -> Study:
    path = folder / "study.yaml"
    path.write_text(f"name: a\nevaluate:\n  grid: null\n  recorded:\n    - {recorded}\n", encoding="utf-8")
    return load_study(path, [])


def refusal(folder: Path, recorded: str) -> str:
    with pytest.raises(ConfigError) as error:
        study(folder, recorded)
    return str(error.value).removeprefix(f"{folder / 'study.yaml'}: ")


def test_an_evaluation_asks_the_study_s_policies_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: a\nevaluate: {}\n", encoding="utf-8")
    settings = load_study(path, []).evaluate
    assert settings is not None
    assert settings.grid == Grid()
    assert isinstance(Grid().policies[0], StudyPolicies)
    assert settings.recorded == ()


def test_a_source_is_read_with_its_defaults(tmp_path: Path) -> None:
    found = study(tmp_path, "{kind: outputs, name: o, path: f.jsonl, where: {m: [a, 1], b: true}, policies: {x: o.x}}")
    assert found.evaluate is not None
    assert found.evaluate.grid is None
    [source] = found.evaluate.recorded
    assert isinstance(source, RecordedOutputs)
    assert source.where == {"m": ("a", 1), "b": True}
    assert (source.shift, source.metrics, source.columns.prompt) == ("id", ("length", "ead", "distinct"), "prompt")
    # What is written beside the results loads again.
    assert Study.model_validate(found.model_dump(mode="json")) == found


@pytest.mark.parametrize(
    ("recorded", "message"),
    [
        ("{name: o, path: f}", "evaluate.recorded.0: has no kind; add kind: comparisons or judges or outputs or preferences or"),
        ("{kind: outputs, name: o, path: f, metrics: [eed]}", "metrics.0: input should be 'length', 'ead'"),
        ("{kind: outputs, name: o, path: f, metrics: [rouge]}", "rouge compares with a reference: name columns.reference"),
        ("{kind: outputs, name: o, path: f, colums: {}}", "colums: there is no such key; did you mean 'columns'?"),
        ("{kind: outputs, name: o, path: f, columns: {promt: id}}", "promt: there is no such key; did you mean 'prompt'?"),
        ("{kind: preferences, name: o, path: f, length_control: {kind: minimal}}", "length_control needs both lengths"),
        ("{kind: preferences, name: o, path: f, length_control: {kind: v1}}", "gamed: is required; add it"),
        ("{kind: ratings, name: o, path: f, ratings: {}}", "at least 1 item"),
        ("{kind: ratings, name: o, path: f, ratings: {b: {kind: all, of: [x, y]}}}", "'x' is no label or probability here"),
        ("{kind: outputs, path: f}", "name: is required; add it"),
        ("{kind: judges, name: o, path: f}\n    - {kind: outputs, name: o, path: f}", "two sources are called 'o'"),
    ],
)  # fmt: skip
def test_what_is_wrong_says_what_to_do(tmp_path: Path, recorded: str, message: str) -> None:
    assert message in refusal(tmp_path, recorded)
