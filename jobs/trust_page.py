"""From `trust.json` and `agreement.json` to what the page shows of the labeler."""

from collections.abc import Mapping, Sequence
from typing import Any

from jobs.trust import figure
from truing.report.contents import (
    AgreementSet,
    CalibrationBin,
    CalibrationEffect,
    Concordance,
    Estimate,
    LabelerTrust,
    Measured,
    PeopleAgreement,
    Prediction,
    TrustRow,
    WordingSpread,
)  # fmt: skip

Rows = Sequence[Mapping[str, Any]]
Json = Mapping[str, Any]


def trust_rows(entry: Json) -> tuple[TrustRow, ...]:
    """One labeler on all pairs, then on each domain's."""
    groups = dict.fromkeys((row["scope"], row["group"]) for row in entry["rows"] if row["scope"] in ("all", "domain"))
    return tuple(_trust_row(entry["rows"], scope, group) for scope, group in groups)


def measured(found: Json) -> Measured:
    """Labelers, calibration and concordance: of the study, or of one set of an agreement study."""
    agreed = found["concordance"]
    return Measured(
        labelers=tuple(_labeler(entry) for entry in found["trust"]),
        calibration=tuple(_effect(name, one) for name, one in found["calibration"].items()),
        concordance=None if agreed is None else Concordance(tuple(agreed["labelers"]), known(agreed)),
    )


def agreement_set(found: Json) -> AgreementSet:
    """One set of an agreement study."""
    return AgreementSet(
        name=found["set"],
        pairs=found["pairs"],
        ties=found["ties"],
        left_out=found["left out"],
        asked=found["asked"],
        failed=found["failed"],
        measured=measured(found),
        wording=_wording(found["wording"]) if found["wording"] else None,
        people=_people(found["people"]) if found["people"] else None,
    )


def verdict(trust: Sequence[TrustRow], agreement: Sequence[AgreementSet]) -> str | None:
    """The labeler against people in one sentence: on the first set of a study, else on the study's marked pairs."""
    studied = [(f" on {one.name}", each.overall) for one in agreement for each in one.measured.labelers]
    of_study = [("", row) for row in trust[:1]]
    where, row = next(iter(studied or of_study), ("", None))
    if row is None or row.alignment.low is None or row.alignment.high is None:
        return None
    value, low, high = (100 * each for each in (row.alignment.value, row.alignment.low, row.alignment.high))
    return f"The labeler agrees with people{where} in {value:.0f} % (95 % interval {low:.0f} to {high:.0f} %, {row.n} pairs)."


def known(value: Json) -> Estimate:
    """A figure that is there."""
    return Estimate(value["value"], value["low"], value["high"], value["n"])


def _estimate(rows: Rows, scope: str, group: str, name: str) -> Estimate | None:
    found = figure(rows, scope, group, name)
    return None if found is None else known(found)


def _sure(rows: Rows, scope: str, group: str, name: str) -> Estimate:
    found = _estimate(rows, scope, group, name)
    assert found is not None, f"no {name} of {scope} {group}"
    return found


def _trust_row(rows: Rows, scope: str, group: str) -> TrustRow:
    same = _estimate(rows, scope, group, "same position rate")
    first = _estimate(rows, scope, group, "first among same position")
    chance = _estimate(rows, scope, group, "position p-value")
    alignment = _sure(rows, scope, group, "alignment")
    return TrustRow(
        domain=group,
        n=alignment.n,
        alignment=alignment,
        kappa=_estimate(rows, scope, group, "kappa"),
        flip_rate=_estimate(rows, scope, group, "flip rate"),
        same_position=same,
        preferred_position="" if same is None else _position(first),
        position_p_value=float("nan") if same is None or chance is None else chance.value,
        label_mass=_sure(rows, scope, group, "label mass"),
        entropy=_sure(rows, scope, group, "mean entropy (nats)"),
        ece=_sure(rows, scope, group, "calibration error"),
    )


def _position(first: Estimate | None) -> str:
    if first is None or first.value == 0.5:
        return "none"
    return "first" if first.value > 0.5 else "second"


def _labeler(entry: Json) -> LabelerTrust:
    by_length = [(*_length(row["group"]), known(row)) for row in entry["rows"] if row["scope"] == "length"]
    gaps = [gap for _, gap, _ in by_length if gap is not None]
    return LabelerTrust(
        labeler=entry["labeler"],
        asking=entry["asking"],
        overall=_trust_row(entry["rows"], "all", "all"),
        unanswered=entry["unanswered"],
        bins=tuple(
            CalibrationBin(one["low"], one["high"], one["n"], one["confidence"], one["accuracy"])
            for one in entry["bins"]
        ),
        by_length=tuple((name, estimate) for name, _, estimate in by_length),
        median_gap=gaps[0] if gaps else None,
        by_confidence=tuple(
            (_confidence(row["group"]), known(row)) for row in entry["rows"] if row["scope"] == "confidence"
        ),
    )


def _length(group: str) -> tuple[str, float | None]:
    """The page's name of a group of `length_group`, and the median difference in length that it names."""
    words = group.removeprefix("human choice ")
    if words == "equally long":
        return words, None
    side, _, extent = words.partition(" by ")
    bound, _, gap = extent.rpartition(" ")
    return f"much {side}" if bound == "more than" else side, float(gap)


def _confidence(group: str) -> str:
    low, _, high = group.partition("-")
    return f"{100 * float(low):.0f}–{100 * float(high):.0f}\u202f%"


def _effect(name: str, found: Json) -> CalibrationEffect:
    rows, scope = found["rows"], "calibration"

    def prediction(group: str) -> Prediction:
        names = ("alignment", "calibration error", "log loss (nats)", "Brier score")
        return Prediction(*(_sure(rows, scope, group, one) for one in names))

    return CalibrationEffect(
        name=name,
        pairs=found["map"]["pairs"],
        logit=found["map"]["logit"],
        length=found["map"]["length"],
        before=prediction("before"),
        after=prediction("after"),
        flip_rate=_estimate(rows, scope, "before", "flip rate"),
        changed=_sure(rows, scope, "after", "verdict changed"),
    )


def _wording(rows: Rows) -> WordingSpread:
    return WordingSpread(
        alignment=tuple((row["group"], known(row)) for row in rows if row["figure"] == "alignment"),
        lowest=_sure(rows, "wording", "all", "lowest alignment"),
        highest=_sure(rows, "wording", "all", "highest alignment"),
        spread=_sure(rows, "wording", "all", "alignment spread"),
        changed=_sure(rows, "wording", "all", "verdict changed"),
    )


def _people(rows: Rows) -> PeopleAgreement:
    def of(group: str, name: str) -> Estimate | None:
        return _estimate(rows, "people", group, name)

    couples = dict.fromkeys(row["group"] for row in rows if row["group"] != "all")
    return PeopleAgreement(
        agreement=of("all", "agreement"),
        fleiss=of("all", "Fleiss' kappa"),
        alpha=of("all", "Krippendorff's alpha"),
        couples=tuple((group, of(group, "agreement"), of(group, "kappa")) for group in couples),
    )
