"""The tables of trust in labelers, line by line: what the plots of agreement show, calibration, wording, people."""

from collections.abc import Sequence
from dataclasses import dataclass

from truing.report.contents import LENGTHS, CalibrationEffect, Estimate, LabelerTrust, PeopleAgreement, WordingSpread
from truing.report.notation import Number, fixed, percent

Cell = tuple[Estimate | None, Number]
"""A figure and how it is written."""


@dataclass(frozen=True)
class Line:
    """One line: a cell for each column of its table."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Block:
    """Lines that belong together, under one title where there is one."""

    title: str
    lines: tuple[Line, ...]


def series(labelers: Sequence[LabelerTrust]) -> list[str]:
    """What tells each from the others: the labeler, how it was asked, or both."""
    judges, ways = {one.labeler for one in labelers}, {one.asking for one in labelers}
    if len(ways) == 1:
        return [one.labeler for one in labelers]
    return [one.asking if len(judges) == 1 else f"{one.labeler}, {one.asking}" for one in labelers]


def confidences(labelers: Sequence[LabelerTrust]) -> list[str]:
    """The ranges of confidence in which any labeler has a pair, from low to high."""
    return sorted({group for one in labelers for group, _ in one.by_confidence})


def by_group(labelers: Sequence[LabelerTrust]) -> list[Block]:
    """Agreement by length and by confidence, a column for each labeler; groups that nobody has are left out."""
    lengths, ranges = [dict(one.by_length) for one in labelers], [dict(one.by_confidence) for one in labelers]
    blocks = (
        _block("People prefer a response that is …", LENGTHS, lengths),
        _block("The labeler’s confidence is …", confidences(labelers), ranges),
    )
    return [block for block in blocks if block.lines]


def calibration(effects: Sequence[CalibrationEffect]) -> list[Block]:
    """A block for each way of asking. Columns: before, after."""
    return [Block(effect.name, _before_and_after(effect)) for effect in effects]


def wording(found: WordingSpread) -> list[Block]:
    """Agreement by way of asking, then over all of them. One column."""
    ways = tuple(_line(name, percent, estimate) for name, estimate in found.alignment)
    over_all = (
        _line("Lowest", percent, found.lowest),
        _line("Highest", percent, found.highest),
        _line("Standard deviation", percent, found.spread),
        _line("Verdict changes with the way", percent, found.changed),
    )
    return [Block("", ways), Block("Over all ways", over_all)]


def people(found: PeopleAgreement) -> list[Block]:
    """Everybody, then couples. Columns: share of agreement; kappa, Fleiss' or Cohen's; Krippendorff's alpha."""
    everybody = Line("All", ((found.agreement, percent), (found.fleiss, fixed(2)), (found.alpha, fixed(2))))
    couples = tuple(
        Line(name, ((agreement, percent), (kappa, fixed(2)), (None, fixed(2))))
        for name, agreement, kappa in found.couples
    )
    return [Block("", (everybody, *couples))]


def _before_and_after(effect: CalibrationEffect) -> tuple[Line, ...]:
    before, after = effect.before, effect.after
    return (
        _line("Agreement", percent, before.alignment, after.alignment),
        _line("ECE", percent, before.ece, after.ece),
        _line("Log loss, nats a pair", fixed(3), before.log_loss, after.log_loss),
        _line("Brier score", fixed(3), before.brier, after.brier),
        _line("Verdict flips with the order", percent, effect.flip_rate, None),
        _line("Verdict changed by the map", percent, None, effect.changed),
    )


def _block(title: str, names: Sequence[str], columns: Sequence[dict[str, Estimate]]) -> Block:
    shown = [name for name in names if any(name in column for column in columns)]
    return Block(title, tuple(_line(name, percent, *(column.get(name) for column in columns)) for name in shown))


def _line(name: str, number: Number, *estimates: Estimate | None) -> Line:
    return Line(name, tuple((estimate, number) for estimate in estimates))
