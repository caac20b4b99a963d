import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.data.conversations import (
    Message,
    conversation_text,
    is_messages,
    messages,
    split_messages,
    split_transcripts,
)

SYSTEM, ASK, ANSWER, MORE = ("system", "Be short."), ("user", "Why?"), ("assistant", "So."), ("user", "And?")


def item(role: object, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


# --- messages ------------------------------------------------------------------------------------


def test_a_conversation_is_a_list() -> None:
    assert is_messages([item("user", "a")])
    assert is_messages([])
    assert not is_messages("Human: a")
    assert not is_messages(None)


def test_turns_lose_the_white_space_around_them() -> None:
    found = messages(
        [item("system", "Be short."), item("user", " Why?\n"), {**item("assistant", "\tSo."), "name": "x"}]
    )
    assert found == (SYSTEM, ASK, ANSWER)


@pytest.mark.parametrize(
    "second",
    [
        "Why?",
        {},
        {"role": "user"},
        {"content": "Why?"},
        item("tool", "4"),
        item(["user"], "Why?"),
        item(None, "Why?"),
        item("user", None),
        item("user", [{"type": "text", "text": "Why?"}]),
    ],
    ids=str,
)
def test_what_is_no_message_is_named(second: object) -> None:
    with pytest.raises(ValueError, match="message") as error:
        messages([item("user", "a"), second])
    assert str(error.value) == 'message 2 is not {"role": "system", "user" or "assistant", "content": text}'


@pytest.mark.parametrize(
    ("turns", "text"),
    [
        ([], ""),
        ([ASK], "Why?"),
        ([ANSWER], "Assistant: So."),
        ([SYSTEM, ASK], "System: Be short.\n\nHuman: Why?"),
        ([ASK, ANSWER, MORE], "Human: Why?\n\nAssistant: So.\n\nHuman: And?"),
    ],
)
def test_one_user_turn_is_its_text_and_more_is_a_transcript(turns: list[Message], text: str) -> None:
    assert conversation_text(turns) == text


# --- one prompt, two responses -------------------------------------------------------------------

YES, NO = ("assistant", "Yes."), ("assistant", "No.")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # One turn each
        ([ASK, YES], [ASK, NO], ("Why?", "Yes.", "No.")),
        ([SYSTEM, ASK, YES], [SYSTEM, ASK, NO], ("System: Be short.\n\nHuman: Why?", "Yes.", "No.")),
        # Only the last answer differs: all before it is the prompt.
        (
            [ASK, ANSWER, MORE, YES],
            [ASK, ANSWER, MORE, NO],
            ("Human: Why?\n\nAssistant: So.\n\nHuman: And?", "Yes.", "No."),
        ),
        # The first answer differs already: what follows belongs to the response.
        (
            [ASK, YES, MORE, ANSWER],
            [ASK, NO],
            ("Why?", "Yes.\n\nHuman: And?\n\nAssistant: So.", "No."),
        ),
        # They part in a human turn: the answer before it opens both responses.
        (
            [ASK, ANSWER, MORE, YES],
            [ASK, ANSWER, ("user", "Or?"), YES],
            ("Why?", "So.\n\nHuman: And?\n\nAssistant: Yes.", "So.\n\nHuman: Or?\n\nAssistant: Yes."),
        ),
        # One goes on where the other ends.
        ([ASK, YES, MORE, NO], [ASK, YES], ("Why?", "Yes.\n\nHuman: And?\n\nAssistant: No.", "Yes.")),
        # The responses alone, as beside a prompt column
        ([YES], [NO], ("", "Yes.", "No.")),
        # Nothing that the assistant answers
        ([ASK, YES], [MORE, NO], None),
        ([ASK], [ASK], None),
        ([ASK, YES], [ASK, MORE], None),
    ],
)
def test_messages_part_at_an_answer(a: list[Message], b: list[Message], expected: tuple[str, str, str] | None) -> None:
    assert split_messages(a, b) == expected
    swapped = expected and (expected[0], expected[2], expected[1])
    assert split_messages(b, a) == swapped


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("\n\nHuman: Why?\n\nAssistant: Yes.", "\n\nHuman: Why?\n\nAssistant: No.", ("Why?", "Yes.", "No.")),
        # What the answers begin with alike is theirs, not the prompt's.
        ("\n\nHuman: Why?\n\nAssistant: I do.", "\n\nHuman: Why?\n\nAssistant: I do not.", ("Why?", "I do.", "I do not.")),
        (
            "\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: And?\n\nAssistant: Yes.\n",
            "\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: And?\n\nAssistant:",
            ("Human: Why?\n\nAssistant: So.\n\nHuman: And?", "Yes.", ""),
        ),
        # They part in a human turn: cut at the answer before it.
        (
            "\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: And?\n\nAssistant: Yes.",
            "\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: Or?",
            ("Why?", "So.\n\nHuman: And?\n\nAssistant: Yes.", "So.\n\nHuman: Or?"),
        ),
        # Two answers in a row: the first belongs to the prompt, which is a transcript then.
        (
            "\n\nHuman: Why?\n\nAssistant: So.\n\nAssistant: A",
            "\n\nHuman: Why?\n\nAssistant: So.\n\nAssistant: B",
            ("Human: Why?\n\nAssistant: So.", "A", "B"),
        ),
        # A mark inside a line is text.
        ("\n\nHuman: Say Assistant: once\n\nAssistant: A", "\n\nHuman: Say Assistant: once\n\nAssistant: B",
         ("Say Assistant: once", "A", "B")),
        ("Human: Why?\n\nAssistant: A", "Human: Why?\n\nAssistant: B", ("Why?", "A", "B")),
        ("\n\nHuman: Why?\n\nAssistant: A", "\n\nHuman: How?\n\nAssistant: B", None),
        ("Yes.", "No.", None),
    ],
)  # fmt: skip
def test_transcripts_part_at_an_answer(a: str, b: str, expected: tuple[str, str, str] | None) -> None:
    assert split_transcripts(a, b) == expected


said = st.lists(st.sampled_from(["a", "ab", "Human:", "Assistant:"]), min_size=1, max_size=3).map(" ".join)
starts = st.lists(said, min_size=1, max_size=5)


@given(shared=starts, a=starts, b=starts)
def test_both_forms_give_the_same(shared: list[str], a: list[str], b: list[str]) -> None:
    # Turns alternate, the human begins; `a` and `b` may share their first turns too, and end with either speaker.
    def turns(rest: list[str]) -> list[Message]:
        return [(("user", "assistant")[i % 2], text) for i, text in enumerate(shared + rest)]

    def transcript(rest: list[str]) -> str:
        names = {"user": "Human", "assistant": "Assistant"}
        return "".join(f"\n\n{names[role]}: {text}" for role, text in turns(rest))

    assert split_messages(turns(a), turns(b)) == split_transcripts(transcript(a), transcript(b))
