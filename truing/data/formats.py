"""Formats of human preference sets: one row -> the comparisons in it. A row that holds none says why.

A format is a reader here; where a set is, how its pairs are named and counted is in `preferences`.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from truing.data.comparison import (
    UNLIKE,
    Comparison,
    Fields,
    Format,
    LeftOut,
    Mark,
    PreferenceSource,
    Reading,
    as_number,
)
from truing.data.conversations import ASSISTANT, split_transcripts
from truing.data.pairwise import Layout, layout_of, pairwise
from truing.errors import ConfigError
from truing.records import Row

UNKNOWN = (
    "has columns {columns}, which is none of the known formats: prompt + chosen + rejected (text or messages),"
    " chosen + rejected (hh-rlhf transcripts), info + summaries + choice, instruction + completions,"
    " question + predictions + preferences, or two responses and a mark or votes; name the columns"
    " (columns: {{first: …, second: …, human: …}}) and what the marks mean (coding: {{value: first}})"
)


def reader_of(first: Row, where: str, source: PreferenceSource) -> tuple[Format, Callable[[Fields], Reading]]:
    """The format of a set by its first row, unless it is named, and the function that reads its rows.

    Raises:
        ConfigError: the row fits no format, or no layout where the format is said to be pairwise.
    """
    layout = layout_of(first, source)
    name = _detected(first, source, layout) if source.format == "auto" else source.format
    if name == "pairwise" and layout is not None:
        return name, partial(pairwise, layout=layout)
    if name is None or name == "pairwise":
        raise ConfigError(f"{where}: {UNKNOWN.format(columns=', '.join(first))}")
    return name, READERS[name]


def _detected(first: Row, source: PreferenceSource, layout: Layout | None) -> Format | None:
    there = set(first) | (set(source.columns) - {"domain", "strength"})
    if {"chosen", "rejected"} <= there:
        chosen = first.get(source.columns.get("chosen", "chosen"))
        prompted = there & {"prompt", "instruction", "question", "input"}
        return "hh" if isinstance(chosen, str) and ASSISTANT in chosen and not prompted else "chosen_rejected"
    if {"info", "summaries", "choice"} <= there:
        return "comparisons"
    if "completions" in there:
        return "scores"
    if {"predictions", "preferences"} <= there:
        return "listed"
    return "pairwise" if layout is not None else None


def chosen_rejected(row: Fields) -> Reading:
    """`prompt`, `chosen`, `rejected`: text, or messages as on the Hub. `score_chosen`/`score_rejected` give strength and ties."""
    parts = row.sides(row.column("chosen"), row.column("rejected"))
    scores = row.number("score_chosen"), row.number("score_rejected")
    gap = None if scores[0] is None or scores[1] is None else scores[0] - scores[1]
    if isinstance(parts, LeftOut):
        yield parts
    elif gap is not None and gap < 0:
        yield LeftOut(row.where, "the chosen response has the lower score")
    else:
        strength = row.strength("first") if gap is None else gap
        if isinstance(strength, LeftOut):
            yield strength
        else:
            yield Comparison(*parts, "tie" if gap == 0 else "first", row.domain(), strength=strength, shuffle=True)


def hh(row: Fields) -> Reading:
    """hh-rlhf: `chosen`, `rejected` are transcripts with a shared beginning, which is the prompt."""
    parts = split_transcripts(row.text(row.column("chosen")), row.text(row.column("rejected")))
    if parts is None:
        yield LeftOut(row.where, UNLIKE)
    else:
        yield Comparison(*parts, "first", row.domain(), shuffle=True)


def comparisons(row: Fields) -> Reading:
    """Summarise-from-feedback (Stiennon et al., 2009.01325): a post or an article, two `summaries`, the `choice` of one.

    `extra.confidence` runs from 1 (surely the first) over 5 to 9 (surely the second); the strength is |confidence - 5|.
    """
    info, extra = _mapping(row, "info"), row.row.get("extra")
    more = cast("dict[str, Any]", extra) if isinstance(extra, dict) else {}
    summaries = row.items("summaries")
    texts = [cast("dict[str, Any]", item).get("text") for item in summaries if isinstance(item, dict)]
    if len(texts) != 2 or not all(isinstance(text, str) for text in texts):
        raise row.wrong("summaries", 'does not hold two {"text": …}; give two')
    body = info.get("post") or info.get("article")
    if not isinstance(body, str):
        raise row.wrong("info", "has neither 'post' nor 'article' as text; give one")
    confidence = as_number(more.get("confidence"))
    if confidence is not None and not 1 <= confidence <= 9:
        raise row.wrong("extra", f"has confidence {confidence:g}, outside 1 to 9; mend it")
    choice = row.row.get("choice")
    if choice is None:
        yield LeftOut(row.where, "no choice was made")
    elif choice not in (0, 1):
        raise row.wrong("choice", f"is {choice!r}, neither 0 nor 1; mend it")
    else:
        prompt = f"{info['title']}\n\n{body}" if info.get("title") else body
        human: Mark = "second" if choice else "first"
        domain = str(info.get("subreddit") or info.get("site") or row.domain())
        strength = None if confidence is None else abs(confidence - 5)
        first, second = cast("list[str]", texts)
        yield Comparison(prompt, first, second, human, domain, strength=strength)


def scores(row: Fields) -> Reading:
    """UltraFeedback (Cui et al., 2310.01377): completions with scores -> pairs; the strength is the difference."""
    scored: list[tuple[str, float]] = []
    kind = _kind(row.items("completions"))
    for item in row.items("completions"):
        completion = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
        if not isinstance(completion.get("response"), str):
            raise row.wrong("completions", "has an item without 'response' as text; give one")
        score = _score(row, completion, kind)
        if score is None:
            yield LeftOut(row.where, "a completion has no score that can be read")
        else:
            scored.append((completion["response"], score))
    if len(scored) < 2:
        yield LeftOut(row.where, "fewer than two scored completions")
    if row.source.pairs == "best":
        best = max(range(len(scored)), key=lambda i: scored[i][1], default=0)
        places = [(best, other) for other in range(len(scored)) if other != best]
    else:
        places = [(i, j) for i in range(len(scored)) for j in range(i + 1, len(scored))]
    for (a, score_a), (b, score_b) in ((scored[i], scored[j]) for i, j in places):
        human: Mark = "tie" if score_a == score_b else "first" if score_a > score_b else "second"
        yield Comparison(row.prompt(), a, b, human, row.domain(), strength=abs(score_a - score_b), shuffle=True)


def _kind(completions: list[Any]) -> str | None:
    """The score that decides where none was asked for: one kind a row, for each has its own scale; None is the ratings."""
    rows = [cast("dict[str, Any]", item) for item in completions if isinstance(item, dict)]
    kinds = ("overall_score", "fine-grained_score")
    return next((kind for kind in kinds if any(as_number(item.get(kind)) is not None for item in rows)), None)


def _score(row: Fields, completion: Mapping[str, Any], kind: str | None) -> float | None:
    """The score that was asked for, else that of `kind`; None where it is not a number ("N/A")."""
    annotations: object = completion.get("annotations")
    aspects = cast("dict[str, Any]", annotations) if isinstance(annotations, dict) else {}
    ratings = {name: as_number(_rating(aspect)) for name, aspect in aspects.items()}
    wanted = row.source.score
    if wanted is not None:
        if wanted not in completion and wanted not in ratings:
            there = ", ".join(sorted(set(completion) - {"annotations", "response"} | set(ratings)))
            raise row.wrong("completions", f"has an item without the score {wanted!r}; choose one of {there}")
        return ratings[wanted] if wanted in ratings else as_number(completion[wanted])
    if kind is not None:
        return as_number(completion.get(kind))
    found = [rating for rating in ratings.values() if rating is not None]
    return sum(found) / len(found) if found else None


def _rating(aspect: object) -> object:
    return cast("dict[str, object]", aspect).get("Rating") if isinstance(aspect, dict) else aspect


def listed(row: Fields) -> Reading:
    """QA-Feedback (Wu et al., 2306.01693): `predictions`, and `preferences` [a, b, v]: v 1 is for a, 2 for b, 0 for neither."""
    predictions = row.items("predictions")
    if not all(isinstance(prediction, str) for prediction in predictions):
        raise row.wrong("predictions", "holds an item that is not text; give text")
    passages = row.items("passages") if row.row.get("passages") else []
    paragraphs = [_paragraph(passage, row) for passage in passages]
    prompt = "\n\n".join([*paragraphs, row.prompt()])
    marks: dict[object, Mark] = {0: "tie", 1: "first", 2: "second"}
    for preference in row.items("preferences"):
        try:
            a, b, verdict = preference
            if a < 1 or b < 1:
                raise IndexError
            pair, human = (predictions[a - 1], predictions[b - 1]), marks[verdict]
        except (TypeError, ValueError, LookupError):
            raise row.wrong("preferences", f"holds {preference!r}; give [a, b, verdict], counted from 1") from None
        yield Comparison(prompt, *pair, human, row.domain())


def _paragraph(passage: object, row: Fields) -> str:
    """A passage as one text: it is one, or a list of sentences."""
    sentences = cast("list[object]", passage) if isinstance(passage, list) else [passage]
    if not all(isinstance(sentence, str) for sentence in sentences):
        raise row.wrong("passages", "holds an item that is neither text nor a list of sentences; give one of the two")
    return " ".join(cast("list[str]", sentences))


def _mapping(row: Fields, column: str) -> dict[str, Any]:
    value = row.row.get(column)
    if not isinstance(value, dict):
        raise row.wrong(column, "is not an object; give one")
    return cast("dict[str, Any]", value)


READERS: dict[Format, Callable[[Fields], Reading]] = {
    "chosen_rejected": chosen_rejected,
    "hh": hh,
    "comparisons": comparisons,
    "scores": scores,
    "listed": listed,
}
