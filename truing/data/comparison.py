"""The nouns of a human preference set: where it is, what people said of two responses, and one row of it, read with care."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from truing.data.conversations import conversation_text, is_messages, messages, split_messages
from truing.errors import ConfigError
from truing.records import Row

Mark = Literal["first", "second", "tie"]
Format = Literal["chosen_rejected", "hh", "comparisons", "scores", "pairwise", "listed"]
NOUNS = ("prompt", "chosen", "rejected", "first", "second", "human", "votes", "domain", "strength")


@dataclass(frozen=True, slots=True)
class PreferenceSource:
    """One set of human labels: where it is and how it is read.

    `path`: as `rows.numbered_rows`. `columns`: our noun (prompt, chosen, rejected, first, second, human, votes, domain,
    strength) -> the file's own column. `coding`: each value of the mark, as text -> "first", "second" or "tie".
    `pairs`: of scored completions, every two ("all") or the best against each other one ("best"). `score`: which score
    or rating decides; None takes overall_score, else fine-grained_score, else the mean of the ratings.
    `domain`: where a row names none. `name`: the source's name in the pairs; its path where empty.
    """

    path: str
    format: Literal["auto"] | Format = "auto"
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    coding: Mapping[str, Mark] = field(default_factory=dict[str, Mark])
    pairs: Literal["all", "best"] = "all"
    score: str | None = None
    domain: str = "default"
    name: str = ""

    def __post_init__(self) -> None:
        if self.format != "auto" and self.format not in get_args(Format):
            raise ConfigError(f"format {self.format!r} is unknown; use auto, {', '.join(get_args(Format))}")
        if unknown := set(self.columns) - set(NOUNS):
            raise ConfigError(f"columns: {min(unknown)!r} is none of {', '.join(NOUNS)}")
        if wrong := set(self.coding.values()) - set(get_args(Mark)):
            raise ConfigError(f"coding: a mark means first, second or tie, not {min(wrong)!r}")
        if self.pairs not in ("all", "best"):
            raise ConfigError(f"pairs {self.pairs!r} is unknown; use all or best")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What people said of two responses. `human`: None where they are at odds. `shuffle`: the source's order tells who won, so
    another must be drawn."""

    prompt: str
    a: str
    b: str
    human: Mark | None
    domain: str
    votes: tuple[Mark | None, ...] = ()
    strength: float | None = None
    shuffle: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A comparison that cannot be used, with the place and the reason.

    Where its annotators are at odds, the pair's `id` and their `votes`, in the order of the sorted responses: how far people
    agree is counted with those on whom they do not.
    """

    where: str
    reason: str
    id: str = ""
    votes: tuple[Mark | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Fields:
    """One row and its place; every refusal names the row, the column and the remedy."""

    row: Row
    where: str
    source: PreferenceSource

    def column(self, noun: str, *others: str) -> str:
        """The file's own column for `noun`: the one that was named, else the first of `noun` and `others` in the row."""
        if noun in self.source.columns:
            return self.source.columns[noun]
        return next((name for name in (noun, *others) if self.row.get(name) is not None), noun)

    def wrong(self, column: str, what: str) -> ConfigError:
        return ConfigError(f"{self.where}: {column!r} {what}, or remove the row")

    def text(self, column: str) -> str:
        value = self.row.get(column)
        if not isinstance(value, str):
            raise self.wrong(column, "is not text; give text there, name the right column (columns: {noun: column})")
        return value

    def items(self, column: str) -> list[Any]:
        value = self.row.get(column)
        if not isinstance(value, list):
            raise self.wrong(column, "is not a list; give a list there")
        return cast("list[Any]", value)

    def number(self, column: str) -> float | None:
        """None where the row has no such value."""
        value = self.row.get(column)
        if value is None:
            return None
        number = as_number(value)
        if number is None:
            raise self.wrong(column, "is not a finite number; give a number, or null, there")
        return number

    def prompt(self) -> str:
        """Text or messages. An `input` beside an `instruction` follows it after a blank line."""
        column = self.column("prompt", "instruction", "question", "input")
        if is_messages(self.row.get(column)):
            return conversation_text(self.messages(column))
        extra = self.row.get("input") if column == "instruction" else None
        return f"{self.text(column)}\n\n{extra}" if extra else self.text(column)

    def messages(self, column: str) -> tuple[tuple[str, str], ...]:
        try:
            found = messages(self.row[column])
        except ValueError as error:
            raise self.wrong(column, f"holds no conversation ({error}); mend it") from None
        if not found:
            raise self.wrong(column, "is an empty conversation; give its messages")
        return found

    def sides(self, a: str, b: str) -> "tuple[str, str, str] | LeftOut":
        """(prompt, response, response) from two columns of text beside a prompt, or of whole conversations.

        `LeftOut` where there is no shared prompt, or where a response is true or false instead of text: some converter
        read it so (six rows of PandaLM's human set), and how it was written is lost.
        """
        if isinstance(self.row.get(a), bool) or isinstance(self.row.get(b), bool):
            return LeftOut(self.where, NOT_TEXT)
        if not is_messages(self.row.get(a)):
            return self.prompt(), self.text(a), self.text(b)
        if not is_messages(self.row.get(b)):
            raise self.wrong(b, f"holds no messages while {a!r} does; give both in the same form")
        parts = split_messages(self.messages(a), self.messages(b))
        return (parts[0] or self.prompt(), *parts[1:]) if parts else LeftOut(self.where, UNLIKE)

    def domain(self) -> str:
        return str(self.row.get(self.column("domain", "category", "scenario", "subset")) or self.source.domain)

    def strength(self, human: Mark) -> "float | LeftOut | None":
        """How much better the winner is, 0 or more; None where the row does not say.

        A number below 0 is the first response minus the second. `LeftOut` where that is not who won.
        """
        column = self.column("strength", "margin")
        found = self.number(column)
        if found is None or found >= 0:
            return found
        return -found if human == "second" else LeftOut(self.where, AGAINST.format(column))


Reading = Iterator[Comparison | LeftOut]
"""What one row holds."""

UNLIKE = "the two conversations share no turn that the assistant answers"
NOT_TEXT = "a response is true or false, not text"
AGAINST = "{!r} is below 0, against the mark; give how much better the winner is, or the first minus the second"


def as_number(value: object) -> float | None:
    """A finite number, also one written as text; None for anything else ("N/A")."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
