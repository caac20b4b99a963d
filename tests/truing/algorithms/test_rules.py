import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.algorithms.rules import finished_reward, length_penalty, pattern_share, safety_first


def test_only_a_cut_off_completion_is_punished() -> None:
    assert (finished_reward(True), finished_reward(False)) == (0.0, -1.0)


@pytest.mark.parametrize(
    ("text", "pattern", "share"),
    [
        ("aXbX", "X", 2 / 4),
        ("aaaaa", "aa", 4 / 5),  # matches do not overlap: positions 0-1 and 2-3
        ("one two", r"\w+", 6 / 7),
        ("Über", "[A-Z]", 0.0),  # characters, not bytes
        ("Über", "Ü", 1 / 4),
        ("abc", "x*", 0.0),  # an empty match covers nothing
        ("abc", "(?s).*", 1.0),
        ("", "a", 0.0),
    ],
)
def test_share_of_the_characters_in_matches(text: str, pattern: str, share: float) -> None:
    assert pattern_share(text, pattern) == pytest.approx(share)


@given(st.text(), st.text(min_size=1, max_size=3))
def test_a_share_counts_each_character_at_most_once(text: str, part: str) -> None:
    share = pattern_share(text, re.escape(part))
    assert 0 <= share <= 1
    assert share * len(text) == pytest.approx(text.count(part) * len(part))


@pytest.mark.parametrize(
    ("tokens", "penalty"),
    # Up to 100 nothing; 150 is half of another 100 over, 200 a whole one, 350 two and a half.
    [(0, 0.0), (99, 0.0), (100, 0.0), (101, -0.01), (150, -0.5), (200, -1.0), (350, -2.5)],
)
def test_length_is_free_up_to_the_target(tokens: int, penalty: float) -> None:
    assert length_penalty(tokens, 100) == pytest.approx(penalty, abs=1e-12)


@pytest.mark.parametrize(
    ("safety", "must_be_safe", "expected"),
    [
        (-2.0, False, -2.0),  # below the limit: not safe, whatever the prompt
        (-1.0, False, 3.0),  # above it: how helpful
        (-1.7, False, 3.0),  # at the limit it is not below
        (-1.0, True, -1.0),  # the prompt may elicit what is not safe
        (4.0, True, 4.0),
    ],
)
def test_safety_speaks_where_it_must_and_else_helpfulness(safety: float, must_be_safe: bool, expected: float) -> None:
    assert safety_first(safety, 3.0, must_be_safe=must_be_safe, limit=-1.7) == expected
