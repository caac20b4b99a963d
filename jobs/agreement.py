"""Agreement: the labeler against people, on several sets and asked in several ways; a figure for everything it is worth."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from jobs import trust
from jobs.askings import AskedSet
from jobs.consult import consult, judgements, stored, table
from jobs.context import Context
from jobs.label import marked_pairs
from jobs.progress import Progress, headline
from jobs.store import write_json
from truing.config.stages import Agreement
from truing.labeling.agreement import Row as Figure
from truing.labeling.agreement import interval_row
from truing.labeling.annotators import annotator_agreement


def agreement(context: Context) -> None:
    """Ask about every set, in every way; measure, calibrate on a part of each set, and write `agreement.json`."""
    settings = context.study.agreement
    assert settings is not None
    headline("Agreement: the labeler against people")
    found = [_set(context, settings, one) for one in context.asked_sets]
    trusted = [entry for each in found for entry in each["trust"]]
    notes = [f"{one.name}: {one.survey.note()}" for one in context.asked_sets if one.survey.left_out]
    trust.show("Agreement with people", trusted, "\n".join(notes))
    for each in found:
        for name, one in each["calibration"].items():
            trust.show_calibration(f"{each['set']}, {name}", one["rows"])
    write_json(context.run.path / "agreement.json", found)


def _set(context: Context, settings: Agreement, one: AskedSet) -> dict[str, Any]:
    """One set: the labels, then every figure of them."""
    study, name, surveyed, ways = context.study, one.name, one.survey, one.askings
    folder = context.run.path / "agreement" / name
    done = consult(context, f"asking about {name}", folder, partial(marked_pairs, (one.labels,)), ways, 1.0)
    marked = trust.marks([table(folder, member) for member in context.members])
    each = {member.name: stored(table(folder, member)) for member in context.members}
    labelers = each if len(each) == 1 else {"together": judgements(study.labeler, folder), **each}
    entries: list[dict[str, Any]] = []
    calibration: dict[str, Any] = {}
    with Progress(f"measuring {name}", len(labelers) * len(ways)) as bar:
        for labeler, known in labelers.items():
            for way, asking in ways.items():
                entry = trust.measure(name, labeler, marked, known, {way: asking}, study.seed)
                worth = trust.calibrated(marked, known, way, asking, settings.calibration, study.seed)
                entries += [entry.as_json()] if entry else []
                if worth is not None:
                    key = way if len(labelers) == 1 else f"{labeler}, {way}"
                    calibration[key] = {"map": worth.map.as_dict(), "rows": worth.as_rows()}
                bar.advance()
    return {
        "set": name,
        "pairs": surveyed.pairs, "ties": surveyed.ties, "left out": surveyed.left_out,
        "asked": done.asked, "failed": done.failed, "reused": sum(done.reused.values()),
        "trust": entries,
        "calibration": calibration,
        "wording": trust.wording(marked, next(iter(labelers.values())), ways, study.seed),
        "concordance": trust.concordance(each, study.seed),
        "people": people(surveyed.votes, study.seed),
    }  # fmt: skip


def people(votes: Sequence[tuple[str | None, ...]], seed: int) -> list[Figure]:
    """How far the annotators of a set agree with each other, on all that they have voted on; empty where it has no single votes."""
    width = max(map(len, votes), default=0)
    if width < 2:
        return []
    found = annotator_agreement([(*row, *[None] * (width - len(row))) for row in votes], seed=seed)
    rows = [
        interval_row("people", "all", name, interval)
        for name, interval in (
            ("agreement", found.agreement),
            ("Fleiss' kappa", found.fleiss),
            ("Krippendorff's alpha", found.alpha),
        )
        if interval is not None
    ]
    for couple in found.couples:
        group = f"annotators {couple.one + 1} and {couple.other + 1}"
        rows += [
            interval_row("people", group, name, interval)
            for name, interval in (("agreement", couple.agreement), ("kappa", couple.kappa))
            if interval is not None
        ]
    return rows
