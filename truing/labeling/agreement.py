"""How far to trust an AI labeler: its verdicts on pairs that humans have marked (Lee et al., RLAIF, 2309.00267)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from truing.algorithms.statistics import Interval
from truing.labeling.figures import Figures, alignment, confidence_group, figures, grouped, length_group
from truing.labeling.judged import Judged

Row = dict[str, str | float | None]


@dataclass(frozen=True)
class TrustReport:
    """`Figures` over all pairs, by domain and by criterion, and alignment by length and by the labeler's confidence.

    `by_criterion` and `by_domain_and_criterion` are empty where there is one criterion only: they would say nothing
    new. Where a pair was judged by several criteria, `overall` is over all its judgements, and each n counts it once.
    `human_ties` counts the pairs left out because humans call them a tie.
    """

    overall: Figures
    by_domain: Mapping[str, Figures]
    by_criterion: Mapping[str, Figures]
    by_domain_and_criterion: Mapping[tuple[str, str], Figures]
    alignment_by_length: Mapping[str, Interval]
    alignment_by_confidence: Mapping[str, Interval]
    human_ties: int

    def as_rows(self) -> list[Row]:
        """One JSON-able row a figure: scope, group, figure, value, low, high, n.

        Scopes are all, domain, criterion, domain and criterion ("domain / criterion"), length, confidence. `low` and
        `high` are None for counts and p-values, `value` too where it is undefined.
        """
        rows = [*_rows("all", "all", self.overall), _number("all", "all", "human ties left out", self.human_ties, 0)]
        for domain, group in self.by_domain.items():
            rows += _rows("domain", domain, group)
        for criterion, group in self.by_criterion.items():
            rows += _rows("criterion", criterion, group)
        for (domain, criterion), group in self.by_domain_and_criterion.items():
            rows += _rows("domain and criterion", f"{domain} / {criterion}", group)
        for length, interval in self.alignment_by_length.items():
            rows.append(interval_row("length", length, "alignment", interval))
        for confidence, interval in self.alignment_by_confidence.items():
            rows.append(interval_row("confidence", confidence, "alignment", interval))
        return rows


@dataclass(frozen=True)
class Gate:
    """What a labeler must reach before its labels are used; all three are shares in [0, 1]."""

    min_alignment: float
    max_flip_rate: float
    max_unparsable: float

    def reasons(self, report: TrustReport, unparsable: Mapping[str, float]) -> list[str]:
        """Why the labeler fails, a sentence each; empty where it passes. A NaN share never passes.

        `unparsable`: by single labeler, the share of its questions without an answer. The worst of them counts: in the
        mean over an ensemble one that answers nothing would hide behind those that answer everything.

        The gate looks at all pairs together. Where these fail on alignment or flips, a last sentence names the weakest
        of several groups.
        """
        alignment, flips = report.overall.alignment, report.overall.flip_rate
        reasons: list[str] = []
        if not alignment.value >= self.min_alignment:
            reasons.append(
                f"Alignment with humans is {_shown(alignment)}, below the required {self.min_alignment:.1%}."
            )
        if flips is None:
            reasons.append("The labeler was asked in one order only, so that nothing is known of its consistency.")
        elif not flips.value <= self.max_flip_rate:
            reasons.append(
                f"The verdict changes with the order of the responses in {_shown(flips)}, "
                f"above the allowed {self.max_flip_rate:.1%}."
            )
        weakest = self.weakest(report) if reasons else None
        worst = max(unparsable, key=lambda name: math.inf if math.isnan(unparsable[name]) else unparsable[name])
        if not unparsable[worst] <= self.max_unparsable:
            whose = f" of {worst}" if len(unparsable) > 1 else ""
            reasons.append(
                f"{unparsable[worst]:.1%} of the replies{whose} cannot be parsed, above the allowed {self.max_unparsable:.1%}."
            )
        return [*reasons, weakest] if weakest else reasons

    def weakest(self, report: TrustReport) -> str | None:
        """The domain or criterion that misses the gate by most, in a sentence; None where none does, or there is one.

        A miss is the larger of min_alignment - alignment and flip rate - max_flip_rate. A group may miss a gate that
        all pairs together pass.
        """
        groups = {f"domain {name!r}": group for name, group in report.by_domain.items() if len(report.by_domain) > 1}
        groups |= {f"criterion {name!r}": group for name, group in report.by_criterion.items()}
        misses = {name: self._miss(group) for name, group in groups.items()}
        worst = max(misses, key=lambda name: misses[name], default=None)
        if worst is None or misses[worst] <= 0:
            return None
        group = groups[worst]
        flips = f", the verdict changes with the order in {group.flip_rate.value:.1%}" if group.flip_rate else ""
        return f"Worst is {worst}: aligned in {_shown(group.alignment)}{flips}."

    def _miss(self, group: Figures) -> float:
        flips = group.flip_rate.value - self.max_flip_rate if group.flip_rate else 0.0
        return max(self.min_alignment - group.alignment.value, flips)


def trust_report(judged: Sequence[Judged], *, seed: int, human_ties: int = 0) -> TrustReport:
    """Every figure of `judged`, overall and by group, with its 95 % bootstrap interval over pairs drawn from `seed`.

    A pair that several criteria have judged is drawn with all its judgements, which are not independent.
    `human_ties`: pairs that were judged but that humans call a tie; they are left out of `judged` and counted here.
    Raises ValueError where no pair is given.
    """
    if not judged:
        raise ValueError("no pair carries both a verdict and a human mark: there is nothing to measure trust on.")
    named = sorted(judged, key=lambda pair: (pair.domain, pair.criterion))
    by_criterion = grouped(sorted(judged, key=lambda pair: pair.criterion), lambda pair: pair.criterion)
    several = len(by_criterion) > 1
    half = median(abs(pair.length_gap) for pair in judged)
    by_gap = sorted(judged, key=lambda pair: pair.chosen_longer_by)
    by_length = grouped(by_gap, lambda pair: length_group(pair.chosen_longer_by, half))
    by_confidence = grouped(
        sorted(judged, key=lambda pair: pair.confidence), lambda pair: confidence_group(pair.confidence)
    )
    both = grouped(named, lambda pair: (pair.domain, pair.criterion)) if several else {}
    return TrustReport(
        overall=figures(judged, seed=seed),
        by_domain={name: figures(pairs, seed=seed) for name, pairs in grouped(named, lambda pair: pair.domain).items()},
        by_criterion={name: figures(pairs, seed=seed) for name, pairs in by_criterion.items() if several},
        by_domain_and_criterion={names: figures(pairs, seed=seed) for names, pairs in both.items()},
        alignment_by_length={group: alignment(pairs, seed=seed) for group, pairs in by_length.items()},
        alignment_by_confidence={group: alignment(pairs, seed=seed) for group, pairs in by_confidence.items()},
        human_ties=human_ties,
    )


def interval_row(scope: str, group: str, figure: str, interval: Interval) -> Row:
    """One figure of a report as a JSON-able row."""
    return {"scope": scope, "group": group, "figure": figure, **asdict(interval)}


def _rows(scope: str, group: str, figures: Figures) -> list[Row]:
    return [
        interval_row(scope, group, "alignment", figures.alignment),
        _row_if_defined(scope, group, "kappa", figures.kappa),
        _number(scope, group, "ties", figures.ties, figures.judgements),
        _row_if_defined(scope, group, "same position rate", figures.same_position_rate),
        _row_if_defined(scope, group, "first among same position", figures.same_position_first),
        _number(scope, group, "position p-value", figures.position_p_value, figures.position_pairs),
        _row_if_defined(scope, group, "flip rate", figures.flip_rate),
        interval_row(scope, group, "mean entropy (nats)", figures.mean_entropy),
        interval_row(scope, group, "label mass", figures.label_mass),
        interval_row(scope, group, "calibration error", figures.ece),
    ]


def _row_if_defined(scope: str, group: str, figure: str, interval: Interval | None) -> Row:
    return interval_row(scope, group, figure, interval) if interval else _number(scope, group, figure, None, 0)


def _number(scope: str, group: str, figure: str, value: float | None, n: int) -> Row:
    return {"scope": scope, "group": group, "figure": figure, "value": value, "low": None, "high": None, "n": n}


def _shown(interval: Interval) -> str:
    return f"{interval.value:.1%} [{interval.low:.1%}, {interval.high:.1%}] of {interval.n} pairs"
