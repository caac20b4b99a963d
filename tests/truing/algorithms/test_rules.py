import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.algorithms.rules import finished_reward, pattern_share


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
