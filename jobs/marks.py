"""Human labels of a study: where they are, what is in them, and the requests that put their pairs to a labeler."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import chain
from typing import Literal, cast

from truing.config.stages import HumanLabels, MarkedPairs, UnmarkedPairs
from truing.data.comparison import LeftOut, Mark, PreferenceSource
from truing.data.preferences import ImportReport, MarkedPair, load_preferences, mix, stream_preferences
from truing.data.unmarked import stream_pairs
from truing.records import Pair, canonical_pair, content_id


@dataclass(frozen=True)
class Survey:
    """What is in the sources, before anything is started: domains, numbers, and a key that changes with any pair."""

    pairs: int
    ties: int
    domains: tuple[str, ...]
    left_out: Mapping[str, int]
    key: str


@dataclass(frozen=True, slots=True)
class MarkedQuestion:
    """A pair in its canonical order, with what people said of that order."""

    pair: Pair
    human: Mark
    votes: tuple[Mark | None, ...]
    source: str
    weight: float


def sources(marked: MarkedPairs) -> tuple[HumanLabels, ...]:
    """All sources of the marked pairs."""
    return (marked, *marked.more)


def source_of(labels: HumanLabels) -> PreferenceSource:
    """A source as the library reads it; `demo` is the embedded pairs."""
    embedded = str(resources.files("truing.data").joinpath("demo", "pairs.jsonl"))
    path, name = (embedded, "demo") if labels.path == "demo" else (labels.path, labels.name or labels.path)
    coding = cast("Mapping[str, Literal['first', 'second', 'tie']]", labels.coding)
    return PreferenceSource(
        path, labels.format, labels.columns, coding, labels.pairs, labels.score, labels.domain, labels.name or name
    )


def survey(labels: Sequence[HumanLabels]) -> Survey:
    """Read every source once, a row at a time.

    Raises:
        ConfigError: a source that cannot be read, or a broken row; names row and remedy.
    """

    def seen() -> Iterator[tuple[str, str, Mark] | LeftOut]:
        for item in chain.from_iterable(stream_preferences(source_of(one)) for one in labels):
            yield item if isinstance(item, LeftOut) else (item.id, item.domain, item.human)

    return _survey(seen(), [one.model_dump(mode="json") for one in labels])


def survey_unmarked(pairs: UnmarkedPairs) -> Survey:
    """The same of pairs that are to be labelled."""

    def seen() -> Iterator[tuple[str, str, None] | LeftOut]:
        for item in stream_pairs(PreferenceSource(pairs.path, columns=pairs.columns, domain=pairs.domain)):
            yield item if isinstance(item, LeftOut) else (item[1].id, item[1].domain, None)

    return _survey(seen(), pairs.model_dump(mode="json"))


def _survey(seen: Iterator[tuple[str, str, Mark | None] | LeftOut], settings: object) -> Survey:
    """What comes by: ids, domains and marks of the pairs, and the comparisons that cannot be used."""
    domains: set[str] = set()
    left_out: Counter[str] = Counter()
    pairs = ties = 0
    key = content_id("survey", settings)
    for item in seen:
        if isinstance(item, LeftOut):
            left_out[item.reason] += 1
            continue
        name, domain, human = item
        pairs, ties = pairs + 1, ties + (human == "tie")
        domains.add(domain)
        key = content_id(key, name, human)
    return Survey(pairs, ties, tuple(sorted(domains)), dict(left_out), key)


def load(labels: Sequence[HumanLabels]) -> tuple[list[MarkedPair], list[ImportReport]]:
    """The pairs of all sources with their weights, and what became of each source. A pair in two sources is there twice."""
    loaded = [load_preferences(source_of(one)) for one in labels]
    named = [
        (report.source, _limited(pairs, one.limit), one.weight)
        for one, (pairs, report) in zip(labels, loaded, strict=True)
    ]
    return mix(named) if named else [], [report for _, report in loaded]


def questions(labels: Sequence[HumanLabels]) -> Iterator[MarkedQuestion]:
    """Marked pairs as a labeler is to see them: in their canonical order, marks turned with them."""
    pairs, _ = load(labels)
    for marked in pairs:
        pair, swapped = canonical_pair(marked.prompt, marked.first, marked.second, marked.domain)
        turned = marked.swap() if swapped else marked
        yield MarkedQuestion(pair, turned.human, turned.votes, turned.source, turned.weight)


def _limited(pairs: list[MarkedPair], limit: int | None) -> list[MarkedPair]:
    if limit is None or len(pairs) <= limit:
        return pairs
    kept = {pair.id for pair in sorted(pairs, key=lambda pair: content_id("limit", pair.id))[:limit]}
    return [pair for pair in pairs if pair.id in kept]
