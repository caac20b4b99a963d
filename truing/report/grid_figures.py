"""The figures of a grid by where they stand, and what a metric is: quality, price or diversity."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from truing.evaluation.figure import Figure
from truing.evaluation.grid_figures import GAP, IN_DISTRIBUTION, QUALITY, SUMMARY, is_quality, quality_rank
from truing.evaluation.output_scores import ACROSS, PER
from truing.evaluation.policy_figures import DELTA, SHARE
from truing.report.contents import Estimate
from truing.report.grid_contents import Grid, GridData
from truing.report.notation import Number, count, decimal
from truing.report.recorded_tables import estimate, tables, written

WIN, REWARD, KL, WORDS = "win rate", "reward", "KL", "words"
SECONDARY = (
    "accuracy, per character",
    "accuracy, per byte",
    "accuracy, mutual information",
    "instructions followed, loosely",
    "valid JSON in a fence",
    "ROUGE-1 F1",
    "ROUGE-2 F1",
)
"""Beside their like they are in the tables alone."""
PARTS = f"{REWARD}: "
DIVERSITY = ("EAD", "SBERT", "NLI", "distinct", "self-BLEU", "3-gram cosine diversity", "compression ratio")
LESS = ("self-BLEU", "compression ratio")
"""Higher is less diverse."""
SHIFTS = {IN_DISTRIBUTION: "in distribution", "ood_domain": "other domain", "ood_style": "other style"}
"""Shifts in words; any other is called what it is named."""


@dataclass(frozen=True)
class Spot:
    """A data set in one wording, "" where there is one alone or the figure is of all of them."""

    data: GridData
    variant: str = ""

    @property
    def name(self) -> str:
        """The data set, and the wording where there are several."""
        return f"{self.data.name}, wording {self.variant}" if self.variant else self.data.name

    @property
    def shift(self) -> str:
        """The shift in words."""
        return shift_name(self.data.shift)


class Index:
    """Looks up a grid's figures. Data sets in distribution come first, else the order is the grid's."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.policies = tuple(policy.name for policy in grid.policies)
        self.others = tuple(name for name in self.policies if name != grid.baseline)
        self.data = tuple(sorted(grid.data, key=lambda data: data.shift != IN_DISTRIBUTION))
        self.metrics = ordered(f.metric for f in grid.figures)
        own = [f for f in grid.figures if f.policy in self.policies]
        seen = dict.fromkeys((*grid.temperatures, *(f.temperature for f in grid.figures)))
        self.temperatures = tuple(sorted(t for t in seen if t is not None)) + ((None,) if None in seen else ())
        self._by_place = {(f.policy, f.data, f.variant, f.temperature, f.metric): f for f in grid.figures}
        self._own = [f for f in own if f.value is not None]
        self._numbers: dict[str, Number] = {}

    def at(self, policy: str, spot: Spot, temperature: float | None, metric: str) -> Figure | None:
        """The figure, None where there is none."""
        return self._by_place.get((policy, spot.data.name, spot.variant, temperature, metric))

    def nearest(self, policy: str, spot: Spot, temperature: float | None, metric: str) -> Figure | None:
        """The figure at a temperature, else the one of outputs of which nobody knows it, such as recorded ones."""
        return self.at(policy, spot, temperature, metric) or self.at(policy, spot, None, metric)

    def value(self, policy: str, spot: Spot, temperature: float | None, metric: str) -> Estimate | None:
        """The figure as an estimate, None where it is undefined too."""
        return estimate(self.at(policy, spot, temperature, metric))

    def change(self, policy: str, spot: Spot, temperature: float | None, metric: str) -> Figure | None:
        """The difference of `policy` and the baseline over the same items."""
        return self.at(f"{policy} − {self.grid.baseline}", spot, temperature, f"{DELTA}{metric}")

    def spots(self, metric: str) -> list[Spot]:
        """Where any policy has the metric: a data set as a whole, else each of its wordings."""
        found: list[Spot] = []
        for data in self.data:
            variants = dict.fromkeys(f.variant for f in self._own if (f.data, f.metric) == (data.name, metric))
            found += [Spot(data)] if "" in variants else [Spot(data, variant) for variant in variants]
        return found

    def defined(self, metric: str) -> list[Figure]:
        """The policies' figures of a metric that have a value."""
        return [f for f in self._own if f.metric == metric]

    def temperature(self, metric: str) -> float | None:
        """The one at which a metric is shown alone: where most figures of it, then most figures at all, have a value."""
        about = self.defined(metric) or self._own
        temperatures = dict.fromkeys((*self.grid.temperatures, *(f.temperature for f in about)))

        def known(t: float | None) -> tuple[int, int]:
            return sum(f.temperature == t for f in about), sum(f.temperature == t for f in self._own)

        return max(temperatures, key=known, default=None)

    def with_interval(self, metrics: Iterable[str]) -> list[str]:
        """Those of which any figure has an interval, without those that another one sums up."""
        found = [m for m in metrics if any(f.low is not None for f in self.defined(m))]
        return [m for m in found if m + SUMMARY not in found]

    @property
    def quality(self) -> list[str]:
        """Quality metrics with intervals, the one that decides first; secondary ones only where nothing else is there."""
        found = self.with_interval(m for m in self.metrics if is_quality(m))
        return [m for m in found if m.removesuffix(SUMMARY) not in SECONDARY] or found

    def diversity(self, scope: str) -> list[str]:
        """Diversity metrics per input or across inputs that have a value."""
        return [m for m in self.metrics if is_diversity(m) and m.endswith(scope) and self.defined(m)]

    def said(self, figure: Figure) -> str:
        """A figure in a sentence: value, interval, unit and n, with the decimals of its metric everywhere."""
        unit = "" if figure.unit in ("", SHARE, "count") or figure.unit in figure.metric.split() else f" {figure.unit}"
        return f"{written(figure, self.number(figure.metric))}{unit}, n = {count(figure.n)}"

    def number(self, metric: str) -> Number:
        """How values of a metric are written."""
        if metric not in self._numbers:
            found = tables([f for f in self.grid.figures if f.metric == metric])
            self._numbers[metric] = found[0].columns[0].number if found else decimal
        return self._numbers[metric]


def ordered(metrics: Iterable[str]) -> list[str]:
    """Each metric once: quality, the parts of the reward, KL, lengths, diversity, then the others as they come."""
    return sorted(dict.fromkeys(metrics), key=_rank)


def is_diversity(metric: str) -> bool:
    """Whether it is a diversity, per input or across inputs."""
    return metric.endswith((PER, ACROSS)) and metric.startswith(DIVERSITY)


def less_is_more(metric: str) -> bool:
    """Whether higher is less diverse."""
    return metric.removeprefix(DELTA).startswith(LESS)


def shift_name(shift: str) -> str:
    """A shift in words."""
    return SHIFTS.get(shift, shift)


def temperature_name(temperature: float | None) -> str:
    """0.7 as "temperature 0.7"."""
    return "no temperature" if temperature is None else f"temperature {temperature:g}"


def apart(one: Estimate | None, other: Estimate | None) -> int:
    """1 where the interval of `one` lies above that of `other`, -1 where below, 0 where they meet or are not known."""
    first, second = _span(one), _span(other)
    if first is None or second is None:
        return 0
    return int(first[0] > second[1]) - int(first[1] < second[0])


def side(figure: Figure | Estimate | None, even: float) -> int:
    """1 where the whole interval lies above `even`, -1 where below, 0 where it holds it or is not known."""
    span = _span(figure)
    if span is None:
        return 0
    return int(span[0] > even) - int(span[1] < even)


def _span(one: Figure | Estimate | None) -> tuple[float, float] | None:
    """The interval. One without width is none: that no spread was seen among few items proves nothing."""
    if one is None or one.value is None or one.low is None or one.high is None or one.low == one.high:
        return None
    return one.low, one.high


def _rank(metric: str) -> tuple[int, int]:
    order: Sequence[str] = (KL, WORDS, "characters")
    bare = metric.removeprefix(GAP).removeprefix(DELTA)
    quality = quality_rank(bare)
    if quality is not None:
        return (0 if quality <= QUALITY.index(REWARD) else 2, quality)
    if bare.startswith(PARTS):
        return (1, 0)
    if bare in order:
        return (3, order.index(bare))
    if is_diversity(bare):
        which = next(i for i, name in enumerate(DIVERSITY) if bare.startswith(name))
        return (4, 2 * which + bare.endswith(ACROSS))
    return (5, 0)
