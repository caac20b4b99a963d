"""Figures of a run as metrics for Prometheus: their names, units and tags, all in this place, and what each is worth.

Plain functions from rows, counts and engines to readings; `actors/exporting.py` hands those to Ray.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import psutil

from actors.spending import Usage

WINDOW = 60.0
"""Seconds over which the rate of a pass is taken."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: what it counts, in which unit. Every one has the tags `run` and `role`, and perhaps some of its own."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    meaning: str
    tags: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def exported(self) -> tuple[str, ...]:
        """Its names in Prometheus."""
        endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}
        return tuple(f"ray_{self.name}{ending}" for ending in endings[self.kind])


@dataclass(frozen=True, slots=True)
class Reading:
    """A value of a metric: a gauge's own, or what is added to a counter or a histogram."""

    metric: str
    value: float
    tags: Mapping[str, str] = field(default_factory=dict[str, str])


SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)

METRICS = {
    metric.name: metric
    for metric in (
        # Training: the role is the stage, reported by the driver at the end of each step.
        Metric("truing_step", "gauge", "steps", "steps done"),
        Metric("truing_step_seconds", "histogram", "s", "time of a step", bounds=SECONDS),
        Metric("truing_phase_seconds", "gauge", "s", "time of each phase of the last step", ("phase",)),
        Metric("truing_reward", "gauge", "reward", "mean raw reward of the last batch"),
        Metric("truing_reward_part", "gauge", "reward", "mean of each part of the reward", ("part",)),
        Metric("truing_kl", "gauge", "nats", "KL of a response to the reference (k1), mean of the last batch"),
        Metric("truing_entropy", "gauge", "nats", "entropy of a token"),
        Metric("truing_loss", "gauge", "loss", "loss of the last step"),
        Metric("truing_held_out_loss", "gauge", "loss", "loss on held-out data, at the last look"),
        Metric("truing_grad_norm", "gauge", "norm", "global norm of the gradient before it is scaled down"),
        Metric(
            "truing_logprob_gap",
            "gauge",
            "nats",
            "sampler against learner: mean absolute difference of a token's log-probs",
        ),
        Metric("truing_probe_gap", "gauge", "nats", "engine against learner on the probe, after the push"),
        Metric("truing_staleness", "gauge", "versions", "mean age of a token's weights"),
        Metric("truing_stalest", "gauge", "versions", "largest age of a token's weights"),
        Metric("truing_response_tokens", "gauge", "tokens", "mean tokens of a response"),
        Metric("truing_tokens", "counter", "tokens", "tokens of responses trained on"),
        Metric("truing_tokens_per_second", "gauge", "tokens/s", "the same over the time of the last step"),
        Metric("truing_failed_rewards", "counter", "completions", "rewards that failed"),
        # Offline passes: the role is the pass, reported by the driver while it waits.
        Metric("truing_queue", "gauge", "requests", "requests without an answer"),
        Metric("truing_answers", "counter", "requests", "requests answered: labels, completions, scores"),
        Metric("truing_failures", "counter", "requests", "requests that failed"),
        Metric("truing_answers_per_second", "gauge", "requests/s", f"the rate of the last {WINDOW:g} s"),
        Metric("truing_requests", "counter", "requests", "HTTP requests to an endpoint, retries among them"),
        Metric("truing_retries", "counter", "requests", "HTTP requests sent again"),
        Metric("truing_prompt_tokens", "counter", "tokens", "prompt tokens that labelers have read"),
        Metric("truing_completion_tokens", "counter", "tokens", "tokens that labelers have written"),
        Metric("truing_cost", "counter", "currency", "what an endpoint has cost, in the currency of its price"),
        # Actors: the role is the group's, reported by the actor itself; the driver reports its memory too.
        Metric("truing_kv_cache_usage", "gauge", "share", "share of the KV cache's blocks in use"),
        Metric("truing_sequences_running", "gauge", "sequences", "sequences that an engine decodes"),
        Metric("truing_sequences_waiting", "gauge", "sequences", "sequences that wait for a place in an engine"),
        Metric("truing_resident_bytes", "gauge", "bytes", "resident memory of a process, shared pages among it"),
        Metric("truing_starts", "counter", "processes", "actors' processes that began"),
        Metric("truing_restarts", "counter", "processes", "those of them that took the place of one that died"),
        # The cluster: the role is the driver, which looks at its nodes.
        Metric("truing_nodes", "gauge", "nodes", "nodes that are there", ("kind",)),
        Metric("truing_node_hours", "gauge", "h", "node-hours of the run, over all its drivers", ("kind",)),
        Metric("truing_node_cost", "gauge", "currency", "what they cost, in the currency of cluster.prices", ("kind",)),
    )
}

STEP_GAUGES = (
    *("reward", "kl", "entropy", "loss", "held_out_loss", "grad_norm", "logprob_gap", "probe_gap", "staleness"),
    "stalest",
)
"""Columns of metrics.jsonl that are gauges of their own name."""

LOADS = {
    "vllm:kv_cache_usage_perc": "truing_kv_cache_usage",
    "vllm:num_requests_running": "truing_sequences_running",
    "vllm:num_requests_waiting": "truing_sequences_waiting",
}
"""vLLM's own metrics, where its statistics are on."""


# --- what figures are worth -------------------------------------------------------------------------------------------


def step_readings(row: Mapping[str, Any]) -> list[Reading]:
    """Readings of one row of metrics.jsonl. What the row does not have, or is NaN, is not reported."""
    timings: Mapping[str, Any] = row.get("timings", {})
    phases = {name: spent for name, spent in timings.items() if name != "step" and isinstance(spent, int | float)}
    found = [Reading("truing_step", row["step"] + 1)]
    found += [Reading(f"truing_{name}", row[name]) for name in STEP_GAUGES if name in row]
    found += [Reading("truing_reward_part", value, {"part": name}) for name, value in row.get("parts", {}).items()]
    found += [Reading("truing_phase_seconds", spent, {"phase": name}) for name, spent in phases.items()]
    if "length" in row:
        found.append(Reading("truing_response_tokens", row["length"]))
    if "failed" in row:
        found.append(Reading("truing_failed_rewards", row["failed"]))
    if "tokens" in row:
        found.append(Reading("truing_tokens", row["tokens"]))
    if seconds := timings.get("step"):
        found.append(Reading("truing_step_seconds", seconds))
        found += [Reading("truing_tokens_per_second", row["tokens"] / seconds)] if "tokens" in row else []
    return _known(found)


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a pass has come since it began: rows answered, rows failed, what that has used."""

    answered: int = 0
    failed: int = 0
    usage: Usage = field(default_factory=Usage)


def pass_readings(before: Reached, now: Reached, still_open: int, rate: float | None) -> list[Reading]:
    """Readings of a pass that has come from `before` to `now`; `rate` in answers a second, None as long as it is not known."""
    used = ("requests", "retries", "prompt_tokens", "completion_tokens", "cost")
    was, is_now = (
        {
            "answers": one.answered,
            "failures": one.failed,
            **{name: getattr(one.usage, name) for name in used},
        }
        for one in (before, now)
    )
    found = [Reading(f"truing_{name}", is_now[name] - was[name]) for name in is_now]
    found.append(Reading("truing_queue", still_open))
    return found if rate is None else [*found, Reading("truing_answers_per_second", rate)]


def engine_readings(llm: Any) -> list[Reading]:
    """Load of a vLLM engine: from its scheduler where that is in this process, else from its statistics, if they are on.

    With its statistics off and its scheduler in a process of its own, vLLM 0.32 tells nothing: no readings. (Its
    `get_metrics` then fails, and its core makes no statistics that could be asked for.)
    """
    engine = llm.llm_engine
    core = engine.engine_core
    if hasattr(core, "engine_core"):
        scheduler = core.engine_core.scheduler
        running, waiting = scheduler.get_request_counts()
        loads = (scheduler.kv_cache_manager.usage, running, waiting)
        return [Reading(name, value) for name, value in zip(LOADS.values(), loads, strict=True)]
    return statistics_readings(llm.get_metrics()) if engine.log_stats else []


def statistics_readings(metrics: Iterable[Any]) -> list[Reading]:
    """Load of an engine from vLLM's own metrics (`LLM.get_metrics`); of several engines' the last one's."""
    found = {LOADS[one.name]: one.value for one in metrics if one.name in LOADS}
    return [Reading(name, value) for name, value in found.items()]


def memory_readings() -> list[Reading]:
    """Resident memory of this process; what it shares with others (Ray's object store) counts in each of them."""
    return [Reading("truing_resident_bytes", psutil.Process().memory_info().rss)]


def node_readings(there: Mapping[str, int], hours: Mapping[str, float], prices: Mapping[str, float]) -> list[Reading]:
    """Readings of a look at nodes: how many of each kind are there, the node-hours so far, their cost where there is a price.

    A kind of which there is none any more, among the `hours`, is reported as 0 nodes.
    """
    counts = {kind: there.get(kind, 0) for kind in hours}
    costs = {kind: spent * prices[kind] for kind, spent in hours.items() if kind in prices}
    found = {"truing_nodes": counts, "truing_node_hours": hours, "truing_node_cost": costs}
    return [Reading(name, value, {"kind": kind}) for name, values in found.items() for kind, value in values.items()]


def _known(readings: Iterable[Reading]) -> list[Reading]:
    return [one for one in readings if not math.isnan(one.value)]
