import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.evaluation.static_checks import (
    REASON,
    Check,
    Json,
    check_share,
    json_checks,
    json_shares,
    length_check,
    lengths,
    pattern_check,
    schema_check,
    strict_json,
)
from truing.records import Failed

AGE = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def reason_of(read: Json | Check) -> str:
    assert isinstance(read, Check)
    assert not read.passed
    return read.reason


@given(json_values)
def test_what_python_writes_is_read_back(value: Any) -> None:
    read = strict_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert isinstance(read, Json)
    assert read.value == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ('{"a": NaN}', "NaN is no JSON value"),
        ("[Infinity]", "Infinity is no JSON value"),
        ("-Infinity", "-Infinity is no JSON value"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "duplicate key 'c'"),
        ("\ufeff{}", "Unexpected UTF-8 BOM"),
        ('{"a": 1} as asked', "Extra data"),
        ("{'a': 1}", "Expecting property name"),
        ("[1,]", ""),  # worded differently by Python versions
        ('"a\nb"', "Invalid control character"),
        ("nan", "Expecting value"),
        ("[" * 100_000, "nested too deeply"),
        ("مرحبا", "Expecting value"),
    ],
)
def test_what_the_standard_refuses(text: str, reason: str) -> None:
    assert reason in reason_of(strict_json(text))


def test_a_hundred_thousand_characters_are_json_too() -> None:
    assert strict_json('"' + "é" * 100_000 + '"') == Json("é" * 100_000)
    assert strict_json("1" * 100_000) == Json(math.inf)  # an integer of more digits than Python reads
    assert strict_json("1" * 4300) == Json(int("1" * 4300))


def test_raw_fenced_and_schema_are_three_answers() -> None:
    def passed(text: str) -> tuple[bool, bool, bool | None]:
        found = json_checks(text, AGE)
        return found.raw.passed, found.fenced.passed, found.schema and found.schema.passed

    assert passed('{"age": 7}') == (True, False, True)
    assert passed('{"age": "7"}') == (True, False, False)
    assert passed('Here it is:\n```json\n{"age": 7}\n```\nAnything else?') == (False, True, True)
    assert passed('```\n{"age": 7.5}\n```') == (False, True, False)
    assert passed('```json\n{"age": 7}') == (False, False, False)  # never closed
    assert passed('```python\n{"age": 7}\n```') == (False, False, False)
    assert passed("") == (False, False, False)
    assert json_checks("{}").schema is None
    assert json_checks("null", {"type": "null"}).schema == Check(passed=True)


def test_a_failed_schema_says_where_and_why() -> None:
    found = schema_check({"age": "old"}, AGE)
    assert found.reason == "$.age: 'old' is not of type 'integer'"
    assert "no JSON to compare: Extra data" in (json_checks("{} {}", AGE).schema or Check(passed=True)).reason
    assert len(schema_check("x" * 100_000, {"type": "integer"}).reason) == REASON


def test_a_schema_that_is_none_is_the_users_fault() -> None:
    with pytest.raises(ValueError, match="the JSON schema is not one: 'number-ish' is not valid"):
        schema_check(1, {"type": "number-ish"})
    with pytest.raises(ValueError, match="which is not in it: write it out there"):
        schema_check(1, {"$ref": "https://example.org/other.json"})
    assert "nested too deeply" in schema_check(1, {"$ref": "#"}).reason
    assert schema_check(1, schema=True).passed
    assert not schema_check(1, schema=False).passed


def test_a_schema_elsewhere_is_not_fetched_not_even_from_the_disk(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "integer"}', encoding="utf-8")
    with pytest.raises(ValueError, match="which is not in it: write it out there"):
        schema_check(1, {"$ref": other.as_uri()})


def test_patterns_match_somewhere_or_the_whole() -> None:
    assert pattern_check("call 555-1234 now", r"\d{3}-\d{4}").passed
    assert pattern_check("call 555-1234 now", r"\d{3}-\d{4}", whole=True) == Check(
        passed=False, reason=r"no match of '\\d{3}-\\d{4}'"
    )
    assert pattern_check("스팸", r"\w+", whole=True).passed
    assert not pattern_check("", ".").passed
    with pytest.raises(ValueError, match="is no regular expression"):
        pattern_check("a", "(")


def test_lengths_have_a_unit() -> None:
    found = lengths("two words, naïve", count_tokens=lambda text: len(text.encode()))
    assert (found.words, found.characters, found.tokens) == (3, 16, 17)
    assert lengths("").words == 0
    assert lengths("猫が好きです").words == 1
    assert lengths("word " * 20_000).characters == 100_000
    assert length_check(found, "words", least=3, most=3).passed
    assert length_check(found, "tokens", most=16).reason == "more than 16 tokens"
    assert length_check(found, "characters", least=17).reason == "fewer than 17 characters"
    with pytest.raises(ValueError, match="give count_tokens"):
        length_check(lengths("a"), "tokens", least=1)
    with pytest.raises(ValueError, match="no length lies within 3 and 2"):
        length_check(found, "words", least=3, most=2)


def test_shares_keep_n_and_the_reasons() -> None:
    checks = [Check(passed=True), Check(passed=False, reason="empty"), Check(passed=False, reason="empty")]
    found = check_share([*checks, Check(passed=False, reason="Extra data"), Failed("lost")])
    assert found.passed.share is not None
    assert (found.passed.share.value, found.passed.share.n, found.passed.failed) == (0.25, 4, 1)
    assert found.reasons == (("empty", 2), ("Extra data", 1))


def test_json_shares_by_hand() -> None:
    # Raw 1/3, fenced 1/3, schema 1/3 (the raw one fits, the fenced one does not); one row was never answered.
    texts = ['{"age": 7}', "```json\n{}\n```", "sorry"]
    found = json_shares([*(json_checks(text, AGE) for text in texts), Failed("lost")])
    for share in (found.raw, found.fenced, found.schema):
        assert share is not None
        assert share.share is not None
        assert (share.share.value, share.share.n, share.failed) == (1 / 3, 3, 1)
    assert json_shares([json_checks("{}"), Failed("lost")]).schema is None
    assert json_shares([Failed("lost")]).raw.share is None
    with pytest.raises(ValueError, match="share out those apart"):
        json_shares([json_checks("{}"), json_checks("{}", AGE)])
