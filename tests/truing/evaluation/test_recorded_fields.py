import json
from pathlib import Path

import pytest

from truing.errors import ConfigError
from truing.evaluation.recorded_fields import RecordedRow, label_at_start, recorded_rows
from truing.records import content_id

ROW = RecordedRow(
    "f.jsonl, row 1",
    {
        "id": 7, "empty": "", "none": None, "text": "hi", "number": "2.5", "long": "x" * 65, "flag": True,
        "outputs": {"alpaca-7b": "a", "v1": {"5": {"b": "no"}}, "v1.5": {"b": "c"}, "gone": None},
        "expert": [{"c": 1}, {"c": 4}, {}], "a.b": "dotted", "list": ["x", None, "y"], "mixed": ["x", 3],
    },
)  # fmt: skip


def test_paths_lead_into_nested_rows_and_lists() -> None:
    assert ROW.value("outputs.alpaca-7b") == "a"
    assert ROW.value("outputs.v1.5.b") == "c"  # the longest name that is there goes first
    assert ROW.value("a.b") == "dotted"
    assert ROW.value("expert.c") == [1, 4, None]
    assert ROW.value("outputs.unknown") is None
    assert ROW.value("text.deeper") is None
    assert ROW.numbers("expert.c") == [1, 4, None]
    assert ROW.texts("list") == ["x", "y"]


def test_names_are_short() -> None:
    assert ROW.key("id") == "7"
    assert ROW.key("long") == content_id("x" * 65)
    assert ROW.joined(("id", "empty", "none")) == "7 /  / "
    assert (ROW.number("number"), ROW.number("none"), ROW.text("none")) == (2.5, None, None)


def refusal(of: object) -> str:
    with pytest.raises(ConfigError) as error:
        of()  # type: ignore[operator]
    message = str(error.value)
    assert message.startswith("f.jsonl, row 1: ")
    assert "\n" not in message
    return message.removeprefix("f.jsonl, row 1: ")


def test_refusals_name_row_column_and_remedy() -> None:
    assert refusal(lambda: ROW.value("modle")).startswith("has no column 'modle'; name one of its columns: id, empty")
    rest = "; give text or a number there, name another column, or remove the row"
    assert refusal(lambda: ROW.key("empty")) == f"'empty' is '', not a name{rest}"
    assert refusal(lambda: ROW.key("expert")).startswith("'expert' is [{'c': 1}, {'c': 4}, {}], not a name")
    assert refusal(lambda: ROW.joined(("empty", "none"))).startswith("'empty' is empty, and so are the columns with it")
    assert refusal(lambda: ROW.number("text")).startswith("'text' is 'hi', not a finite number; give a number or null")
    assert refusal(lambda: ROW.numbers("flag")).startswith("'flag' is True, not a finite number")
    assert refusal(lambda: ROW.text("id")).startswith("'id' is 7, not text; give text or null there")
    assert refusal(lambda: ROW.texts("mixed")).startswith("'mixed' holds 3, not text")


def test_rows_are_chosen_by_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    rows = [{"judge": "a", "n": 1}, {"judge": "b", "n": 2}, {"judge": "c", "n": 2}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [row.where for row in recorded_rows(str(path), {})] == [f"{path}, row {i}" for i in (1, 2, 3)]
    chosen = recorded_rows(str(path), {"judge": ("a", "b"), "n": 2})
    assert [row.row["judge"] for row in chosen] == ["b"]
    with pytest.raises(ConfigError, match=r"no row has judge = d or e; there judge is 'a', 'b', 'c'"):
        list(recorded_rows(str(path), {"judge": ("d", "e")}))
    with pytest.raises(ConfigError, match=r"row 1: has no column 'style'"):
        list(recorded_rows(str(path), {"style": "x"}))


@pytest.mark.parametrize(
    ("reply", "label"),
    [("A", "A"), (" B: Summary 2 is better", "B"), ("Apple", None), ("A_x", None), ("", None), ("AB", "AB"), ("C\n", None)],
)  # fmt: skip
def test_a_label_begins_a_reply(reply: str, label: str | None) -> None:
    assert label_at_start(reply, ("A", "B", "AB")) == label
