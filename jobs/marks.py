"""Human labels of a study: where they are, what is in them, and the requests that put their pairs to a labeler."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from itertools import chain
from typing import Any, Literal, cast

from truing.config.stages import HumanLabels, MarkedPairs, UnmarkedPairs
from truing.config.study import Study
from truing.data.comparison import LeftOut, Mark, PreferenceSource
from truing.data.preferences import (
    AGAIN,
    OTHERWISE,
    ImportReport,
    MarkedPair,
    load_preferences,
    mix,
    stream_preferences,
)
from truing.data.unmarked import stream_pairs
from truing.errors import ConfigError
from truing.records import Pair, canonical_pair, content_id

PLACES = 100
"""Rows of each reason that are named where rows are left out; all of them are counted."""


@dataclass(frozen=True)
class Survey:
    """What is in the sources, before anything is started: domains, numbers, and a key that changes with any pair, its domain
    and all that people said of it.

    `left_out` counts what cannot be used, by reason; `places` says where the first of them stand.
    """

    pairs: int
    ties: int
    domains: tuple[str, ...]
    left_out: Mapping[str, int]
    places: Mapping[str, tuple[str, ...]]
    key: str
    votes: tuple[tuple[Mark | None, ...], ...]
    """Of each pair that annotators have voted on, also of those that are left out because they are at odds."""

    def note(self) -> str:
        """What was left out, in a line; empty where nothing was."""
        reasons = "; ".join(f"{reason} ({n})" for reason, n in self.left_out.items())
        return f"{sum(self.left_out.values())} left out: {reasons}" if reasons else ""

    def left_out_rows(self) -> list[dict[str, Any]]:
        """What was left out, for the run folder: reason, number, and the first `PLACES` places."""
        return [{"reason": reason, "n": n, "where": self.places[reason]} for reason, n in self.left_out.items()]


@dataclass(frozen=True, slots=True)
class MarkedQuestion:
    """A pair in its canonical order, with what people said of that order."""

    pair: Pair
    human: Mark
    votes: tuple[Mark | None, ...]
    source: str
    weight: float
    strength: float | None
    """By how much, in the source's own unit; None where it does not say."""


def sources(marked: MarkedPairs) -> tuple[HumanLabels, ...]:
    """All sources of the marked pairs; none where `label.marked` is null."""
    return tuple(one for one in (marked, *marked.more) if one.path)


def check_marked(study: Study) -> None:
    """See that the labeler can be measured, or that it need not be.

    Raises:
        ConfigError: there are no marked pairs, and a calibration or a gate that stops wants some.
    """
    label = study.label
    if sources(label.marked):
        return
    if label.calibration is not None:
        raise ConfigError(
            "label.calibration: is fitted on marked pairs, and label.marked is null; give label.marked, or leave it out"
        )
    if label.gate.on_failure == "stop" and (study.sample is not None or label.pairs is not None):
        raise ConfigError(
            "label.gate: cannot be judged without marked pairs (label.marked is null); give label.marked, or set"
            " label.gate.on_failure=warn to label without knowing how far to trust the labeler"
        )


def source_of(labels: HumanLabels) -> PreferenceSource:
    """A source as the library reads it; `demo` is the embedded pairs."""
    embedded = str(resources.files("truing.data").joinpath("demo", "pairs.jsonl"))
    path, name = (embedded, "demo") if labels.path == "demo" else (labels.path, labels.name or labels.path)
    coding = cast("Mapping[str, Literal['first', 'second', 'tie']]", labels.coding)
    return PreferenceSource(
        path, labels.format, labels.columns, coding, labels.pairs, labels.score, labels.domain, labels.name or name
    )


def survey(labels: Sequence[HumanLabels]) -> Survey:
    """Read every source once, a row at a time: the pairs are those of `load`, and only their ids are held.

    Raises:
        ConfigError: a source that cannot be read, or a broken row, with row and remedy; two sources of one name.
    """
    names = Counter(source_of(one).name for one in labels)
    for name, n in names.items():
        if n > 1:
            raise ConfigError(f"label.marked: {n} sources are named {name!r}; give each its own name (name: …)")
    seen = chain.from_iterable(_marked(one) for one in labels)
    return _survey(seen, [one.model_dump(mode="json") for one in labels])


def survey_unmarked(pairs: UnmarkedPairs) -> Survey:
    """The same of pairs that are to be labelled. No more ids are held than `limit`, so that without one a pair that is
    given twice counts twice.
    """
    return _survey(_unmarked(pairs), pairs.model_dump(mode="json"))


@dataclass(frozen=True, slots=True)
class _Seen:
    """A pair without its text; `said` is all that people said of it, in its canonical order."""

    id: str
    domain: str
    human: Mark | None
    said: str = ""
    votes: tuple[Mark | None, ...] = ()


def _marked(labels: HumanLabels) -> Iterator[_Seen | LeftOut]:
    """Each pair of a source once, as first marked, and no more than its limit."""
    known: dict[str, _Seen] = {}
    at_odds: dict[str, LeftOut] = {}
    for item in stream_preferences(source_of(labels)):
        if isinstance(item, LeftOut) and item.votes and item.id not in at_odds:
            at_odds[item.id] = item
            continue
        if isinstance(item, LeftOut):
            yield replace(item, votes=())
            continue
        turned = item if item.first <= item.second else item.swap()
        if item.id in known:
            yield LeftOut(f"pair {item.id}", AGAIN if known[item.id].human == turned.human else OTHERWISE)
        else:
            said = content_id(turned.human, turned.votes, turned.strength)
            known[item.id] = _Seen(item.id, item.domain, turned.human, said, turned.votes)
    kept = known if labels.limit is None else lowest(known, labels.limit)
    yield from (one for name, one in known.items() if name in kept)
    # A sample of the set has its share of them.
    last = "" if labels.limit is None or len(kept) == len(known) else max(map(_rank, kept))
    for name, one in at_odds.items():
        counts = name not in known and (not last or _rank(name) <= last)
        yield one if counts else replace(one, votes=())


def _unmarked(pairs: UnmarkedPairs) -> Iterator[_Seen | LeftOut]:
    source = PreferenceSource(pairs.path, columns=pairs.columns, domain=pairs.domain)
    ids = (item[1].id for item in stream_pairs(source) if not isinstance(item, LeftOut))
    left = None if pairs.limit is None else lowest(ids, pairs.limit)
    for item in stream_pairs(source):
        if isinstance(item, LeftOut):
            yield item
        elif left is None or item[1].id in left:
            yield _Seen(item[1].id, item[1].domain, None)
            if left is not None:
                left.remove(item[1].id)


def _survey(seen: Iterator[_Seen | LeftOut], settings: object) -> Survey:
    """What comes by: ids, domains and marks of the pairs, and the comparisons that cannot be used."""
    domains: set[str] = set()
    left_out: Counter[str] = Counter()
    places: dict[str, tuple[str, ...]] = {}
    pairs = ties = 0
    votes: list[tuple[Mark | None, ...]] = []
    key = content_id("survey", settings)
    for item in seen:
        votes += [item.votes] if item.votes else []
        if isinstance(item, LeftOut):
            left_out[item.reason] += 1
            if left_out[item.reason] <= PLACES:
                places[item.reason] = (*places.get(item.reason, ()), item.where)
            continue
        pairs, ties = pairs + 1, ties + (item.human == "tie")
        domains.add(item.domain)
        key = content_id(key, item.id, item.domain, item.said)
    return Survey(pairs, ties, tuple(sorted(domains)), left_out, places, key, tuple(votes))


def lowest(ids: Iterable[str], limit: int) -> set[str]:
    """The ids that a `limit` takes: those whose hashes are lowest, the same ones wherever and whenever.

    No more than about twice as many are held at a time.
    """

    def cut(some: set[str]) -> set[str]:
        return set(sorted(some, key=_rank)[:limit])

    kept: set[str] = set()
    for name in ids:
        kept.add(name)
        if len(kept) > 2 * limit:
            kept = cut(kept)
    return cut(kept)


def _rank(name: str) -> str:
    return content_id("limit", name)


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
        yield MarkedQuestion(pair, turned.human, turned.votes, turned.source, turned.weight, turned.strength)


def _limited(pairs: list[MarkedPair], limit: int | None) -> list[MarkedPair]:
    if limit is None:
        return pairs
    kept = lowest((pair.id for pair in pairs), limit)
    return [pair for pair in pairs if pair.id in kept]
