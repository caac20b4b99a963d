"""Small contents of a report, made by hand: every number below appears in some test."""

import math

from tests.truing.report.grid_example import example as grid
from truing.report.contents import (
    AgreementSet,
    CalibrationBin,
    CalibrationEffect,
    Concordance,
    Contents,
    Estimate,
    LabelerTrust,
    Measured,
    PeopleAgreement,
    Prediction,
    RewardModelSummary,
    Step,
    Table,
    TrustRow,
    WordingSpread,
)

HOSTILE = (
    '</script><script>alert(1)</script><img src="https://example.com/x.png" onerror=alert(2)> {{ 7 * 7 }} <!-- \u2028'
)


def step(i: int) -> Step:
    return Step(
        step=i,
        reward=0.1 * i,
        parts={"reward_model": 0.2 * i} if i != 1 else {},
        kl=0.5 * i,
        entropy=2 - 0.1 * i,
        logprob_gap=0.001 * i,
        ratio=1.0,
        length=50.0 + i,
        grad_norm=math.nan if i == 2 else 1.5,
        seconds=14.2,
    )


def labeler(name: str, asking: str, *, both_orders: bool = True) -> LabelerTrust:
    """40 pairs, 28 of them agreed on: in two bins 12 of 24 and 16 of 16; ECE = 24/40 |0.5 - 0.6| + 16/40 |1 - 0.9|."""
    row = TrustRow(
        domain="all",
        n=40,
        alignment=Estimate(0.7, 0.55, 0.825, 40),
        kappa=Estimate(0.375, 0.1, 0.65, 40),
        flip_rate=Estimate(0.3, 0.175, 0.45, 40) if both_orders else None,
        same_position=Estimate(0.275, 0.15, 0.425, 40) if both_orders else None,
        preferred_position="second" if both_orders else "",
        position_p_value=0.227 if both_orders else math.nan,
        label_mass=Estimate(0.812, 0.79, 0.83, 40),
        entropy=Estimate(0.55, 0.5, 0.6, 40),
        ece=Estimate(0.1, 0.06, 0.22, 40),
    )
    return LabelerTrust(
        labeler=name,
        asking=asking,
        overall=row,
        unanswered=2,
        bins=(CalibrationBin(0.55, 0.6, 24, 0.6, 0.5), CalibrationBin(0.85, 0.9, 16, 0.9, 1.0)),
        by_length=(
            ("much shorter", Estimate(0.5, 0.2, 0.8, 10)),
            ("longer", Estimate(0.6875, 0.45, 0.9, 16)),
            ("much longer", Estimate(12 / 14, 0.64, 1.0, 14)),
        ),
        median_gap=51.5,
        by_confidence=(
            ("50–60\u202f%", Estimate(0.5, 0.3, 0.7, 24)),
            ("80–90\u202f%", Estimate(1.0, 1.0, 1.0, 16)),
        ),
    )


def effect(name: str) -> CalibrationEffect:
    """Fitted on 18 pairs, seen on 22 others; the map halves the log-odds and turns 2 of 22 verdicts."""
    return CalibrationEffect(
        name=name,
        pairs=18,
        logit=0.5,
        length=0.004,
        before=Prediction(
            alignment=Estimate(15 / 22, 0.5, 0.86, 22),
            ece=Estimate(0.14, 0.08, 0.3, 22),
            log_loss=Estimate(0.6543, 0.55, 0.76, 22),
            brier=Estimate(0.2345, 0.19, 0.28, 22),
        ),
        after=Prediction(
            alignment=Estimate(17 / 22, 0.59, 0.95, 22),
            ece=Estimate(0.06, 0.04, 0.2, 22),
            log_loss=Estimate(0.5432, 0.44, 0.65, 22),
            brier=Estimate(0.1876, 0.14, 0.23, 22),
        ),
        flip_rate=Estimate(6 / 22, 0.09, 0.45, 22),
        changed=Estimate(2 / 22, 0.0, 0.23, 22),
    )


def agreement_set(name: str) -> AgreementSet:
    """Two labelers, the second of which was asked in one order only, with everything that a set can have."""
    return AgreementSet(
        name=name,
        pairs=45,
        ties=3,
        left_out={f"no mark {name}": 5},
        asked=84,
        failed=4,
        measured=Measured(
            labelers=(labeler(f"judge {name}", name), labeler("recorded", name, both_orders=False)),
            calibration=(effect(f"judge, {name}"), effect(f"recorded, {name}")),
            concordance=Concordance((f"judge {name}", "recorded"), Estimate(0.875, 0.75, 0.95, 40)),
        ),
        wording=WordingSpread(
            alignment=((f"base {name}", Estimate(0.7, 0.55, 0.825, 40)), ("detailed", Estimate(0.6, 0.45, 0.75, 40))),
            lowest=Estimate(0.6, 0.45, 0.73, 40),
            highest=Estimate(0.7, 0.57, 0.83, 40),
            # 0.7 and 0.6 lie 0.05 from their mean: sqrt(2 * 0.05^2 / (2 - 1)) = 0.0707
            spread=Estimate(0.0707, 0.01, 0.14, 40),
            changed=Estimate(0.25, 0.125, 0.4, 40),
        ),
        people=PeopleAgreement(
            agreement=Estimate(0.65, 0.52, 0.77, 42),
            fleiss=Estimate(0.31, 0.1, 0.5, 42),
            alpha=None,
            couples=((f"annotators 1 and 2 {name}", Estimate(0.64, 0.5, 0.78, 42), Estimate(0.28, 0.02, 0.55, 42)),),
        ),
    )


def contents(hostile: str = "plain") -> Contents:
    """A full page; `hostile` stands in every place where a text of a model, a data set or a user can stand."""
    return Contents(
        name=f"demo {hostile}",
        created="2026-01-05",
        summary=f"rloo wins {hostile}",
        trust=(
            TrustRow(
                domain=hostile,
                n=72,
                alignment=Estimate(0.625, 0.5, 0.75, 72),
                kappa=Estimate(0.25, 0.0, 0.5, 72),
                flip_rate=Estimate(0.58, 0.47, 0.69, 72),
                same_position=Estimate(0.52, 0.41, 0.63, 72),
                preferred_position="first",
                position_p_value=0.0002,
                label_mass=Estimate(0.934, 0.9, 0.96, 72),
                entropy=Estimate(0.61, 0.58, 0.64, 72),
                ece=Estimate(0.083, 0.05, 0.15, 72),
            ),
        ),
        gate=(f"Alignment is too low {hostile}",),
        measured=Measured((labeler("labeler", "base"),), (effect("base"),), None),
        agreement=(agreement_set(hostile),),
        reward_model=RewardModelSummary(
            accuracy=((hostile, Estimate(0.7125, 0.61, 0.81, 80)),),
            calibration=(CalibrationBin(0.5, 0.6, 16, 0.55, 0.5), CalibrationBin(0.6, 0.7, 4, 0.65, 0.75)),
            losses=(0.7, 0.6, 0.5),
        ),
        steps=tuple(step(i) for i in range(3)),
        stages=(Table(hostile, (hostile, "pairs", "p"), ((hostile, 1200, 0.6123), ("b", None, None)), note=hostile),),
        costs=((f"sample {hostile}", 74.2), ("policy", 402.7)),
        config_yaml=f"seed: 1 # {hostile}",
        provenance={"commit": hostile},
        grid=grid(hostile),
    )


EMPTY = Contents(
    name="empty",
    created="2026-01-05",
    summary="",
    trust=(),
    gate=(),
    measured=None,
    agreement=(),
    reward_model=None,
    steps=(),
    stages=(),
    costs=(),
    config_yaml="",
    provenance={},
)
