"""Small contents of a report, made by hand: every number below appears in some test."""

import math

from truing.report.contents import (
    CalibrationBin,
    Contents,
    Estimate,
    PolicyResult,
    RewardModelSummary,
    Sample,
    Split,
    Step,
    Table,
    TrustRow,
)

HOSTILE = (
    '</script><script>alert(1)</script><img src="https://example.com/x.png" onerror=alert(2)> {{ 7 * 7 }} <!-- \u2028'
)


def result(policy: str, split: Split, win_rate: Estimate | None, kl: Estimate | None) -> PolicyResult:
    return PolicyResult(
        policy=policy,
        split=split,
        n_prompts=40,
        k=4,
        win_rate=win_rate,
        reward=Estimate(0.25, 0.125, 0.375, 160),
        parts={"reward_model": Estimate(0.75, 0.5, 1.0, 160)},
        kl=kl,
        length=Estimate(52.25, 50.5, 54.0, 160),
        ead_per_input=Estimate(0.8, 0.75, 0.85, 40),
        ead_across=Estimate(0.5 if policy == "start" else 0.4, 0.3, 0.6, 40),
        sbert_per_input=Estimate(0.45, None, None, 40),
        sbert_across=None,
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
                flip_rate=Estimate(0.58, 0.47, 0.69, 72),
                same_position=Estimate(0.52, 0.41, 0.63, 72),
                preferred_position="first",
                position_p_value=0.0002,
                label_mass=0.934,
                entropy=0.61,
                ece=0.083,
            ),
        ),
        gate=(f"Alignment is too low {hostile}",),
        reward_model=RewardModelSummary(
            accuracy=((hostile, Estimate(0.7125, 0.61, 0.81, 80)),),
            calibration=(CalibrationBin(0.5, 0.6, 16, 0.55, 0.5), CalibrationBin(0.6, 0.7, 4, 0.65, 0.75)),
            losses=(0.7, 0.6, 0.5),
        ),
        steps=tuple(step(i) for i in range(3)),
        results=(
            result("start", "id", None, None),
            result("start", "ood_domain", None, None),
            result(hostile, "id", Estimate(0.68, 0.58, 0.77, 40), Estimate(9.5, 9.0, 10.5, 160)),
            result(hostile, "ood_domain", Estimate(0.35, 0.24, 0.47, 40), Estimate(8.5, 8.0, 9.5, 160)),
        ),
        samples=(
            Sample(hostile, hostile, "id", {"start": "fine", hostile: hostile}, {"start": 0.125}),
            Sample("Why?", "question", "ood_domain", {"start": ""}, {}),
        ),
        stages=(Table(hostile, (hostile, "pairs", "p"), ((hostile, 1200, 0.6123), ("b", None, None)), note=hostile),),
        costs=((f"sample {hostile}", 74.2), ("policy", 402.7)),
        config_yaml=f"seed: 1 # {hostile}",
        provenance={"commit": hostile},
    )


EMPTY = Contents(
    name="empty",
    created="2026-01-05",
    summary="",
    trust=(),
    gate=(),
    reward_model=None,
    steps=(),
    results=(),
    samples=(),
    stages=(),
    costs=(),
    config_yaml="",
    provenance={},
)
