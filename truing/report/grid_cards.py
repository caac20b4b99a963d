"""The cards of a grid on top of the page: who is better, where it fails, what looks wrong, what it cost."""

from truing.report.grid_contents import Grid
from truing.report.grid_figures import Index, Spot, temperature_name
from truing.report.grid_findings import Standing, everywhere, main, standings
from truing.report.headline import Card, Judgement, Tone
from truing.report.notation import count, duration
from truing.report.recorded_tables import estimate

TONES: dict[int, Tone] = {1: "good", -1: "bad", 0: "even"}
WORDS = {1: "better", -1: "worse", 0: "no clear difference"}


def cards(grid: Grid) -> tuple[Card, ...]:
    """A card for each policy but the baseline, then failures, alarms and cost; none where no quality has an interval."""
    index = Index(grid)
    if not index.quality:
        return ()
    metric, first = main(index)
    temperature = index.temperature(metric)
    by_spot = {spot: standings(index, metric, spot, temperature) for spot in index.spots(metric)}
    made = [card for policy in index.others if (card := _policy(index, policy, metric, first, by_spot)) is not None]
    rivals = [one for one in everywhere(index, metric) if one.policy != grid.baseline and one.against is not None]
    made += [_failures(index, rivals, metric)] if rivals else []
    made += [_alarms(grid)] if grid.baseline else []
    paid = [policy for policy in grid.policies if policy.seconds is not None]
    if paid:
        lines = tuple((one.name, f"{duration(one.seconds)}, {count(one.tokens)} tokens") for one in paid)
        total = sum(one.seconds or 0.0 for one in paid)
        made.append(Card("Time to write the outputs", duration(total), None, None, lines))
    return tuple(made)


def _policy(index: Index, policy: str, metric: str, first: Spot, by_spot: dict[Spot, list[Standing]]) -> Card | None:
    own = {spot: one for spot, found in by_spot.items() for one in found if one.policy == policy}
    if first not in own:
        return None
    one = own[first]
    found = estimate(one.own)
    base = f" against {index.grid.baseline}" if one.against is one.own else ""
    judgement = Judgement(WORDS[one.side], TONES[one.side]) if one.against is not None else None
    lines = [(f"{first.name}, {first.shift}", index.said(one.own))]
    lines += [
        (
            f"{spot.name}, {spot.shift}",
            f"{_value(index, other)}, {WORDS[other.side]}" if other.against else _value(index, other),
        )
        for spot, other in own.items()
        if spot != first
    ]
    asked = one.temperature is not None and len(index.temperatures) > 1
    lines += [("All at", temperature_name(one.temperature))] if asked else []
    strip = found if one.against is one.own else None
    return Card(f"{policy}: {metric}{base}", _value(index, one), judgement, strip, tuple(lines))


def _failures(index: Index, every: list[Standing], metric: str) -> Card:
    worse = sorted((one for one in every if one.side < 0), key=lambda one: one.own.value or 0.0)
    lines = [
        (f"{one.policy}, {one.spot.name}, {temperature_name(one.temperature)}", index.said(one.own))
        for one in worse[:3]
    ]
    unclear = sum(one.side == 0 for one in every)
    lines += [(f"{len(worse) - 3} more", "")] if len(worse) > 3 else []
    lines += [("No clear difference", f"{unclear} of {len(every)}")] if unclear else []
    judgement = Judgement(f"clearly worse than {index.grid.baseline}", "bad" if worse else "even")
    return Card(f"Where it fails: {metric}", f"{len(worse)} of {len(every)}", judgement, None, tuple(lines))


def _alarms(grid: Grid) -> Card:
    judgement = Judgement("look below", "bad") if grid.alarms else Judgement("nothing clear", "good")
    lines = [(f"{one.policy}, {one.data}", one.kind) for one in grid.alarms[:5]]
    lines += [(f"{len(grid.alarms) - 5} more", "")] if len(grid.alarms) > 5 else []
    return Card("Alarms: length, gamed reward, collapse", count(len(grid.alarms)), judgement, None, tuple(lines))


def _value(index: Index, one: Standing) -> str:
    return index.number(one.own.metric)(one.own.value)
