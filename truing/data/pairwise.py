"""Pairwise sets with ties: two columns of responses and what people said of them, one mark or one vote per annotator."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from truing.data.comparison import Comparison, Fields, LeftOut, Mark, PreferenceSource, Reading
from truing.records import Row

NAMED: Mapping[str, Mark] = {
    "first": "first", "model_a": "first", "response_1": "first", "response_a": "first", "a": "first",
    "second": "second", "model_b": "second", "response_2": "second", "response_b": "second", "b": "second",
    "tie": "tie", "tie (bothbad)": "tie", "both_bad": "tie",
}  # fmt: skip
"""Marks that say what they mean."""

ANNOTATOR = re.compile(r"annotator_?(\d+)")


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of one known set. `human` is empty where the mark is the majority of the annotators or of the votes.

    `also` must be there too: a number alone does not say which response it means, so that a file which merely has the
    same column names is not read in another's coding.
    """

    first: str
    second: str
    human: str
    coding: Mapping[str, Mark]
    also: str = ""

    def fits(self, row: Row) -> bool:
        return all(name in row for name in (self.first, self.second, self.human, self.also) if name)


LAYOUTS = (
    Layout("first", "second", "human", NAMED),
    # Chatbot Arena and MT-bench's human judgements (Zheng et al., 2306.05685)
    Layout("conversation_a", "conversation_b", "winner", NAMED),
    Layout("response_a", "response_b", "winner", NAMED),
    # Auto-J (Li et al., 2310.05470), with and without the winner in words
    Layout("response_1", "response_2", "winner", NAMED),
    Layout("response_1", "response_2", "label", {"0": "first", "1": "second", "2": "tie"}, also="scenario"),
    # LLMBar (Zeng et al., 2310.07641)
    Layout("output_1", "output_2", "label", {"1": "first", "2": "second"}),
    # PandaLM (Wang et al., 2306.05087)
    Layout("response1", "response2", "", {"0": "tie", "1": "first", "2": "second"}, also="cmp_key"),
)


PAIRED = tuple(dict.fromkeys((layout.first, layout.second) for layout in LAYOUTS))
"""Columns of two responses, as the known sets call them."""


def layout_of(row: Row, source: PreferenceSource) -> Layout | None:
    """The layout of a set whose first row this is: the named columns, else the first known layout that fits.

    A set without a mark that is known has single votes: a list of them beside two responses is enough.
    """
    named = source.columns
    if "first" in named or "second" in named:
        human = named.get("human", "human" if "human" in row else "")
        return Layout(named.get("first", "first"), named.get("second", "second"), human, NAMED)
    votes = named.get("votes", "votes")
    voted = (Layout(*columns, "", NAMED, also=votes) for columns in PAIRED if isinstance(row.get(votes), list))
    return next((layout for layout in chain(LAYOUTS, voted) if layout.fits(row)), None)


def pairwise(row: Fields, layout: Layout) -> Reading:
    """One comparison; the mark is the named column's, else that of more than half of the annotators.

    Raises:
        ConfigError: a text or conversation is absent, or a mark that the coding does not know.
    """
    parts = row.sides(layout.first, layout.second)
    coding = row.source.coding or layout.coding
    votes = _votes(row, coding)
    column = row.source.columns.get("human", layout.human)
    human = _mark(row, column, row.row.get(column), coding) if column else majority(votes)
    if isinstance(parts, LeftOut):
        yield parts
    elif human is not None:
        strength = row.strength(human)
        left_out = isinstance(strength, LeftOut)
        yield strength if left_out else Comparison(*parts, human, row.domain(), votes, strength)
    elif any(votes):
        yield Comparison(*parts, None, row.domain(), votes)
    else:
        yield LeftOut(row.where, "nobody has marked it")


def _votes(row: Fields, coding: Mapping[str, Mark]) -> tuple[Mark | None, ...]:
    """One vote per annotator: the list in the `votes` column, or the columns annotator1, annotator2, …"""
    column = row.source.columns.get("votes", "votes")
    if isinstance(row.row.get(column), list):
        return tuple(_mark(row, column, value, coding) for value in row.items(column))
    found = sorted((int(match[1]), name) for name in row.row if (match := ANNOTATOR.fullmatch(name)))
    return tuple(_mark(row, name, row.row[name], coding) for _, name in found)


def _mark(row: Fields, column: str, value: object, coding: Mapping[str, Mark]) -> Mark | None:
    if value is None or value == "":
        return None
    key = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    mark = coding.get(key) or coding.get(key.lower())
    if mark is None:
        known = ", ".join(coding)
        raise row.wrong(column, f"is {value!r}, none of {known}; say what each value means (coding: {{value: first}})")
    return mark


def majority(votes: tuple[Mark | None, ...]) -> Mark | None:
    """The mark of more than half of the votes cast (None is a vote not cast); None where there is no such mark."""
    cast_votes: Counter[Mark] = Counter(vote for vote in votes if vote is not None)
    return next((mark for mark, n in cast_votes.items() if 2 * n > cast_votes.total()), None)
