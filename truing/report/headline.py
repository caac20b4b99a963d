"""The cards on top of the page: who is better, by how much, where it fails, what it cost. Claims need an interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from truing.report.contents import (
    SPLITS,
    AgreementSet,
    Contents,
    Estimate,
    PolicyResult,
    Split,
    policies,
    start_policy,
)
from truing.report.notation import MISSING, Number, count, duration, fixed, interval, missing, no_spread, percent

Tone = Literal["good", "bad", "even"]

SPLIT_NAMES: dict[Split, str] = {
    "id": "In distribution",
    "ood_domain": "Another domain",
    "ood_style": "Another style",
}


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
    wide: bool = False


def judge(rate: Estimate | None) -> Judgement:
    """Better or worse than the start policy only where the whole interval lies on that side of 50 %.

    An interval without width says that no spread was seen, which in a few comparisons proves nothing.
    """
    if rate is None or missing(rate.value):
        return Judgement("not measured", "even")
    if rate.low is None or rate.high is None or missing(rate.low) or missing(rate.high):
        return Judgement("no interval, so no verdict", "even")
    if no_spread(rate):
        return Judgement(f"all {count(rate.n)} alike: no verdict", "even")
    if rate.low > 0.5:
        return Judgement("better", "good")
    return Judgement("worse", "bad") if rate.high < 0.5 else Judgement("no clear difference", "even")


def cards(contents: Contents) -> tuple[Card, ...]:
    """The cards for which `contents` has figures: win rates by policy, failures, diversity, labeler, agreement, model,
    time."""
    results = contents.results
    start = start_policy(results)
    others = [policy for policy in policies(results) if policy != start]
    compared = {result.policy for result in results if result.win_rate}
    made = [_win_rate_card(policy, start, results) for policy in others if policy in compared]
    if made:
        made += [_failures(others, results), _diversity_cost(others, start, results)]
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


def _win_rate_card(policy: str, start: str | None, results: Sequence[PolicyResult]) -> Card:
    rates: dict[Split, Estimate] = {r.split: r.win_rate for r in results if r.policy == policy and r.win_rate}
    order: list[Split] = [split for split in SPLITS if split in rates]
    first = rates[order[0]]
    lines = [(SPLIT_NAMES[order[0]], _with_interval(first))]
    lines += [(SPLIT_NAMES[s], f"{percent(rates[s].value)}, {judge(rates[s]).words}") for s in order[1:]]
    title = f"{policy} wins against {start}" if start else f"{policy}: win rate"
    return Card(title, percent(first.value), judge(first), first, tuple(lines))


def _failures(others: Sequence[str], results: Sequence[PolicyResult]) -> Card:
    compared = [r for r in results if r.policy in others and r.win_rate]
    worse = [r for r in compared if judge(r.win_rate).tone == "bad"]
    unclear = [r for r in compared if judge(r.win_rate).tone == "even"]
    lines = [(f"{r.policy}, {SPLIT_NAMES[r.split].lower()}", _with_interval(r.win_rate)) for r in worse]
    if unclear:
        lines.append(("No clear gain", "; ".join(f"{r.policy}, {SPLIT_NAMES[r.split].lower()}" for r in unclear)))
    judgement = Judgement("clearly worse than start", "bad" if worse else "even")
    return Card("Where it fails", f"{len(worse)} of {len(compared)}", judgement, None, tuple(lines))


def _diversity_cost(others: Sequence[str], start: str | None, results: Sequence[PolicyResult]) -> Card:
    before = _across(results, start)
    lines = [(start or MISSING, _with_interval(before, fixed(3)))]
    changes: list[float] = []
    for policy in others:
        after = _across(results, policy)
        shown = _with_interval(after, fixed(3))
        if before and before.value and after and not missing(after.value / before.value):
            changes.append(after.value / before.value - 1)
            shown = f"{_signed(changes[-1])}: {shown}"
        lines.append((policy, shown))
    worst = _signed(min(changes)) if changes else MISSING
    return Card("Cost in diversity: EAD across inputs, in distribution", worst, None, None, tuple(lines), wide=True)


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


def _across(results: Sequence[PolicyResult], policy: str | None) -> Estimate | None:
    return next((r.ead_across for r in results if r.policy == policy and r.split == "id"), None)


def _with_interval(estimate: Estimate | None, number: Number = percent) -> str:
    if estimate is None or missing(estimate.value):
        return MISSING
    return f"{number(estimate.value)} {interval(estimate, number)}, n\u202f=\u202f{count(estimate.n)}"


def _signed(change: float) -> str:
    return f"+{percent(change)}" if change > 0 else percent(change)
