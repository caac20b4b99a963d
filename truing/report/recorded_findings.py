"""What the figures of a recorded source say, in sentences. Nothing is called a change whose interval holds 0."""

from collections.abc import Sequence

from truing.evaluation.figure import Figure
from truing.evaluation.policy_figures import DELTA
from truing.report.notation import MINUS, count
from truing.report.recorded_contents import Recorded
from truing.report.recorded_tables import tables, written

LONGEST = 240
"""Characters of a headline."""


def findings(one: Recorded) -> list[str]:
    """A sentence for each thing that can be said, the main one first; none where no interval is known."""
    how = {"preferences": _preferences, "judges": _judges, "comparisons": _comparisons}.get(one.kind, _differences)
    return how(one)


def headline(found: Sequence[Recorded], summary: str) -> str:
    """The first finding, where it is short enough to stand above a page, else the summary."""
    first = next((f"{one.name}: {sentence}" for one in found for sentence in findings(one)), "")
    return first if 0 < len(first) <= LONGEST else summary


def _preferences(one: Recorded) -> list[str]:
    rates = [f for f in one.figures if f.metric == "win rate" and f.value is not None]
    if not rates:
        return []
    text = _Writer(one)
    best, better = rates[0], sum(f.low is not None and f.low > 50 for f in rates)
    among = f"of {count(len(rates))} models {count(better)} clearly beat the baseline"
    return [f"{best.policy} has the highest win rate, {text(best)} % ({best.note}, n = {best.n}); {among}."]


def _judges(one: Recorded) -> list[str]:
    text = _Writer(one)
    orders = [f for f in one.figures if f.metric == "system ordering"]
    found: list[str] = []
    for judge in dict.fromkeys(f.policy for f in orders):
        own = [f for f in orders if f.policy == judge]
        overall = own[-1]  # over all criteria, where there are several
        level = [f for f in one.figures if f.policy == judge and f.metric == "Spearman, summary level"]
        spread = ", ".join(f"{f.variant} {f.value:.2f}" for f in level if f.value is not None)
        note = f" ({overall.note})" if overall.note else ""
        found.append(
            f"{judge} orders {text(overall)} of the pairs of systems as people do{note}; Spearman’s ρ by document: {spread}."
        )
    return found


def _comparisons(one: Recorded) -> list[str]:
    text = _Writer(one)
    found: list[str] = []
    for same in (f for f in one.figures if f.metric == "same place wins twice" and f.value is not None):
        about = f" on {same.variant}" if same.variant else ""
        which = _of(one.figures, "first among places that won twice", same)
        chance = _of(one.figures, "p-value for a half", same)
        sentence = f"{same.policy} lets the place decide in {text(same)} of the pairs{about} (n = {same.n})"
        if which is not None and which.value is not None and chance is not None:
            known = text(chance)
            p = f"p {known}" if known.startswith("<") else f"p = {known}"
            sentence += f"; {text(which)} of those go to the first place ({p})"
        found.append(sentence + ".")
    return found


def _differences(one: Recorded) -> list[str]:
    """For each two policies the metrics that clearly differ and how many do not; those without any in one sentence."""
    text = _Writer(one)
    by_pair: dict[str, list[Figure]] = {}
    for figure in one.figures:
        if figure.metric.startswith(DELTA) and figure.low is not None:
            pair = f"{figure.policy}, {figure.variant}" if figure.variant else figure.policy
            by_pair.setdefault(pair, []).append(figure)
    found: list[str] = []
    alike: list[str] = []
    for pair, figures in by_pair.items():
        changes = [f"{f.metric.removeprefix(DELTA)} {_signed(text(f))}" for f in figures if _clear(f)]
        rest = len(figures) - len(changes)
        unclear = [f"no clear difference in {rest} of {len(figures)} metrics"] if rest else []
        if changes:
            found.append(f"{pair}: {'; '.join([*changes, *unclear])}.")
        else:
            alike.append(pair)
    return [*found, f"No clear difference in any metric: {'; '.join(alike)}."] if alike else found


def _clear(figure: Figure) -> bool:
    return figure.low is not None and figure.high is not None and (figure.low > 0 or figure.high < 0)


def _signed(value: str) -> str:
    return value if value.startswith(MINUS) else f"+{value}"


class _Writer:
    """Figures written as in the tables of their source."""

    def __init__(self, one: Recorded) -> None:
        self._numbers = {c.metric: c.number for table in tables(one.figures) for c in table.columns}

    def __call__(self, figure: Figure) -> str:
        return written(figure, self._numbers[figure.metric])


def _of(figures: Sequence[Figure], metric: str, like: Figure) -> Figure | None:
    return next((f for f in figures if (f.metric, f.policy, f.variant) == (metric, like.policy, like.variant)), None)
