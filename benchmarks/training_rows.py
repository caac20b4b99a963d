"""What `benchmarks.training` compares, with which target, and who the contenders are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.progress import Cell

Measured = Mapping[str, Mapping[str, float]]
"""Medians by contender and figure."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A function of a module of `benchmarks`, which runs in a process of its own."""

    module: str
    function: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def peer(self) -> bool:
        """Whether it needs TRL."""
        return self.module == "training_peer"


@dataclass(frozen=True, slots=True)
class Row:
    """One figure beside its target; a row without a target only tells."""

    what: str
    ours: float
    theirs: float | None
    unit: str
    target: str = ""
    met: bool | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over theirs."""
        return self.ours / self.theirs if self.theirs else None

    def cells(self) -> tuple[Cell, ...]:
        """As the table shows it."""
        said = "" if self.met is None else "met" if self.met else "not met"
        return (self.what, self.ours, self.theirs, self.unit, self.ratio, self.target, said)


COLUMNS = ("what", "ours", "theirs", "unit", "ratio", "target", "")


def faster(what: str, ours: float, theirs: float, unit: str, least: float) -> Row:
    """A rate that must be at least so many times theirs."""
    return Row(what, ours, theirs, unit, f"≥ {least:g}×", ours >= least * theirs)


def within(what: str, ours: float, theirs: float | None, unit: str, most: float) -> Row:
    """A figure that must be at most so many times theirs, or where there is none, at most so large."""
    if theirs is None:
        return Row(what, ours, None, unit, f"≤ {most:g} {unit}".strip(), ours <= most)
    return Row(what, ours, theirs, unit, f"≤ {most:g}×", ours <= most * theirs)


def rate(found: Mapping[str, float], what: str = "items", extra: str = "") -> float:
    """Items (or tokens) a second; `extra` names seconds that are counted too."""
    return found[what] / (found["seconds"] + (found[extra] if extra else 0.0))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Contenders, and the rows that their figures make."""

    title: str
    contenders: Mapping[str, Contender]
    rows: Callable[[Measured], Sequence[Row]]


def others(found: Measured) -> list[str]:
    """All but ours."""
    return [name for name in found if name != "ours"]


def learner_rows(found: Measured) -> list[Row]:
    """Tokens of prompts and responses a second."""
    ours, bare = found["ours"], found["bare loop"]
    return [
        faster("learner against a bare loop", rate(ours, "tokens"), rate(bare, "tokens"), "tokens/s", 0.95),
        Row("its peak memory", ours["peak_gb"], bare["peak_gb"], "GB"),
    ]


def _against(found: Measured, what: str, unit: str, least: float, memory: float | None) -> list[Row]:
    ours = found["ours"]
    rows: list[Row] = []
    for name in others(found):
        theirs = found[name]
        rows.append(faster(f"{what} against {name}", rate(ours), rate(theirs), unit, least))
        peaks = ours["peak_gb"], theirs["peak_gb"]
        label = "  its peak memory"
        rows.append(within(label, *peaks, "GB", memory) if memory else Row(label, *peaks, "GB"))
    return rows


def reward_rows(found: Measured) -> list[Row]:
    """Pairs a second and peak memory."""
    return _against(found, "reward model", "pairs/s", 2.0, 0.7)


def preference_rows(found: Measured) -> list[Row]:
    """Pairs a second and peak memory; then with the reference's pass, which a run of one epoch cannot spread."""
    ours = found["ours"]
    rows = _against(found, "DPO", "pairs/s", 2.0, 0.7)
    for name in others(found):
        theirs = found[name]
        with_pass = rate(ours, extra="reference"), rate(theirs, extra="reference")
        rows.append(Row(f"DPO and the reference's pass, one epoch, against {name}", *with_pass, "pairs/s"))
        rows.append(Row("  the reference's pass before training", ours["reference"], theirs["reference"] or None, "s"))
    return rows


def supervised_rows(found: Measured) -> list[Row]:
    """Sequences a second."""
    return _against(found, "SFT", "sequences/s", 1.3, None)


def step_rows(found: Measured) -> list[Row]:
    """Steps a minute, and of how many tokens they are."""
    ours = found["ours"]
    rows: list[Row] = []
    for name in others(found):
        theirs = found[name]
        minute = 60 / ours["seconds"], 60 / theirs["seconds"]
        rows.append(faster(f"steps against {name}", *minute, "steps/min", 3.0))
        rows.append(Row("  tokens sampled in a step", ours["tokens"], theirs["tokens"], "tokens"))
    parts = ("seconds", "sample seconds", "score seconds", "update seconds")
    return rows + [Row(f"  our step: {part.removesuffix(' seconds')}", ours[part], None, "s") for part in parts]


def overhead_rows(found: Measured) -> list[Row]:
    """What Ray and the driver cost, and a push."""
    ours = found["ours"]
    return [
        within("share of a step in which no actor works", 100 * ours["idle"], None, "%", 3.0),
        within("weights pushed and probed", ours["push"], None, "s", 1.0),
    ]


def padding_rows(found: Measured) -> list[Row]:
    """Of 4,096 lognormal lengths 30..512."""
    ours = found["ours"]
    shown = Row("padding, against 8 at a time as they come", 100 * ours["ours"], 100 * ours["theirs"], "%")
    return [within("padding in micro-batches of 2,048 tokens", 100 * ours["ours"], None, "%", 5.0), shown]


def _trl(function: str, **more: Any) -> dict[str, Contender]:
    variants: dict[str, dict[str, Any]] = {
        "TRL's defaults": {"best": False, "micro_batch": 0},
        "TRL's best": {"best": True, "micro_batch": 0},
        "TRL's best, micro-batches of 4": {"best": True, "micro_batch": 4},
    }
    return {name: Contender("training_peer", function, more | options) for name, options in variants.items()}


def _step(algorithm: str) -> dict[str, Contender]:
    """Micro-batches of 8 completions: 32 at once without recomputation would not fit a small machine."""
    options = {"algorithm": algorithm}
    return {
        "ours": Contender("training_rl", "steps", options),
        "TRL's defaults": Contender("training_peer", "steps", options | {"best": False, "micro_batch": 0}),
        "TRL's best": Contender("training_peer", "steps", options | {"best": True, "micro_batch": 8}),
    }


def _ours(function: str) -> dict[str, Contender]:
    return {"ours": Contender("training_ours", function)}


PACKED = Contender("training_peer", "supervised", {"best": True, "micro_batch": 0, "packed": True})
BENCHMARKS: dict[str, Benchmark] = {
    "padding": Benchmark("Padding", _ours("padding"), padding_rows),
    "learner": Benchmark(
        "Learner", _ours("supervised") | {"bare loop": Contender("training_ours", "bare")}, learner_rows
    ),
    "reward": Benchmark("Reward model", _ours("reward") | _trl("reward"), reward_rows),
    "dpo": Benchmark("Direct preference", _ours("preference") | _trl("preference"), preference_rows),
    "sft": Benchmark(
        "Supervised fine-tuning", _ours("supervised") | _trl("supervised") | {"TRL, packed": PACKED}, supervised_rows
    ),
    "rloo": Benchmark("RLOO step", _step("rloo"), step_rows),
    "overhead": Benchmark(
        "Ray and driver", {"ours": Contender("training_rl", "steps", {"algorithm": "rloo"})}, overhead_rows
    ),
    "grpo": Benchmark("GRPO step", _step("grpo"), step_rows),
}
NOT_BY_ITSELF = ("grpo",)
"""Run only where it is named: much of it is the RLOO step again."""
