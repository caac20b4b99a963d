import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.evaluation.exact_match import exact_match, exact_match_raw, normalised


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel\tTower!\n", "eiffel tower"),
        ("U.S.", "us"),
        ("an apple, a pear", "apple pear"),
        ("theatre pasta", "theatre pasta"),  # an article is a whole word
        ("a.n.", ""),  # articles go last: the dots gone, "an" is one
        ("-3", "3"),
        ("", ""),
    ],
)
def test_normalised_in_squad_s_order(text: str, expected: str) -> None:
    assert normalised(text) == expected


def test_a_match_is_raw_or_normalised() -> None:
    assert exact_match("the Eiffel Tower.", ["Big Ben", "Eiffel tower"])
    assert not exact_match_raw("the Eiffel Tower.", ["Big Ben", "Eiffel tower"])
    assert exact_match_raw("Big Ben", ["Eiffel tower", "Big Ben"])
    assert not exact_match("Eiffel", ["Eiffel tower"])


@given(st.text(max_size=30))
def test_normalising_twice_changes_nothing_and_a_text_matches_itself(text: str) -> None:
    assert exact_match(text, [text])
    assert exact_match_raw(text, [text])
    assert normalised(normalised(text)) == normalised(text)


def test_an_empty_answer_matches_only_an_empty_reference() -> None:
    assert not exact_match("", ["The"])
    assert not exact_match("", ["..."])
    assert not exact_match("A", ["The"])
    assert exact_match("The", ["The"])
    assert exact_match("", [""])
    assert not exact_match("", ["Paris"])


def test_other_scripts_keep_their_punctuation_and_their_form() -> None:
    assert exact_match("北京", ["北京"])
    assert not exact_match("北京。", ["北京"])
    composed, combining = "caf\u00e9", "cafe\u0301"
    assert not exact_match(combining, [composed])
    assert exact_match(unicodedata.normalize("NFC", combining), [composed])


def test_answers_of_100_000_characters() -> None:
    assert exact_match("The " + "x" * 100_000 + ".", ["x" * 100_000])


@pytest.mark.parametrize("references", [[], "Paris"])
def test_no_list_of_references_is_refused(references: list[str]) -> None:
    for match in (exact_match, exact_match_raw):
        with pytest.raises(ValueError, match="list of at least one reference"):
            match("a", references)
