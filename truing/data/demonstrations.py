"""Demonstrations for supervised fine-tuning: a prompt and the answer to learn, from any source of rows.

    demonstrations, report = load_demonstrations(Examples(path="gsm8k.jsonl.gz", prompt="question"))
    training, held_out = split_held_out(demonstrations, share=0.1)

A row may ask an open question, or one with choices; how it is read is in `truing.config.supervised.Examples`.
"""

import heapq
import string
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from truing.config.supervised import Examples
from truing.data.comparison import LeftOut
from truing.data.conversations import Message, conversation_text, messages
from truing.data.rows import numbered_rows
from truing.data.wordings import at, fields_of, fill, options, text_of
from truing.errors import ConfigError
from truing.records import Row, content_id

AGAIN, NOT_ASKED_FOR, ALIKE = (
    "the same prompt and answer again",
    "not one of the rows in `only`",
    "two choices are alike",
)
NO_CHOICES, NO_LABEL = "fewer than two choices are given", "no label is given"


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A prompt and the answer to learn. The id is the hash of task, prompt, answer and the texts of the choices.

    `choices`: all answers that could be given, each as it would be answered, for rank classification; empty where the task
    is open. `template`: number of the wording that made the prompt. `fields`: what other wordings can be filled with. `ended`:
    False where the answer was cut off at the longest allowed length.
    """

    id: str
    prompt: str
    answer: str
    task: str = "default"
    cluster: str = "default"
    choices: tuple[str, ...] = ()
    template: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)
    ended: bool = True


@dataclass(frozen=True, slots=True)
class ExamplesReport:
    """What became of one source: `rows` read, `demonstrations` made of them, rows left out by reason."""

    source: str
    task: str
    rows: int
    demonstrations: int
    left_out: Mapping[str, int]


def stream_demonstrations(source: Examples) -> Iterator[Demonstration | LeftOut]:
    """One item a row, as the source is read; a row that holds no demonstration comes as `LeftOut`, with the reason.

    Raises:
        ConfigError: the source cannot be found, or a row lacks a column that is asked for; names row, column, remedy.
    """
    for where, row in numbered_rows(source.path):
        if all(column in row and text_of(row[column], where, column) == text for column, text in source.only.items()):
            yield _demonstration(row, where, source)
        else:
            yield LeftOut(where, NOT_ASKED_FOR)


def load_demonstrations(source: Examples) -> tuple[list[Demonstration], ExamplesReport]:
    """Every demonstration once, in the order of the source (with a `limit`: of their hashes), and what became of the rest.

    No more than `limit` demonstrations are held, and the ids of all.

    Raises:
        ConfigError: as `stream_demonstrations`; or none is left, with the reasons.
    """
    seen: set[str] = set()
    left_out: Counter[str] = Counter()

    def distinct() -> Iterator[Demonstration]:
        for item in stream_demonstrations(source):
            if isinstance(item, LeftOut) or item.id in seen:
                left_out[item.reason if isinstance(item, LeftOut) else AGAIN] += 1
            else:
                seen.add(item.id)
                yield item

    if source.limit is None:
        found = list(distinct())
    else:
        found = heapq.nsmallest(source.limit, distinct(), key=lambda item: content_id("limit", item.id))
    rows = len(seen) + left_out.total()
    if not found:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in left_out.most_common(3))
        raise ConfigError(
            f"{source.path}: none of its {rows} rows holds a demonstration: {reasons};"
            " mend the rows, or say how they are read (prompt, answer, choices, label, only)"
        )
    return found, ExamplesReport(source.path, source.task, rows, len(found), dict(left_out.most_common()))


def split_held_out(
    demonstrations: Sequence[Demonstration], share: float
) -> tuple[list[Demonstration], list[Demonstration]]:
    """(training, held out). The prompt's hash alone decides: a prompt is on one side with all its answers, whatever else
    is in the set, and stays there when the set grows. About `share` of the prompts are held out.

    Raises:
        ConfigError: a share of more than 0 leaves one of the two sides empty.
    """

    def is_held(one: Demonstration) -> bool:
        return int(content_id("held out", one.prompt), 16) < share * 2**64

    training = [one for one in demonstrations if not is_held(one)]
    held = [one for one in demonstrations if is_held(one)]
    if share > 0 and not (training and held):
        side = "held out" if training else "left to train on"
        raise ConfigError(
            f"a held-out share of {share} of {len(demonstrations)} demonstrations: none is {side};"
            " give more demonstrations or another share"
        )
    return training, held


def _demonstration(row: Row, where: str, source: Examples) -> Demonstration | LeftOut:
    choices = _choices(row, where, source)
    if isinstance(choices, LeftOut):
        return choices
    lettered = {_letter(i): choice for i, choice in enumerate(choices)}
    fields = {**row, **lettered, "options": options(choices)} if choices else row
    possible: tuple[str, ...] = ()
    if choices:
        right = _right(row, where, source, choices)
        if isinstance(right, LeftOut):
            return right
        said = [{**fields, "choice": choice, "letter": letter} for letter, choice in lettered.items()]
        possible = tuple(fill(source.answer or "{choice}", values, where) for values in said)
        if len(set(possible)) < len(possible):
            return LeftOut(where, ALIKE)
        prompt, answer = _text(source.prompt, fields, where), possible[right]
    elif _is_conversation(row.get(source.prompt)):
        prompt, answer = _conversation(row, where, source)
    else:
        prompt, answer = _text(source.prompt, fields, where), _text(source.answer or "answer", fields, where)
    if not prompt.strip() or not answer.strip():
        return LeftOut(where, "the answer is empty" if prompt.strip() else "the prompt is empty")
    key = content_id(source.task, prompt, answer, choices)
    return Demonstration(key, prompt, answer, source.task, source.cluster, possible, fields=fields)


def _text(wanted: str, fields: Mapping[str, Any], where: str) -> str:
    """A template filled in, or a column: its text as it is, or its messages as one text."""
    if fields_of(wanted):
        return fill(wanted, fields, where)
    value = at(fields, wanted, where)
    if not _is_conversation(value):
        return text_of(value, where, wanted)
    return conversation_text(_turns(value, where, wanted)).removeprefix("Assistant: ")


def _is_conversation(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in cast("list[object]", value))


def _conversation(row: Row, where: str, source: Examples) -> tuple[str, str]:
    """(prompt, answer) of messages: the assistant's last turn is the answer, or the answer has a column of its own."""
    turns = _turns(row[source.prompt], where, source.prompt)
    if turns and turns[-1][0] == "assistant":
        return conversation_text(turns[:-1]), turns[-1][1]
    return conversation_text(turns), _text(source.answer or "answer", row, where)


def _turns(value: object, where: str, column: str) -> tuple[Message, ...]:
    try:
        return messages(value)
    except ValueError as error:
        raise ConfigError(f"{where}: {column!r} holds no conversation ({error}); mend it, or name a column") from None


def _choices(row: Row, where: str, source: Examples) -> tuple[str, ...] | LeftOut:
    if isinstance(source.choices, tuple):
        return tuple(fill(choice, row, where) for choice in source.choices)
    choices = tuple(_listed(row, source.choices, where))
    return choices if len(choices) > 1 else LeftOut(where, NO_CHOICES)


def _right(row: Row, where: str, source: Examples, choices: Sequence[str]) -> int | LeftOut:
    """Which choice is right, counted from 0."""
    value = at(row, source.label, where)
    label = text_of(value, where, source.label).strip()
    numbers, letters = [str(i) for i in range(len(choices))], [_letter(i) for i in range(len(choices))]
    if isinstance(source.labels, str):
        known = [_listed(row, source.labels, where)]
    elif source.labels:
        known = [list(source.labels)]
    elif isinstance(value, bool):
        known = [["false", "true"]]
    elif isinstance(value, int):
        known = [numbers]
    else:
        known = [list(choices), numbers, letters]
    found = {names.index(label) for names in known if label in names}
    if not found and label in ("", "-1"):
        return LeftOut(where, NO_LABEL)
    if len(found) != 1 or max(found) >= len(choices):
        problem = "could mean more than one of the choices" if len(found) > 1 else "is none of the choices"
        raise ConfigError(
            f"{where}: {source.label!r} says {label!r}, which {problem}; say what it reads for each choice (labels: [...])"
        )
    return found.pop()


def _listed(row: Row, column: str, where: str) -> list[str]:
    """The texts that a column lists; null lists none."""
    value = at(row, column, where)
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"{where}: {column!r} is not a list; name a column that is one, or list the texts themselves")
    return [text_of(item, where, column).strip() for item in cast("list[object]", value or [])]


def _letter(i: int) -> str:
    return string.ascii_uppercase[i] if i < len(string.ascii_uppercase) else f"Z{i - len(string.ascii_uppercase) + 1}"
