"""Conversations as preference sets keep them (messages, hh-rlhf transcripts) -> one prompt, two responses.

One form for both: a conversation of one user turn is that turn's text alone; a longer one is written
"Human: …\\n\\nAssistant: …\\n\\nHuman: …". The response is what follows the last turn that both sides share.
"""

from collections.abc import Sequence
from typing import cast

Message = tuple[str, str]
"""Role ("system", "user", "assistant") and text of one turn."""

SPEAKERS = {"system": "System", "user": "Human", "assistant": "Assistant"}
HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"


def is_messages(value: object) -> bool:
    """Whether `value` is a list, as conversations are; strings are not."""
    return isinstance(value, list | tuple)


def messages(value: object) -> tuple[Message, ...]:
    """The turns of a list of {"role": …, "content": …}.

    Raises:
        ValueError: an item of another shape, or an unknown role.
    """
    turns: list[Message] = []
    for n, item in enumerate(cast("Sequence[object]", value), 1):
        turn = cast("dict[str, object]", item) if isinstance(item, dict) else {}
        role, content = turn.get("role"), turn.get("content")
        if not isinstance(role, str) or role not in SPEAKERS or not isinstance(content, str):
            raise ValueError(f'message {n} is not {{"role": "system", "user" or "assistant", "content": text}}')
        turns.append((role, content.strip()))
    return tuple(turns)


def conversation_text(turns: Sequence[Message]) -> str:
    """One user turn: its text. Anything longer: a transcript."""
    if len(turns) == 1 and turns[0][0] == "user":
        return turns[0][1]
    return "\n\n".join(f"{SPEAKERS[role]}: {text}" for role, text in turns)


def split_messages(a: Sequence[Message], b: Sequence[Message]) -> tuple[str, str, str] | None:
    """(prompt, a's response, b's response): the shared turns up to the last one that the assistant follows on both sides.

    None where there is none, as in two conversations of two users.
    """
    shared = 0
    while shared < min(len(a), len(b)) - 1 and a[shared] == b[shared]:
        shared += 1
    while a[shared][0] != "assistant" or b[shared][0] != "assistant":
        if shared == 0:
            return None
        shared -= 1
    return conversation_text(a[:shared]), _response(a[shared:]), _response(b[shared:])


def _response(turns: Sequence[Message]) -> str:
    return conversation_text(turns).removeprefix("Assistant: ")


def split_transcripts(a: str, b: str) -> tuple[str, str, str] | None:
    """The same for hh-rlhf's strings: cut at the last "\\n\\nAssistant:" of what both begin with (Bai et al., 2204.05862).

    None where they share no such mark.
    """
    shared = next((i for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other), min(len(a), len(b)))
    cut = a.rfind(ASSISTANT, 0, shared)
    if cut < 0:
        return None
    prompt = a[:cut].strip()
    if HUMAN not in prompt and ASSISTANT not in prompt:
        prompt = prompt.removeprefix(HUMAN.strip()).strip()
    start = cut + len(ASSISTANT)
    return prompt, a[start:].strip(), b[start:].strip()
