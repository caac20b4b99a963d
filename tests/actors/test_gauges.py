"""What a row of metrics, a pass and an engine are worth as readings, and what the metrics are called."""

import math
import mmap
from types import SimpleNamespace

import pytest

from actors.gauges import (
    METRICS,
    Reached,
    Reading,
    engine_readings,
    memory_readings,
    node_readings,
    pass_readings,
    statistics_readings,
    step_readings,
)
from actors.spending import Usage

ROW = {
    "step": 4, "version": 4, "checksum": 7, "probe_gap": 0.001, "beta": 0.05, "reward": 0.5,
    "parts": {"finished": -1.0, "länge": 1.5}, "kl": 0.25, "length": 20.0, "tokens": 160, "failed": 3, "left_out": 0,
    "staleness": 1.0, "stalest": 2.0, "loss": -0.1, "grad_norm": 0.75, "entropy": 2.5, "ratio": 1.0, "logprob_gap": 0.02,
    "timings": {"push": 1.0, "sample": 4.0, "step": 8.0, "spans": [["push", 100.0, 1.0]]},
}  # fmt: skip


def found(readings: list[Reading]) -> dict[str, float]:
    return {" ".join([one.metric.removeprefix("truing_"), *one.tags.values()]): one.value for one in readings}


def test_a_row_of_reinforcement_learning() -> None:
    assert found(step_readings(ROW)) == {
        "step": 5, "reward": 0.5, "kl": 0.25, "entropy": 2.5, "loss": -0.1, "grad_norm": 0.75, "logprob_gap": 0.02,
        "probe_gap": 0.001, "staleness": 1.0, "stalest": 2.0, "reward_part finished": -1.0, "reward_part länge": 1.5,
        "phase_seconds push": 1.0, "phase_seconds sample": 4.0, "response_tokens": 20.0, "failed_rewards": 3,
        "tokens": 160, "step_seconds": 8.0,
        "tokens_per_second": 20.0,  # 160 tokens in 8 s
    }  # fmt: skip


def test_a_row_reports_what_it_has_and_no_nan() -> None:
    row = {"step": 0, "loss": 0.7, "held_out_loss": 0.6, "timings": {"update": 1.0, "step": 2.0}}
    expected = {"step": 1, "loss": 0.7, "held_out_loss": 0.6, "phase_seconds update": 1.0, "step_seconds": 2.0}
    assert found(step_readings(row)) == expected
    # Where all rewards failed there is no mean of them: the gauge keeps its last value.
    assert found(step_readings(row | {"reward": math.nan})) == expected


def test_a_pass_adds_what_is_new() -> None:
    before = Reached(10, 1, Usage(requests=12, retries=1, prompt_tokens=100, completion_tokens=10, cost=0.5))
    now = Reached(16, 1, Usage(requests=20, retries=3, prompt_tokens=150, completion_tokens=14, cost=0.75))
    assert found(pass_readings(before, now, 3, 2.5)) == {
        "answers": 6, "failures": 0, "requests": 8, "retries": 2, "prompt_tokens": 50, "completion_tokens": 4,
        "cost": 0.25, "queue": 3, "answers_per_second": 2.5,
    }  # fmt: skip
    assert "answers_per_second" not in found(pass_readings(before, now, 3, None))


def test_nodes_that_are_there_and_were_there() -> None:
    hours = {"head": 2.0, "labeler": 0.5}
    assert found(node_readings({"head": 1}, hours, {"labeler": 3.0})) == {
        "nodes head": 1, "nodes labeler": 0, "node_hours head": 2.0, "node_hours labeler": 0.5,
        "node_cost labeler": 1.5,  # half an hour at 3; the head has no price
    }  # fmt: skip


def test_memory_grows_with_what_a_process_holds() -> None:
    (before,) = found(memory_readings()).values()
    # Pages of its own: what the allocator hands out may be memory that the process has had all along.
    with mmap.mmap(-1, 64 << 20) as held:
        held.write(b"x" * len(held))
        (after,) = found(memory_readings()).values()
        assert after - before > 0.9 * len(held)


def test_an_engine_whose_scheduler_is_in_this_process() -> None:
    """The attributes are vLLM's, and its own class counts: only the scheduler around it is ours."""
    pool = _block_pool(blocks=11)
    pool.get_new_blocks(4)
    cache = SimpleNamespace(usage=pool.get_usage())
    scheduler = SimpleNamespace(get_request_counts=lambda: (3, 2), kv_cache_manager=cache)
    core = SimpleNamespace(engine_core=SimpleNamespace(scheduler=scheduler))
    llm = SimpleNamespace(llm_engine=SimpleNamespace(engine_core=core, log_stats=False))
    # Of 11 blocks one is vLLM's null block; 4 of the other 10 are in use.
    usage = {"kv_cache_usage": pytest.approx(0.4), "sequences_running": 3, "sequences_waiting": 2}
    assert found(engine_readings(llm)) == usage


def test_an_engine_in_a_process_of_its_own_tells_nothing_without_statistics() -> None:
    llm = SimpleNamespace(llm_engine=SimpleNamespace(engine_core=SimpleNamespace(), log_stats=False))
    assert engine_readings(llm) == []


def test_an_engine_that_keeps_statistics() -> None:
    from prometheus_client import REGISTRY, Gauge
    from vllm.v1.metrics.reader import get_metrics_snapshot

    made = [Gauge(name, "vLLM's", ["engine"]) for name in ("vllm:kv_cache_usage_perc", "vllm:num_requests_waiting")]
    try:
        made[0].labels("0").set(0.25)
        made[1].labels("0").set(7)
        readings = statistics_readings(get_metrics_snapshot())
    finally:
        for gauge in made:
            REGISTRY.unregister(gauge)
    assert found(readings) == {"kv_cache_usage": 0.25, "sequences_waiting": 7}


def _block_pool(blocks: int):
    from vllm.v1.core.block_pool import BlockPool

    return BlockPool(num_gpu_blocks=blocks, enable_caching=False, hash_block_size=32)


def test_descriptions_are_ascii() -> None:
    """Ray encodes them as that, and fails where it cannot."""
    assert [one.name for one in METRICS.values() if not (one.meaning + one.unit).isascii()] == []


def test_names_are_those_of_prometheus() -> None:
    assert METRICS["truing_kl"].exported == ("ray_truing_kl",)
    assert METRICS["truing_cost"].exported == ("ray_truing_cost_total",)
    assert METRICS["truing_step_seconds"].exported == tuple(
        f"ray_truing_step_seconds_{end}" for end in ("bucket", "count", "sum")
    )
