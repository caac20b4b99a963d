"""Pairs without a look at what people said of them: to be labelled, or beside the verdicts that a judge left on them."""

from collections.abc import Iterator, Mapping
from typing import cast

from truing.data.comparison import UNLIKE, Fields, LeftOut, Mark, PreferenceSource
from truing.data.conversations import ASSISTANT, split_transcripts
from truing.data.rows import numbered_rows
from truing.errors import ConfigError
from truing.records import Pair, Row, canonical_pair

PROMPTS = ("prompt", "instruction", "question", "input")

RESPONSES = (
    ("first", "second"), ("chosen", "rejected"), ("response_1", "response_2"), ("response_a", "response_b"),
    ("response1", "response2"), ("output_1", "output_2"), ("conversation_a", "conversation_b"),
)  # fmt: skip
"""Columns that hold two responses, as they are usually called."""


def stream_pairs(source: PreferenceSource) -> Iterator[tuple[Fields, Pair, bool] | LeftOut]:
    """(row, pair in its canonical order, whether that is not the row's own order), as the source is read.

    Raises:
        ConfigError: the source cannot be found, has no two columns of responses, or a row is broken; names the remedy.
    """
    columns: tuple[str, str] | None = None
    for where, row in numbered_rows(source.path):
        columns = _columns(row, where, source) if columns is None else columns
        fields = Fields(row, where, source)
        parts = _sides(fields, *columns)
        if isinstance(parts, LeftOut):
            yield parts
            continue
        prompt, first, second = parts
        if not prompt.strip() or not first.strip() or not second.strip():
            yield LeftOut(where, "the prompt or a response is empty")
        elif first.strip() == second.strip():
            yield LeftOut(where, "the two responses are identical")
        else:
            pair, swapped = canonical_pair(prompt, first, second, fields.domain())
            yield fields, pair, swapped


def stream_verdicts(
    source: PreferenceSource, verdict: str, coding: Mapping[str, Mark]
) -> Iterator[tuple[Pair, Mark | None, Mark | None] | LeftOut]:
    """(pair, verdict in one order, verdict with the responses swapped): each names a response of the canonical pair.

    A judge that was asked in one order has None for the other. `verdict` and `coding`: as in
    `truing.config.labeling.RecordedLabeler`.

    A verdict that the coding does not know is left out: a judge that wrote something else has given none.

    Raises:
        ConfigError: as `stream_pairs`; or neither one verdict nor two.
    """
    for item in stream_pairs(source):
        if isinstance(item, LeftOut):
            yield item
            continue
        fields, pair, swapped = item
        value: object = _at(fields, verdict)
        given = cast("list[object]", value) if isinstance(value, list) else [value]
        if len(given) not in (1, 2):
            raise fields.wrong(verdict, "holds neither one verdict nor two; give [as shown, swapped]")
        if any(one is None or one == "" for one in given):
            yield LeftOut(fields.where, "no verdict is recorded")
            continue
        marks: list[Mark | None] = [_mark(one, coding) for one in given]
        if None in marks:
            known = ", ".join(coding)
            yield LeftOut(fields.where, f"a verdict that is none of {known} (coding: {{value: first}})")
            continue
        one, two = marks[0], marks[1] if len(marks) == 2 else None
        # Where the canonical pair is the other way round, so are its responses and its two orders of presentation.
        yield (pair, _other(two), _other(one)) if swapped else (pair, one, two)


def _sides(fields: Fields, first: str, second: str) -> tuple[str, str, str] | LeftOut:
    """(prompt, response, response); transcripts of hh-rlhf hold their prompt themselves."""
    one, two = fields.row.get(first), fields.row.get(second)
    prompted = any(fields.row.get(name) is not None for name in PROMPTS) or "prompt" in fields.source.columns
    if prompted or not (isinstance(one, str) and isinstance(two, str) and ASSISTANT in one):
        return fields.sides(first, second)
    return split_transcripts(one, two) or LeftOut(fields.where, UNLIKE)


def _columns(row: Row, where: str, source: PreferenceSource) -> tuple[str, str]:
    if "first" in source.columns or "second" in source.columns:
        return source.columns.get("first", "first"), source.columns.get("second", "second")
    for pair in RESPONSES:
        if all(name in row for name in pair):
            return pair
    raise ConfigError(
        f"{where}: has columns {', '.join(row)}, none of which are two responses; name them"
        " (columns: {first: …, second: …})"
    )


def _at(fields: Fields, verdict: str) -> object:
    """The value in a column, or under a key of the objects in a column (`judges.GPT-4/Vanilla`)."""
    if verdict in fields.row:
        return fields.row[verdict]
    column, _, key = verdict.partition(".")
    value: object = fields.row.get(column)
    return cast("dict[str, object]", value).get(key) if isinstance(value, dict) else None


def _mark(value: object, coding: Mapping[str, Mark]) -> Mark | None:
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return coding.get(text) or coding.get(text.lower())


def _other(mark: Mark | None) -> Mark | None:
    return "second" if mark == "first" else "first" if mark == "second" else mark
