"""Human labels from the usual formats in one form: pairs with a mark, ties, votes, a strength, and where they came from.

    pairs, report = load_preferences("Anthropic/hh-rlhf/harmless-base:test")
    pairs, report = load_preferences(PreferenceSource("mine.jsonl", columns={"first": "a", "second": "b", "human": "better"}))
    both = mix([("hh", hh_pairs, 1.0), ("mine", pairs, 3.0)])

A pair's id does not depend on the order of the two responses nor on the mark: the same pair marked by others has the
same id, and where the source's order tells who won (`chosen` first), the order drawn from the id does not.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from truing.data.comparison import Comparison, Fields, Format, LeftOut, Mark, PreferenceSource
from truing.data.formats import reader_of
from truing.data.rows import numbered_rows
from truing.errors import ConfigError
from truing.records import Pair, content_id

__all__ = [
    "ImportReport",
    "LeftOut",
    "Mark",
    "MarkedPair",
    "PreferenceSource",
    "load_preferences",
    "mix",
    "stream_preferences",
]

FLIPPED: Mapping[Mark | None, Mark | None] = {"first": "second", "second": "first", "tie": "tie", None: None}
AGAIN, OTHERWISE = "the same pair again", "the same pair again, marked otherwise"


@dataclass(frozen=True, slots=True)
class MarkedPair:
    """Two responses to one prompt and what people said of them.

    `votes`: one per annotator, None where one did not vote; empty where the source has no single votes. `strength`: how
    much better, in the source's own unit (difference of scores, margin, confidence); None where it does not say.
    """

    id: str
    prompt: str
    first: str
    second: str
    human: Mark
    votes: tuple[Mark | None, ...] = ()
    domain: str = "default"
    source: str = ""
    weight: float = 1.0
    strength: float | None = None

    @property
    def pair(self) -> Pair:
        """What a labeler is shown: nothing of the marks."""
        return Pair(self.id, self.prompt, self.first, self.second, self.domain)

    def swap(self) -> "MarkedPair":
        """The same pair in the other order, marks with it."""
        human, votes = _flip(self.human), tuple(FLIPPED[vote] for vote in self.votes)
        return replace(self, first=self.second, second=self.first, human=human, votes=votes)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of one source: `rows` read, `pairs` made of them (`ties` among them), comparisons left out by reason."""

    source: str
    format: Format
    rows: int
    pairs: int
    ties: int
    left_out: Mapping[str, int]


def stream_preferences(source: PreferenceSource | str) -> Iterator[MarkedPair | LeftOut]:
    """Pairs one at a time, as the source is read; what cannot be used comes as `LeftOut`, with the reason.

    The same pair twice comes twice: nothing is remembered, so memory does not grow with the set.

    Raises:
        ConfigError: the source cannot be found, its format is not known, or a row is broken; names row and remedy.
    """
    _, rows = _read(_as_source(source))
    return chain.from_iterable(rows)


def load_preferences(source: PreferenceSource | str) -> tuple[list[MarkedPair], ImportReport]:
    """All pairs, and what became of the rest. The same pair twice (in either order) is kept once, as first marked.

    Raises:
        ConfigError: as `stream_preferences`; or no pair is left, with the reasons.
    """
    spec = _as_source(source)
    found, rows = _read(spec)
    pairs: dict[str, MarkedPair] = {}
    left_out: Counter[str] = Counter()
    count = 0
    for items in rows:
        count += 1
        for item in items:
            if isinstance(item, LeftOut):
                left_out[item.reason] += 1
            elif (known := pairs.setdefault(item.id, item)) is not item:
                turned = item if item.first == known.first else item.swap()
                left_out[AGAIN if turned.human == known.human else OTHERWISE] += 1
    if not pairs:
        reasons = "; ".join(f"{reason} ({n})" for reason, n in left_out.most_common(3))
        raise ConfigError(
            f"{spec.path}: none of its {count} rows holds a pair that can be used: {reasons};"
            " mend the rows, or say how they are read (format, columns, coding)"
        )
    ties = sum(pair.human == "tie" for pair in pairs.values())
    report = ImportReport(_name(spec), found, count, len(pairs), ties, dict(left_out.most_common()))
    return list(pairs.values()), report


def mix(sources: Sequence[tuple[str, Sequence[MarkedPair], float]]) -> list[MarkedPair]:
    """Pairs of several (name, pairs, weight), each with its source's name and its share of that source's weight.

    With W_s the weight asked for source s, u_i the weight that pair i of it came with, and N pairs in all,
    w_i = N · W_s / Σ_t W_t · u_i / Σ_{j in s} u_j. So a source's pairs weigh W_s / Σ_t W_t of the whole, however many
    they are, and the mean weight is 1. A pair in two sources stays in both, each with its own mark.

    Raises:
        ConfigError: no source, a name twice, a source without pairs, a weight that is not above 0.
    """
    names = [name for name, _, _ in sources]
    for name, pairs, weight in sources:
        if names.count(name) > 1:
            raise ConfigError(f"mix: two sources are named {name!r}; give each its own name")
        if not (math.isfinite(weight) and weight > 0):
            raise ConfigError(
                f"mix: source {name!r} has weight {weight}; give a number above 0, or leave the source out"
            )
        if not pairs or not all(math.isfinite(pair.weight) and pair.weight > 0 for pair in pairs):
            raise ConfigError(f"mix: source {name!r} has no pairs, or one whose weight is not above 0; leave them out")
    if not sources:
        raise ConfigError("mix: there is no source; give at least one")
    count = sum(len(pairs) for _, pairs, _ in sources)
    total = math.fsum(weight for _, _, weight in sources)
    mixed: list[MarkedPair] = []
    for name, pairs, weight in sources:
        scale = count * (weight / total) / math.fsum(pair.weight for pair in pairs)
        mixed.extend(replace(pair, source=name, weight=scale * pair.weight) for pair in pairs)
    return mixed


def _read(source: PreferenceSource) -> tuple[Format, Iterator[list[MarkedPair | LeftOut]]]:
    """The format, and what each row holds."""
    rows = numbered_rows(source.path)
    where, first = next(rows)
    name, read = reader_of(first, where, source)
    fields = (Fields(row, place, source) for place, row in chain([(where, first)], rows))
    return name, ([_marked(item, row) for item in read(row)] for row in fields)


def _marked(item: Comparison | LeftOut, row: Fields) -> MarkedPair | LeftOut:
    if isinstance(item, LeftOut):
        return item
    prompt, a, b = item.prompt, item.a, item.b
    if not prompt.strip():
        return LeftOut(row.where, "the prompt is empty")
    if not a.strip() or not b.strip():
        return LeftOut(row.where, "a response is empty")
    if a.strip() == b.strip():
        return LeftOut(row.where, "the two responses are identical")
    low, high = sorted((a, b))
    key = content_id(prompt, low, high)
    if item.human is None:
        votes: tuple[Mark | None, ...] = item.votes if a == low else tuple(FLIPPED[vote] for vote in item.votes)
        return LeftOut(row.where, "no mark has the majority of the annotators", key, votes)
    pair = MarkedPair(key, prompt, a, b, item.human, item.votes, item.domain, _name(row.source), strength=item.strength)
    lower_first = int(key, 16) % 2 == 0
    return pair.swap() if item.shuffle and (a == low) != lower_first else pair


def _flip(mark: Mark) -> Mark:
    return "tie" if mark == "tie" else "second" if mark == "first" else "first"


def _as_source(source: PreferenceSource | str) -> PreferenceSource:
    return PreferenceSource(source) if isinstance(source, str) else source


def _name(source: PreferenceSource) -> str:
    return source.name or source.path
