import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.labeling.consensus import preference_from_orders
from truing.labeling.verdicts import (
    Verdict,
    incorporated_reply,
    is_switched,
    label_reply,
    ordered,
    pairwise_verdict,
    preference_from_logprobs,
    ranking,
    rating,
    unswitched,
)
from truing.records import Unparsable

TEN = tuple(str(score) for score in range(1, 11))


def read(found: object) -> object:
    """What was read; None where nothing was."""
    return None if isinstance(found, Unparsable) else found


# --- verdicts as log-probabilities -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ab", "ba", "p"),
    # a is first in ab and second in ba: named in both, in neither, once, and with ties.
    [
        ("first", "second", 1.0), ("second", "first", 0.0), ("first", "first", 0.5), ("tie", "tie", 0.5),
        ("first", "tie", 0.75), ("tie", "first", 0.25),
    ],
)  # fmt: skip
def test_a_verdict_is_certain_or_even(ab: Verdict, ba: Verdict, p: float) -> None:
    assert preference_from_orders(ordered(ab), ordered(ba)) == p
    assert [ordered(verdict).mass for verdict in (ab, ba)] == pytest.approx([1, 1])
    assert [ordered(verdict).winner or "tie" for verdict in (ab, ba)] == [ab, ba]


# --- labels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "labels", "label"),
    [
        ("1", ("1", "2"), "1"),
        (" \n2\nbecause", ("1", "2"), "2"),
        ("10", TEN, "10"),
        ("10.", TEN, "10"),
        ("1, since", TEN, "1"),
        ("A+", ("A", "A+"), "A+"),
        ("**7**/10", TEN, "7"),
        ('"Yes"', ("Yes", "No"), "Yes"),
        ("No.", ("Yes", "No"), "No"),
        ("`A` it is", ("A", "B"), "A"),
        ("1.5", TEN, None),
        ("1,5", TEN, None),
        ("10.5", TEN, None),
        ("100", TEN, None),
        ("12", ("1", "2"), None),
        ("1st", TEN, None),
        ("1_2", TEN, None),
        ("-1", TEN, None),
        ("0", TEN, None),
        ("The answer is 1", TEN, None),
        ("Nothing", ("Yes", "No"), None),
        ("yes", ("Yes", "No"), None),
        ("", TEN, None),
        ("**", TEN, None),
    ],
)
def test_a_reply_begins_with_a_label_or_holds_none(reply: str, labels: tuple[str, ...], label: str | None) -> None:
    assert label_reply(reply, labels) == (Unparsable(reply) if label is None else label)
    assert label_reply(reply, labels[::-1]) == label_reply(reply, labels)


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ("Score=7", "7"),
        ("**Score=** 7", "7"),
        (" Score=10\n", "10"),
        ("7", "7"),
        ("Score: 7", None),
        ("Score=Score=7", None),
        ("Score=", None),
    ],
)
def test_a_judge_may_repeat_the_words_before_the_label(reply: str, label: str | None) -> None:
    assert read(label_reply(reply, TEN, answer="Score=")) == label
    assert read(label_reply(reply, TEN, answer="\nScore= ")) == label


# --- scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "score"),
    [
        ("It is short. Rating: [[7]]", 7.0),
        ("[[8.5]]", 8.5),
        ("[6] of 10", 6.0),
        ("[[7]] as in [9]", 7.0),  # single brackets only count where there are no double ones
        ("[[7]], again [[7.0]]", 7.0),
        ("[[7]] or [[8]]", None),
        ("[7] or [8]", None),
        ("[[0]]", None),
        ("[[11]]", None),
        ("[[11]] [5]", None),
        ("[[rating]]", None),
        ("[[-3]]", None),
        ("7", None),
        ("", None),
    ],
)
def test_a_rating_stands_in_brackets_once(reply: str, score: float | None) -> None:
    assert rating(reply) == (Unparsable(reply) if score is None else score)


def test_the_range_of_ratings_may_be_another() -> None:
    assert [read(rating("[[5]]", top=top)) for top in (4, 5)] == [None, 5.0]


# --- pairs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("The first is wrong. [[B]]", "second"),
        ("[[A]]", "first"),
        ("[[C]] as both are fine", "tie"),
        ("[[A]] ... so [[A]]", "first"),
        ("[[A]] or [[B]]", None),
        ("[A]", None),
        ("[[D]] [[a]]", None),
        ("A", None),
        ("", None),
    ],
)
def test_a_pairwise_verdict_stands_in_double_brackets(reply: str, verdict: Verdict | None) -> None:
    assert pairwise_verdict(reply) == (Unparsable(reply) if verdict is None else verdict)


def test_alpacaeval_preference_by_hand() -> None:
    # P(m) = .6, P(M) = .2: 2 - .6 / .8 = 1.25
    logprobs = {"m": math.log(0.6), "M": math.log(0.2), "The": math.log(0.1)}
    assert preference_from_logprobs(logprobs) == pytest.approx(1.25)
    assert preference_from_logprobs(logprobs, first="M", second="m") == pytest.approx(1.75)
    assert preference_from_logprobs({"a": -1.0, "b": -1.0}, first="a", second="b") == 1.5
    found = preference_from_logprobs({"The": -0.5, "A": -math.inf})
    assert isinstance(found, Unparsable)
    assert json.loads(found.raw) == {"The": -0.5, "A": -math.inf}


@given(st.floats(-30, 0), st.floats(-30, 0))
def test_switched_outputs_give_the_other_side_of_the_preference(one: float, two: float) -> None:
    p, switched = (preference_from_logprobs(each) for each in ({"m": one, "M": two}, {"m": two, "M": one}))
    assert isinstance(p, float)
    assert isinstance(switched, float)
    assert 1 <= p <= 2
    assert unswitched(switched) == pytest.approx(p, abs=1e-15)


def test_the_order_is_drawn_from_the_instruction_alone() -> None:
    # Fair: of 1000 instructions 500 +- 4 * sqrt(1000) / 2 = 63 are switched.
    drawn = [is_switched(f"Instruction {i}") for i in range(1000)]
    assert drawn == [is_switched(f"Instruction {i}") for i in range(1000)]
    assert 437 < sum(drawn) < 563


@pytest.mark.parametrize(
    ("reply", "rank"),
    [
        # The first three are the examples in AlpacaEval's own documentation of its parser: 1, 2, NaN.
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]", 1),
        ("[{'model': 'model_1', 'rank': 2}, {'model': 'model_2', 'rank': 1}]", 2),
        ("[{'model': 'model_1', 'rank': 3}, {'model': 'model_2', 'rank': 1}]", None),
        ("\n[{'model': 'model_2', 'rank': 1}, {'model': 'model_1', 'rank': 2}]\n", 2),
        ("[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 1}]", 1),  # model_2 is not looked at
        ("Here it is: [{'model': 'model_1', 'rank': 1}]", None),
        ("[{'model': 'model_1', 'rank': True}]", None),
        ("[{'model': 'model_1', 'rank': '1'}]", None),
        ("[{'model': 'model_1'}]", None),
        ("[{'model': 'model_2', 'rank': 1}]", None),
        ("{'model': 'model_1', 'rank': 1}", None),
        ("[{", None),
        ("", None),
        ("[" * 10_000, None),
    ],
)
def test_the_rank_of_the_first_model(reply: str, rank: int | None) -> None:
    assert ranking(reply) == (Unparsable(reply) if rank is None else rank)


# --- feedback --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ('{"is_incorporated": true}', (True,)),
        ('{"why": "it is", "is_incorporated": " Yes"}', (True,)),
        ('{"is_incorporated": "FALSE"}', (False,)),
        ('[{"is_incorporated": true}, {"is_incorporated": "no"}]', (True, False)),
        ('Sure:\n```json\n{"is_incorporated": false}\n```\nDone.', (False,)),
        ('```json {"is_incorporated": true}```', (True,)),
        ('```json\n{"is_incorporated": true}\n```\n```json\n{"is_incorporated": false}\n```', (True,)),
        ('Sure: {"is_incorporated": true}', None),
        ('```json\n{"is_incorporated": true}', None),
        ('```json\n\n```\n{"is_incorporated": true}', None),
        ('{"is_incorporated": true, "is_incorporated": false}', None),
        ('{"a": {"b": 1, "b": 2}, "is_incorporated": true}', None),
        ('{"is_incorporated": 1}', None),
        ('{"is_incorporated": "partly"}', None),
        ('{"is_incorporated": null}', None),
        ('{"incorporated": true}', None),
        ('[{"is_incorporated": true}, {"why": "?"}]', None),
        ('[{"is_incorporated": true}, true]', None),
        ("[]", None),
        ("true", None),
        ("", None),
        ("[" * 100_000, None),
    ],
)
def test_is_the_feedback_incorporated(reply: str, found: tuple[bool, ...] | None) -> None:
    assert incorporated_reply(reply) == (Unparsable(reply) if found is None else found)


# --- all of them -----------------------------------------------------------------------------------------------------

PIECES = [
    "1",
    "10",
    ".",
    "7",
    "[",
    "[[",
    "]",
    "]]",
    "A",
    "C",
    "{",
    "}",
    '"is_incorporated"',
    ":",
    "true",
    "```json",
    "```",
]
PIECES += ["'model'", "'model_1'", "'rank'", ",", " ", "\n", "Yes", "9" * 400, "\x00", "é"]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text())
def test_no_reply_is_too_odd_to_be_read_or_refused(reply: str) -> None:
    label, number = label_reply(reply, TEN), rating(reply)
    assert label == Unparsable(reply) or label in TEN
    assert number == Unparsable(reply) or (isinstance(number, float) and 1 <= number <= 10)
    assert pairwise_verdict(reply) in (Unparsable(reply), "first", "second", "tie")
    assert ranking(reply) in (Unparsable(reply), 1, 2)
    found = incorporated_reply(reply)
    assert found == Unparsable(reply) or (isinstance(found, tuple) and set(found) <= {True, False})
