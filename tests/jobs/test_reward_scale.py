"""Whose responses the reward model's zero is the mean of."""

from jobs.reward import scaled_by
from truing.data.judged import Comparisons

PROMPTS = [
    Comparisons("p", ("v0", "v1", "people's"), ()),
    Comparisons("q", ("v0", "v1"), ()),
    Comparisons("r", ("v0",), ()),
]


def test_it_is_the_start_policys_own_and_no_other_response_to_the_prompt() -> None:
    # A second round: its start policy wrote v1; v0 is the first round's. Nothing of r is its own, and r's text of another
    # prompt is not r's.
    assert scaled_by({("p", "v1"), ("q", "v1"), ("p", "v0 of nobody"), ("q", "v0 of nobody")}, PROMPTS) == {
        0: [1],
        1: [1],
    }
    assert scaled_by({("p", "v0")}, PROMPTS) == {0: [0]}


def test_where_it_wrote_nothing_all_responses_are() -> None:
    assert scaled_by(set(), PROMPTS) == {0: [0, 1, 2], 1: [0, 1], 2: [0]}
