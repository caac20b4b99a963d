"""How far to trust the labeler: from stored labels and marks to figures. No model and no text is needed here."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from jobs.consult import Judgements
from jobs.progress import print_table
from jobs.requests import requests
from jobs.store import Table
from truing.config.labeling import Calibration
from truing.data.comparison import Mark
from truing.labeling.agreement import Row as Figure
from truing.labeling.agreement import TrustReport, trust_report
from truing.labeling.asking import Asking
from truing.labeling.calibration import BeforeAfter, before_and_after, split_by_id
from truing.labeling.concordance import kendalls_w, prompt_sensitivity
from truing.labeling.judged import Judged
from truing.records import content_id


@dataclass(frozen=True, slots=True)
class Marked:
    """What is known of a marked pair without its text. `prompt`: hash of the prompt. `longer_by`: characters."""

    pair: str
    prompt: str
    domain: str
    human: Mark
    votes: tuple[Mark | None, ...]
    longer_by: int


@dataclass(frozen=True)
class Trust:
    """Figures of one labeler, asked in one way or by several criteria, on one set of marked pairs."""

    set: str
    labeler: str
    asking: str
    report: TrustReport
    unanswered: int

    def as_json(self) -> dict[str, Any]:
        """For the run folder and the page."""
        bins = [asdict(one) for one in self.report.overall.calibration]
        return {
            "set": self.set, "labeler": self.labeler, "asking": self.asking, "unanswered": self.unanswered,
            "rows": self.report.as_rows(), "bins": bins,
        }  # fmt: skip


def marks(tables: Sequence[Table]) -> list[Marked]:
    """The marked pairs of the labelers' last passes, one shard of text in memory at a time.

    What one labeler had failed on before is no longer among its own requests, and may be among another's.
    """
    found: dict[str, Marked] = {}
    for row in chain.from_iterable(requests(table) for table in tables):
        found[row["pair"]] = Marked(
            row["pair"],
            content_id(row["prompt"]),
            row["domain"],
            row["human"],
            tuple(row["votes"]),
            len(row["first"]) - len(row["second"]),
        )
    return [found[key] for key in sorted(found)]


def judged(marked: Sequence[Marked], known: Judgements, name: str, asking: Asking) -> list[Judged]:
    """The pairs that people decided and the labeler answered, in the order of their ids."""
    pairs: list[Judged] = []
    for mark in marked:
        found = known.get((mark.pair, name))
        if found is None or mark.human == "tie":
            continue
        worse = asking.asks_for_worse(mark.domain)
        pairs.append(
            Judged(
                found.p_first(asks_for_worse=worse), found.ab, found.ba, mark.human == "first", mark.domain,
                mark.longer_by, asking.criterion, worse, found.both_orders, mark.pair, mark.prompt,
            )
        )  # fmt: skip
    return pairs


def measure(
    set_name: str,
    labeler: str,
    marked: Sequence[Marked],
    known: Judgements,
    askings: Mapping[str, Asking],
    seed: int,
) -> Trust | None:
    """Trust in one labeler on one set, over all the criteria it was asked by; None where no pair has both sides."""
    pairs = [pair for name, asking in askings.items() for pair in judged(marked, known, name, asking)]
    if not pairs:
        return None
    ties = sum(mark.human == "tie" for mark in marked)
    report = trust_report(pairs, seed=seed, human_ties=ties)
    unanswered = sum((mark.pair, name) not in known for mark in marked for name in askings)
    return Trust(set_name, labeler, " + ".join(askings), report, unanswered)


def calibrated(
    marked: Sequence[Marked], known: Judgements, name: str, asking: Asking, settings: Calibration, seed: int
) -> BeforeAfter | None:
    """What a map fitted on `share` of the prompts is worth on the others; None where a side has too few pairs."""
    some = [mark for mark in marked if mark.human != "tie" and (mark.pair, name) in known]
    pairs = judged(some, known, name, asking)
    chosen = split_by_id([mark.prompt for mark in some], settings.share)
    if len(chosen) < settings.folds or len(chosen) == len(pairs):
        return None
    return before_and_after(pairs, chosen, use_length=settings.length, folds=settings.folds, seed=seed)


def wording(marked: Sequence[Marked], known: Judgements, askings: Mapping[str, Asking], seed: int) -> list[Figure]:
    """Spread over the ways of asking, on the pairs that are answered in all of them; empty for a single one."""
    common = [mark for mark in marked if all((mark.pair, name) in known for name in askings)]
    by_wording = {name: judged(common, known, name, asking) for name, asking in askings.items()}
    if len(askings) < 2 or not by_wording or not next(iter(by_wording.values())):
        return []
    return prompt_sensitivity(by_wording, seed=seed).as_rows()


def concordance(each: Mapping[str, Judgements], seed: int) -> dict[str, Any] | None:
    """Kendall's W of several labelers over the questions that all have answered; None for a single one."""
    if len(each) < 2:
        return None
    common = sorted(set.intersection(*(set(known) for known in each.values())))
    found = (
        kendalls_w([[known[key].p_first() for key in common] for known in each.values()], seed=seed) if common else None
    )
    return None if found is None else {"labelers": list(each), **asdict(found)}


COLUMNS = ("marked pairs", "n", "agrees", "95 % interval", "kappa", "flips", "same position", "which", "ECE", "mass")


def show(title: str, found: Sequence[Mapping[str, Any]], note: str = "") -> None:
    """The table of trust, from `Trust.as_json`: a line each; for a single one, a line for each domain too."""
    rows: list[tuple[str | float | int | None, ...]] = []
    for one in found:
        groups = list(dict.fromkeys((row["scope"], row["group"]) for row in one["rows"]))
        shown = [("all", "all"), *((s, g) for s, g in groups if s in ("domain", "criterion"))][
            : None if len(found) == 1 else 1
        ]
        for scope, group in shown:
            label = group if len(found) == 1 else f"{one['set']}, {one['labeler']}, {one['asking']}"
            rows.append((label, *_line(one["rows"], scope, group)))
    print_table(title, COLUMNS, rows, note)


def figure(rows: Sequence[Mapping[str, Any]], scope: str, group: str, name: str) -> Mapping[str, Any] | None:
    """One figure of a report's rows; None where it is not defined."""
    found = (r for r in rows if (r["scope"], r["group"], r["figure"]) == (scope, group, name))
    return next((row for row in found if row["value"] is not None), None)


def _line(rows: Sequence[Mapping[str, Any]], scope: str, group: str) -> tuple[str | float | int | None, ...]:
    def value(name: str) -> float | None:
        found = figure(rows, scope, group, name)
        return None if found is None else found["value"]

    agrees = figure(rows, scope, group, "alignment")
    assert agrees is not None
    first = value("first among same position")
    return (
        agrees["n"], agrees["value"], f"{agrees['low']:.2f} to {agrees['high']:.2f}", value("kappa"), value("flip rate"),
        value("same position rate"), "–" if first is None else f"first in {first:.0%}", value("calibration error"),
        value("label mass"),
    )  # fmt: skip


def show_calibration(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """What calibration was worth on pairs that the map never saw."""
    names = ("alignment", "calibration error", "log loss (nats)", "Brier score", "flip rate", "verdict changed")
    table: list[tuple[str | float | int | None, ...]] = []
    for one in names:
        before, after = (figure(rows, "calibration", group, one) for group in ("before", "after"))
        known = before or after
        if known is not None:
            spans = (f"{f['value']:.3f} [{f['low']:.3f}, {f['high']:.3f}]" if f else "–" for f in (before, after))
            table.append((one, known["n"], *spans))
    print_table(f"Calibration ({name}), on pairs it was not fitted on", ("figure", "n", "before", "after"), table)
