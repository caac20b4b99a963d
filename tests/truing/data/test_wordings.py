from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.data.wordings import fields_of, fill, options, read_yaml
from truing.errors import ConfigError

ROW: dict[str, Any] = {"q": "Why?", "n": 3, "ok": False, "none": None, "a": {"texts": ["x", "y"]}, "a.b": "dotted"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{q} {n} {ok} [{none}]", "Why? 3 false []"),
        ("{a.texts.1}/{a.b}", "y/dotted"),
        ('{{q}} {"key": 1} { q }', '{q} {"key": 1} { q }'),
        ("  {q}\n\n{none}", "Why?"),
    ],
)
def test_fields_are_filled_in(template: str, text: str) -> None:
    assert fill(template, ROW, "here") == text


@given(st.text(), st.text())
def test_what_a_value_holds_is_not_filled_in_again(one: str, other: str) -> None:
    fields = {"a": f"<{one}{{b}}>", "b": f"<{other}{{a}}>"}
    assert fill("{a}|{b}", fields, "here") == f"{fields['a']}|{fields['b']}"


def test_fields_of_a_template() -> None:
    assert fields_of("{a} {{no}} {b.0} {a}") == ["a", "b.0", "a"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{answer}", "here: has no 'answer' (it has q, n, ok, none, a, a.b); name a column that is there"),
        ("{a.texts.2}", "here: has no 'a.texts.2'"),
        ("{a}", "here: 'a' holds neither text nor a number; name an item of it, as {a.0}"),
    ],
)
def test_refused_fields(template: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        fill(template, ROW, "here")
    assert str(error.value).startswith(message)


def test_options_suffix() -> None:
    # FLAN, figure 1 and §2.3
    assert options(["yes", "it is not possible to tell", "no"]) == "OPTIONS:\n- yes\n- it is not possible to tell\n- no"


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "holds no keys; give a YAML file of rhymes"), ("a: [", "is not YAML"), (None, "cannot be read")],
)
def test_refused_files(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "prompts.yaml"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as error:
        read_yaml(str(path), "rhymes")
    assert str(error.value).startswith(str(path))
