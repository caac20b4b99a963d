from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.data.comparison import Comparison, Fields, LeftOut, Mark, PreferenceSource
from truing.data.pairwise import layout_of, majority, pairwise
from truing.errors import ConfigError

WHERE = "f, row 1"
WORDS = "first, model_a, response_1, response_a, a, second, model_b, response_2, response_b, b, tie, tie (bothbad), both_bad"
SAY = "say what each value means (coding: {value: first}), or remove the row"
TEXTS = {"prompt": "Why?", "first": "A", "second": "B"}


def read(row: dict[str, Any], **source: Any) -> Comparison | LeftOut:
    spec = PreferenceSource("f", **source)
    layout = layout_of(row, spec)
    assert layout is not None
    (found,) = pairwise(Fields(row, WHERE, spec), layout)
    return found


def at_odds(found: Comparison | LeftOut) -> tuple[Mark | None, ...]:
    """The votes of annotators of whom no mark has the majority."""
    assert isinstance(found, Comparison)
    assert found.human is None
    return found.votes


def refusal(row: dict[str, Any], **source: Any) -> str:
    with pytest.raises(ConfigError) as error:
        read(row, **source)
    message = str(error.value)
    assert "\n" not in message
    return message


def marked(human: Mark, votes: tuple[Mark | None, ...] = (), **more: Any) -> Comparison:
    return Comparison("Why?", "A", "B", human, **{"domain": "default", **more}, votes=votes)


# --- known sets, one row of each -----------------------------------------------------------------


def said(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


ARENA = {"conversation_a": said("Why?", "A"), "conversation_b": said("Why?", "B")}
AUTO_J = {"scenario": "poems", "prompt": "Why?", "response_1": "A", "response_2": "B"}
LLMBAR = {"input": "Why?", "output_1": "A", "output_2": "B"}
PANDALM = {"cmp_key": "a_b", "instruction": "Why?", "input": "", "response1": "A", "response2": "B"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({**TEXTS, "human": "second"}, marked("second")),
        ({**ARENA, "winner": "model_b"}, marked("second")),
        ({**ARENA, "winner": "tie (bothbad)"}, marked("tie")),
        ({"prompt": "Why?", "response_a": "A", "response_b": "B", "winner": "tie"}, marked("tie")),
        # Auto-J counts from 0 and its winner in words goes before its label; LLMBar counts from 1; PandaLM's 0 is a tie.
        ({**AUTO_J, "winner": "response_1"}, marked("first", domain="poems")),
        ({**AUTO_J, "winner": "response_2", "label": 0}, marked("second", domain="poems")),
        ({**AUTO_J, "label": 0}, marked("first", domain="poems")),
        ({**AUTO_J, "label": 1}, marked("second", domain="poems")),
        ({**AUTO_J, "label": 2}, marked("tie", domain="poems")),
        ({**LLMBAR, "label": 1}, marked("first")),
        ({**LLMBAR, "label": 2, "subset": "Natural"}, marked("second", domain="Natural")),
        (
            {**PANDALM, "annotator2": 2, "annotator10": 0, "annotator1": 2},
            marked("second", ("second", "second", "tie")),
        ),
        ({**PANDALM, "annotator1": 0, "annotator2": 0}, marked("tie", ("tie", "tie"))),
    ],
)
def test_known_sets(row: dict[str, Any], expected: Comparison) -> None:
    assert read(row) == expected


@pytest.mark.parametrize(
    "row",
    [
        # A number without the column that tells whose coding it is
        {"prompt": "Why?", "response_1": "A", "response_2": "B", "label": 1},
        {"prompt": "Why?", "response1": "A", "response2": "B", "annotator1": 1},
        {**TEXTS, "best": "first"},
        ARENA,
    ],
)
def test_alike_is_not_known(row: dict[str, Any]) -> None:
    assert layout_of(row, PreferenceSource("f")) is None


# --- named columns and codings -------------------------------------------------------------------

MINE = {"q": "Why?", "left": "A", "right": "B"}
NAMED = {"prompt": "q", "first": "left", "second": "right"}


def test_columns_and_marks_of_ones_own() -> None:
    columns = {**NAMED, "human": "better", "domain": "topic", "strength": "by"}
    row = {**MINE, "better": "R", "topic": "poems", "by": 2, "domain": "other"}
    found = read(row, columns=columns, coding={"L": "first", "R": "second", "=": "tie"})
    assert found == marked("second", domain="poems", strength=2.0)
    # A column that is not named has our own noun's name.
    assert read({**MINE, "human": "tie"}, columns=NAMED) == marked("tie")
    assert read({"q": "Why?", "left": "A", "second": "B", "human": "b"}, columns={"prompt": "q", "first": "left"}) == (
        marked("second")
    )
    # A known set with a mark of one's own beside the set's
    assert read({**LLMBAR, "label": 1, "mine": 2}, columns={"human": "mine"}) == marked("second")


@pytest.mark.parametrize("value", ["R", "r", " R ", "RIGHT", 1, 1.0, "1", True])
def test_a_mark_may_be_text_or_a_number(value: object) -> None:
    coding = {"R": "second", "r": "second", "right": "second", "1": "second", "true": "second"}
    assert read({**TEXTS, "human": value}, coding=coding) == marked("second")


@pytest.mark.parametrize("value", ["left", 1, 0, True, 1.5, ["first"], float("nan"), float("inf")])
def test_a_mark_that_the_coding_does_not_know(value: object) -> None:
    assert refusal({**TEXTS, "human": value}) == f"f, row 1: 'human' is {value!r}, none of {WORDS}; {SAY}"


def test_a_coding_takes_the_place_of_the_known_one() -> None:
    # Whoever says what 0 means has said everything: LLMBar's own 1 is not known any more.
    assert read({**LLMBAR, "label": 0}, coding={"0": "first"}) == marked("first")
    found = refusal({**LLMBAR, "label": 1}, coding={"0": "first", "2": "tie"})
    assert found == f"f, row 1: 'label' is 1, none of 0, 2; {SAY}"


@pytest.mark.parametrize("value", [None, ""])
def test_no_mark(value: object) -> None:
    assert read({**TEXTS, "human": value}) == LeftOut(WHERE, "nobody has marked it")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"format": "csv"},
            "format 'csv' is unknown; use auto, chosen_rejected, hh, comparisons, scores, pairwise, listed",
        ),
        (
            {"columns": {"winner": "best", "answer": "a"}},
            "columns: 'answer' is none of prompt, chosen, rejected, first, second, human, votes, domain, strength",
        ),
        ({"coding": {"1": "left"}}, "coding: a mark means first, second or tie, not 'left'"),
        ({"pairs": "some"}, "pairs 'some' is unknown; use all or best"),
    ],
)
def test_a_source_that_says_what_is_not_known(source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        PreferenceSource("f", **source)
    assert str(error.value) == message


# --- votes ---------------------------------------------------------------------------------------


def test_votes_in_a_list_or_in_columns() -> None:
    votes = ("first", None, "tie")
    assert read({**TEXTS, "human": "first", "votes": ["a", None, "tie"]}) == marked("first", votes)
    assert read({**MINE, "each": ["a", "", "tie"], "human": "a"}, columns={**NAMED, "votes": "each"}) == (
        marked("first", votes)
    )
    assert read({**TEXTS, "human": "a", "annotator_1": "a", "annotator_2": None, "annotator_3": "tie"}) == (
        marked("first", votes)
    )
    # `votes` that is no list (a count, say) holds no votes.
    assert read({**TEXTS, "human": "first", "votes": 3}) == marked("first")


def test_without_a_mark_the_majority_decides() -> None:
    # 2 of 3; 2 of the 3 that voted; 1 of 2 is no majority, nor is a row of three; a mark overrules the votes.
    def voted(*votes: str | None) -> Comparison | LeftOut:
        return read({**MINE, "votes": list(votes)}, columns=NAMED)

    assert voted("a", "b", "b") == marked("second", ("first", "second", "second"))
    assert voted("tie", None, "tie", "a") == marked("tie", ("tie", None, "tie", "first"))
    assert at_odds(voted("a", "b")) == ("first", "second")
    assert at_odds(voted("a", "b", "tie")) == ("first", "second", "tie")
    assert voted(None, None) == LeftOut(WHERE, "nobody has marked it")
    assert voted() == LeftOut(WHERE, "nobody has marked it")
    overruled = read({**TEXTS, "human": "a", "votes": ["b", "b"]})
    assert overruled == marked("first", ("second", "second"))


def test_votes_alone_are_a_known_form() -> None:
    # 2 of 3 for the second. One each says that the annotators differ, not that the responses are alike: no tie.
    assert read({**TEXTS, "votes": ["a", "b", "b"]}) == marked("second", ("first", "second", "second"))
    assert read({**TEXTS, "votes": ["tie", "tie", "a"]}) == marked("tie", ("tie", "tie", "first"))
    assert at_odds(read({**TEXTS, "votes": ["a", "b"]})) == ("first", "second")
    found = read({**TEXTS, "ballots": ["a"]}, columns={"votes": "ballots"})
    assert found == marked("first", ("first",))
    shown = {"prompt": "Why?", "response_a": "A", "response_b": "B", "votes": ["response_b"]}
    assert read(shown) == marked("second", ("second",))
    # A mark goes before the votes, and a count is no vote.
    assert read({**TEXTS, "human": "first", "votes": ["b"]}) == marked("first", ("second",))
    assert layout_of({**TEXTS, "votes": 3}, PreferenceSource("f")) is None


def test_a_vote_that_the_coding_does_not_know() -> None:
    numbers = "0, 1, 2"
    assert refusal({**PANDALM, "annotator1": 1, "annotator2": 3}) == (
        f"f, row 1: 'annotator2' is 3, none of {numbers}; {SAY}"
    )
    assert refusal({**TEXTS, "human": "a", "votes": ["a", "c"]}) == f"f, row 1: 'votes' is 'c', none of {WORDS}; {SAY}"


ballots = st.lists(st.sampled_from(["first", "second", "tie", None]), max_size=7).map(tuple)


@given(ballots)
def test_a_majority_is_more_than_all_others_together(votes: tuple[Mark | None, ...]) -> None:
    counts = Counter(vote for vote in votes if vote)
    winner = majority(votes)
    for mark in ("first", "second", "tie"):
        others = sum(n for other, n in counts.items() if other != mark)
        assert (counts[mark] > others) == (winner == mark)


# --- broken rows ---------------------------------------------------------------------------------


def test_conversations_that_share_no_question() -> None:
    row = {"conversation_a": said("Why?", "A"), "conversation_b": said("How?", "B"), "winner": "model_a"}
    assert read(row) == LeftOut(WHERE, "the two conversations share no turn that the assistant answers")


@pytest.mark.parametrize(
    ("human", "margin", "strength"), [("model_b", -2, 2.0), ("model_b", 2, 2.0), ("model_a", 2, 2.0), ("tie", 0, 0.0)]
)
def test_a_strength_counts_towards_the_winner(human: str, margin: float, strength: float) -> None:
    found = read({**TEXTS, "human": human, "margin": margin})
    assert isinstance(found, Comparison)
    assert found.strength == strength


@pytest.mark.parametrize("human", ["model_a", "tie"])
def test_a_strength_against_the_mark_is_left_out(human: str) -> None:
    remedy = "give how much better the winner is, or the first minus the second"
    columns = {"strength": "by"}
    found = read({**TEXTS, "human": human, "by": -2}, columns=columns)
    assert found == LeftOut(WHERE, f"'by' is below 0, against the mark; {remedy}")


def test_a_response_that_was_read_as_a_truth_value() -> None:
    # Six rows of PandaLM's human set have `true` where a model wrote "True", or "true": nobody knows any more.
    for side in ("response1", "response2"):
        row = {**PANDALM, side: True, "annotator1": 1}
        assert read(row) == LeftOut(WHERE, "a response is true or false, not text")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": None}, "'first' is not text; give text there, name the right column (columns: {noun: column})"),
        ({"second": 5}, "'second' is not text; give text there, name the right column (columns: {noun: column})"),
        ({"prompt": {}}, "'prompt' is not text; give text there, name the right column (columns: {noun: column})"),
        ({"first": said("Why?", "A")}, "'second' holds no messages while 'first' does; give both in the same form"),
        ({"strength": "much"}, "'strength' is not a finite number; give a number, or null, there"),
    ],
)
def test_a_broken_row(change: dict[str, Any], message: str) -> None:
    assert refusal({**TEXTS, "human": "first", **change}) == f"f, row 1: {message}, or remove the row"
