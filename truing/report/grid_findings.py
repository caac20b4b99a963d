"""What a grid says, in sentences: who is better, by how much, where it fails, what it lost and what it cost."""

from dataclasses import dataclass

from truing.evaluation.figure import Figure
from truing.evaluation.output_scores import PER
from truing.report.grid_contents import Grid, GridPolicy
from truing.report.grid_figures import GAP, WIN, Index, Spot, apart, less_is_more, side, temperature_name
from truing.report.grid_tables import kind
from truing.report.notation import count, duration
from truing.report.recorded_findings import LONGEST
from truing.report.recorded_tables import estimate

BETTER, WORSE, UNCLEAR = "clearly better than", "clearly worse than", "no clear difference to"


@dataclass(frozen=True)
class Standing:
    """A policy's figure of the metric that decides, and the figure that says whether it is better; `even` if it is not."""

    policy: str
    spot: Spot
    temperature: float | None
    own: Figure
    against: Figure | None
    even: float

    @property
    def side(self) -> int:
        """1 where it is clearly better than the baseline, -1 where worse, 0 where nothing is clear or known."""
        return side(self.against, self.even)


def findings(grid: Grid) -> list[str]:
    """A sentence for each thing that can be said, the main one first; what it cost alone where no quality has an interval."""
    return [one for one in (*_verdict(grid), _alarms(grid), _cost(grid)) if one]


def headline(grid: Grid) -> str:
    """Who is better, cut where it is too long to stand above a page; "" where no quality has an interval."""
    said = next(iter(_verdict(grid)), "")
    return said if len(said) <= LONGEST else said[: LONGEST - 1].rsplit(" ", 1)[0] + "…"


def _verdict(grid: Grid) -> list[str]:
    """Who is better, where it fails and what it has lost."""
    index = Index(grid)
    if not index.quality:
        return []
    metric, spot = main(index)
    standing = standings(index, metric, spot, index.temperature(metric))
    if not standing:
        return []
    best, *others = standing
    rest = "; ".join(_one(index, one, metric) for one in others)
    return [
        _first(index, standing, metric),
        f"The others there: {rest}." if rest else "",
        *_failures(index, best.policy, metric),
        _gap(index, best.policy, metric),
        _diversity(index, best),
    ]


def standings(index: Index, metric: str, spot: Spot, temperature: float | None) -> list[Standing]:
    """Who stands where on one data set, the best first. Win rates are against the baseline, which has none."""
    found: list[Standing] = []
    for policy in index.policies:
        own = index.nearest(policy, spot, temperature, metric)
        if own is None or own.value is None:
            continue
        won = metric == WIN
        against = own if won else index.change(policy, spot, own.temperature, metric)
        found.append(Standing(policy, spot, own.temperature, own, against, 0.5 if won else 0.0))
    return sorted(found, key=lambda one: -(one.own.value or 0.0))


def everywhere(index: Index, metric: str) -> list[Standing]:
    """Who stands where on every data set and at every temperature, each figure once."""
    places = [(spot, t) for spot in index.spots(metric) for t in index.temperatures]
    return [one for spot, t in places for one in standings(index, metric, spot, t) if one.temperature == t]


def main(index: Index) -> tuple[str, Spot]:
    """The metric that decides and where: the first quality in distribution, else the first anywhere."""
    found = [(metric, spot) for metric in index.quality for spot in index.spots(metric)]
    return min(found, key=lambda one: one[1].data.shift != "id")


def _first(index: Index, standing: list[Standing], metric: str) -> str:
    best = standing[0]
    base = index.grid.baseline
    where = _where(best)
    figure = f"{metric} {index.said(best.own)}"
    if best.policy == base:
        return f"No policy has a higher {metric} than {base} {where}: {index.said(best.own)}."
    if base and best.against is not None:
        by = "" if best.against is best.own else f", {index.said(best.against)} more than {base}"
        if best.side > 0:
            return f"{best.policy} is {BETTER} {base} {where}: {figure}{by}."
        leads = f"No policy is {BETTER} {base} {where}"
        return f"{leads}; the best is {best.policy}, {figure}{by}."
    second = standing[1] if len(standing) > 1 else None
    if second is None:
        return f"{best.policy} {where}: {figure}."
    clear = apart(estimate(best.own), estimate(second.own)) > 0
    how = "clearly more than" if clear else "whose interval meets that of"
    leads = f"{best.policy} has the highest {metric} {where}, {index.said(best.own)}"
    return f"{leads}, {how} {second.policy} ({index.said(second.own)})."


def _one(index: Index, one: Standing, metric: str) -> str:
    base = index.grid.baseline
    words = {1: f", {BETTER} {base}", -1: f", {WORSE} {base}", 0: f", {UNCLEAR} {base}"}[one.side]
    judged = words if base and one.against is not None and one.policy != base else ""
    return f"{one.policy}, {metric} {index.said(one.own)}{judged}"


def _failures(index: Index, policy: str, metric: str) -> list[str]:
    """Where the best policy is worst, and how often it is clearly better, over all data sets and temperatures."""
    every = [one for one in everywhere(index, metric) if one.policy == policy]
    if len(every) < 2:
        return []
    worst = min(every, key=lambda one: one.own.value or 0.0)
    text = f"{policy} is weakest {_where(worst)}: {metric} {index.said(worst.own)}"
    base = index.grid.baseline
    known = [one for one in every if one.against is not None]
    if not base or not known or policy == base:
        return [f"{text}."]
    words = {1: f"still {BETTER}", -1: WORSE, 0: "which is no clear difference to"}[worst.side]
    good, bad = sum(one.side > 0 for one in known), sum(one.side < 0 for one in known)
    tally = f"Of {len(known)} data sets and temperatures it is {BETTER} {base} in {good}, clearly worse in {bad}"
    return [f"{text}, {words} {base}. {tally}."]


def _gap(index: Index, policy: str, metric: str) -> str:
    """The largest gap of the best policy."""
    gaps = [
        f for f in index.defined(f"{GAP}{metric}") if f.policy == policy and f.value is not None and f.low is not None
    ]
    if not gaps:
        return ""
    largest = max(gaps, key=lambda f: f.value or 0.0)
    clear = side(largest, 0)
    words = {1: "clearly worse there than in distribution", -1: "clearly better there", 0: "no clear loss"}[clear]
    asked = f" at {temperature_name(largest.temperature)}" if largest.temperature is not None else ""
    return f"The largest gap of {policy} is on {largest.data}{asked}: {index.said(largest)}, {words}."


def _diversity(index: Index, best: Standing) -> str:
    """What the best policy has lost in diversity per input, by the first metric of it."""
    base = index.grid.baseline
    for metric in index.diversity(PER):
        own = index.at(best.policy, best.spot, best.temperature, metric)
        other = index.at(base, best.spot, best.temperature, metric)
        if best.policy == base or own is None or other is None or own.value is None or other.value is None:
            continue
        change = index.change(best.policy, best.spot, best.temperature, metric)
        moved = (
            side(change, 0) if change is not None and change.low is not None else apart(estimate(own), estimate(other))
        )
        moved = -moved if less_is_more(metric) else moved
        words = {1: "more diverse than", -1: "less diverse than", 0: "as diverse, as far as this shows, as"}[moved]
        return f"{best.policy} is {words} {base} per input: {metric} {index.said(own)}, against {index.said(other)}."
    return ""


def _alarms(grid: Grid) -> str:
    if not grid.alarms:
        return ""
    by: dict[tuple[str, str], list[str]] = {}
    for alarm in grid.alarms:
        by.setdefault((alarm.kind, alarm.policy), []).append(alarm.data)
    each = "; ".join(f"{what} of {policy} on {', '.join(data)}" for (what, policy), data in by.items())
    return f"{count(len(grid.alarms))} alarm{'s' if len(grid.alarms) > 1 else ''}: {each}."


def _cost(grid: Grid) -> str:
    paid = [policy for policy in grid.policies if policy.seconds is not None]
    if not paid:
        return ""
    total = sum(policy.seconds or 0.0 for policy in paid)
    each = "; ".join(_paid(policy) for policy in paid)
    return f"Writing the outputs took {duration(total)}: {each}."


def _paid(policy: GridPolicy) -> str:
    made = f" ({kind(policy)})" if policy.best_of and kind(policy) != policy.name else ""
    return f"{policy.name}{made} {duration(policy.seconds)} for {count(policy.outputs)} outputs, {count(policy.tokens)} tokens"


def _where(one: Standing) -> str:
    asked = f" at {temperature_name(one.temperature)}" if one.temperature is not None else ""
    return f"on {one.spot.name} ({one.spot.shift}){asked}"
