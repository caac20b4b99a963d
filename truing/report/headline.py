"""The cards on top of the page that are not the grid's: can labeler and reward model be trusted, and what it took."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from truing.report.contents import AgreementSet, Contents, Estimate
from truing.report.notation import MISSING, count, duration, interval, missing, percent

Tone = Literal["good", "bad", "even"]


@dataclass(frozen=True)
class Judgement:
    """What an interval lets one say, in words and as a tone."""

    words: str
    tone: Tone


@dataclass(frozen=True)
class Card:
    """One key figure: its `value` large, a `judgement` where there is one, `share` as a strip, and lines below."""

    title: str
    value: str
    judgement: Judgement | None
    share: Estimate | None
    lines: tuple[tuple[str, str], ...]


def cards(contents: Contents) -> tuple[Card, ...]:
    """The cards for which `contents` has figures: labeler, agreement, model, time."""
    made: list[Card] = []
    if contents.trust or contents.gate:
        made.append(_labeler(contents))
    studied = [one for one in contents.agreement if one.measured.labelers]
    if studied:
        made.append(_agreement(studied))
    if contents.reward_model and contents.reward_model.accuracy:
        made.append(_reward_model(contents.reward_model.accuracy))
    if contents.costs:
        made.append(_time(contents.costs))
    return tuple(made)


def _labeler(contents: Contents) -> Card:
    judgement = Judgement("gate: would stop", "bad") if contents.gate else Judgement("gate: passed", "good")
    title = "Labeler agrees with humans"
    row = next((row for row in contents.trust if row.domain in ("all", "overall")), next(iter(contents.trust), None))
    if row is None:
        return Card(title, MISSING, judgement, None, ())
    lines = (
        (f"Pairs: {row.domain}", _with_interval(row.alignment)),
        ("Verdict flips with the order", _with_interval(row.flip_rate)),
    )
    return Card(title, percent(row.alignment.value), judgement, row.alignment, lines)


def _agreement(studied: Sequence[AgreementSet]) -> Card:
    """The study's own labeler, asked in the first way, on each set."""
    first = studied[0].measured.labelers[0].overall.alignment
    lines = tuple((one.name, _with_interval(one.measured.labelers[0].overall.alignment)) for one in studied)
    return Card(f"Agreement with people: {studied[0].name}", percent(first.value), None, first, lines)


def _reward_model(accuracy: Sequence[tuple[str, Estimate]]) -> Card:
    source, first = accuracy[0]
    lines = ((source, _with_interval(first)),)
    return Card("Reward model, held-out accuracy", percent(first.value), None, first, lines)


def _time(costs: Sequence[tuple[str, float]]) -> Card:
    known = [(stage, seconds) for stage, seconds in costs if not missing(seconds)]
    lines = tuple((stage, duration(seconds)) for stage, seconds in sorted(known, key=lambda cost: -cost[1])[:3])
    return Card("Time, all stages", duration(sum(seconds for _, seconds in known)), None, None, lines)


def _with_interval(estimate: Estimate | None) -> str:
    if estimate is None or missing(estimate.value):
        return MISSING
    return f"{percent(estimate.value)} {interval(estimate, percent)}, n\u202f=\u202f{count(estimate.n)}"
