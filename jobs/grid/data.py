"""The items of a grid's data sets as questions: each in every wording, with what answers are compared with.

questions = load_prompt_set(PromptSet(name="xsum", path="xsum_1k.jsonl.gz", prompt="document"))
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from truing.config.grid import ChoiceSet, PromptSet, Templates
from truing.data.demonstrations import load_demonstrations
from truing.data.wordings import at, fields_of, fill, read_yaml, text_of
from truing.errors import ConfigError
from truing.evaluation.recorded_fields import RecordedRow, recorded_rows
from truing.records import Row, content_id


@dataclass(frozen=True, slots=True)
class Question:
    """One item of a data set in one wording. `item` is the same in every wording; `wording` its number as text, "" if alone.

    `choices` and `right`, the number of the correct one, are those of a question with choices. `row`: the data's own row.
    """

    item: str
    wording: str
    prompt: str
    references: tuple[str, ...] = ()
    domain: str = "default"
    choices: tuple[str, ...] = ()
    right: int = 0
    row: Mapping[str, Any] = field(default_factory=dict[str, Any], compare=False, repr=False)


def key_of(question: Question) -> str:
    """A question of a data set: item and wording."""
    return f"{question.item}/{question.wording}"


def load_prompt_set(data: PromptSet) -> list[Question]:
    """Every prompt once, item by item in each wording.

    Raises:
        ConfigError: the source cannot be read, a row lacks a column, a template a field, or no prompt is left.
    """
    prompts = _distinct(data, recorded_rows(data.path, data.where))
    if data.limit is not None:
        prompts = iter(heapq.nsmallest(data.limit, prompts, key=lambda one: content_id("limit", one[0])))
    wordings = load_templates(data.wordings) if data.wordings else ()
    found: list[Question] = []
    for prompt, where, row in prompts:
        references = _references(data.reference, row, where)
        for wording, text in _worded(prompt, wordings, data.wordings, row, where):
            found.append(Question(content_id("item", prompt), wording, text, references, data.domain, row=row))
    if not found:
        raise ConfigError(f"{data.path}: no prompt is left for {data.name!r}; mend `where`, `longest` or `prompt`")
    return found


def load_choice_set(data: ChoiceSet) -> list[Question]:
    """Every question with choices, in each wording. Raises ConfigError as `load_demonstrations`, or for a template's field."""
    wordings = load_templates(data.wordings) if data.wordings else ()
    return [
        Question(one.id, wording, text, (one.answer,), one.task, one.choices, one.choices.index(one.answer))
        for one in load_demonstrations(data.examples)[0]
        for wording, text in _worded(one.prompt, wordings, data.wordings, one.fields, f"{data.examples.path}: {one.id}")
    ]


def load_templates(settings: Templates) -> tuple[str, ...]:
    """The templates of a file, each once, in its order.

    Raises:
        ConfigError: the file cannot be read, or holds none.
    """
    if settings.path.endswith((".yaml", ".yml")):
        given: Sequence[object] = read_yaml(settings.path, "`prompts`").get("prompts") or []
        texts = [text for text in given if isinstance(text, str)]
    else:
        rows = recorded_rows(settings.path, settings.where)
        texts = [text for row in rows if (text := row.text(settings.column))]
    found = tuple(dict.fromkeys(text.replace("\\n", "\n") for text in texts))[: settings.limit]
    if not found:
        raise ConfigError(f"{settings.path}: holds no template; mend `where` or `column`")
    return found


def _worded(
    prompt: str, wordings: Sequence[str], settings: Templates | None, fields: Mapping[str, Any], where: str
) -> Iterator[tuple[str, str]]:
    """(number, text) of each wording; the prompt itself where there is none."""
    if settings is None:
        yield "", prompt
        return
    named = {**fields, **{field: at(fields, column, where) for field, column in settings.fields.items()}}
    for number, template in enumerate(wordings, 1):
        yield str(number), fill(template, named, f"{where}, template {number} of {settings.path}")


def _distinct(data: PromptSet, rows: Iterator[RecordedRow]) -> Iterator[tuple[str, str, Row]]:
    seen: set[str] = set()
    for one in rows:
        where, row = one.where, one.row
        prompt = prompt_text(data.prompt, row, where)
        fits = prompt.strip() and (data.longest is None or len(prompt) <= data.longest)
        if fits and prompt not in seen:
            seen.add(prompt)
            yield prompt, where, row


def prompt_text(wanted: str, row: Row, where: str) -> str:
    """A template filled in, or a column as it is."""
    return fill(wanted, row, where) if fields_of(wanted) else text_of(at(row, wanted, where), where, wanted)


def _references(column: str | None, row: Row, where: str) -> tuple[str, ...]:
    if column is None:
        return ()
    if fields_of(column):
        return (fill(column, row, where),)
    value = at(row, column, where)
    listed: list[object] = list(value) if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownArgumentType]
    return tuple(text for one in listed if (text := text_of(one, where, column)))
