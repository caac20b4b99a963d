"""Readings reach Prometheus from the driver and from actors, on a real Ray; without a Ray nothing happens."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest

from actors.exporting import PassGauges, StepGauges, place, run_name, watch_engine
from actors.gauges import Reached
from actors.group import ActorGroup, Needs
from actors.spending import Usage
from tests.actors.test_gauges import ROW, found

ROOT = Path(__file__).resolve().parents[2]


def test_the_rate_of_a_pass_is_that_of_the_last_minute() -> None:
    gauges = PassGauges("run", "labels", 1000)

    def rate(now: float, answered: int) -> float | None:
        return found(gauges.readings(Reached(answered, 2), now)).get("answers_per_second")

    assert rate(0, 0) is None
    assert rate(50, 100) == 2.0  # 100 in 50 s
    assert rate(100, 600) == 6.0  # 600 in the 100 s since the one look that is a minute old or older
    assert rate(110, 610) == 8.5  # the look at 50 s is a minute old: (610 - 100) in 60 s
    (queue,) = [one.value for one in gauges.readings(Reached(620, 2), 111) if one.metric == "truing_queue"]
    assert queue == 1000 - 620 - 2


def test_the_run_of_what_is_stored(tmp_path: Path) -> None:
    (tmp_path / "mine/labels/pairs").mkdir(parents=True)
    (tmp_path / "loop/round-2/policy").mkdir(parents=True)
    for run in ("mine", "loop/round-2"):
        (tmp_path / run / "study.yaml").touch()
    assert run_name(tmp_path / "mine/labels/pairs/ab12") == "mine"
    assert run_name(tmp_path / "mine") == "mine"
    assert run_name(tmp_path / "loop/round-2/policy") == "loop/round-2"
    # No study: the folder that it is in.
    assert run_name(tmp_path / "bench/policy") == "bench"


def test_without_ray_nothing_is_reported_and_none_is_started() -> None:
    says = (
        "import ray; from actors.exporting import *; count_start(); watch_engine(None); watch_memory(own_place());"
        "StepGauges('run', 'policy').log({'step': 0, 'loss': 0.5}); print(ray.is_initialized(), threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", says], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "False 1\n", done.stderr


# --- a real Ray -------------------------------------------------------------------------------------------------------


class Reporter:
    """An actor that reports for itself; the process that it lives in counts its own start."""

    def watch(self, usage: float) -> int:
        """Have a thread report the load of an engine; of vLLM's there is what is read of it."""
        cache = SimpleNamespace(usage=usage)
        scheduler = SimpleNamespace(get_request_counts=lambda: (3, 2), kv_cache_manager=cache)
        core = SimpleNamespace(engine_core=SimpleNamespace(scheduler=scheduler))
        watch_engine(SimpleNamespace(llm_engine=SimpleNamespace(engine_core=core)), every=0.2)
        return os.getpid()

    def resident(self) -> int:
        """Bytes of this process that are in memory: the second number of Linux's own count, in pages."""
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def fall(self, marker: Path) -> int:
        """Die at the first call; the call is repeated in the process that comes in its place."""
        if not marker.exists():
            marker.touch()
            os._exit(1)
        return os.getpid()


def test_prometheus_finds_what_driver_and_actors_report(cluster: None) -> None:
    """A cluster without a dashboard exports too: the agent of each node does it."""
    import ray

    needs = Needs(0, 0, place("rollout", "scraped"), 300, 300)
    group = ActorGroup.stateless("rollout", 1, Reporter, needs).ready()
    try:
        with StepGauges("scraped", "policy") as steps:
            group.first(Reporter.watch, 0.625)
            steps.log(ROW)
            time.sleep(22)  # a step takes longer than Ray remembers a gauge, which is 20 s
            gauges = PassGauges("scraped", "labels", 10)
            gauges.at(4, 1, Usage(cost=0.5), 100.0)
            gauges.at(6, 1, Usage(cost=0.75), 102.0)
            wanted = {
                "ray_truing_kl policy": 0.25,
                "ray_truing_reward_part policy l\\xe4nge": 1.5,
                "ray_truing_tokens_total policy": 160,
                "ray_truing_step_seconds_count policy": 1,
                "ray_truing_queue labels": 3,
                "ray_truing_answers_total labels": 6,
                "ray_truing_cost_total labels": 0.75,
                "ray_truing_answers_per_second labels": 1.0,
                "ray_truing_kv_cache_usage rollout": 0.625,
                "ray_truing_sequences_waiting rollout": 2,
                "ray_truing_starts_total rollout": 1,
            }
            resident = group.first(Reporter.resident)
            node = ray.nodes()[0]
            address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
            scraped = _until(address, wanted)
            memory = _exported(httpx2.get(address, trust_env=False, timeout=30).text, "scraped")
    finally:
        group.close()
    assert scraped == wanted
    # Half a minute after the actor began: its host reports it again and again. It has grown a little meanwhile.
    assert memory["ray_truing_resident_bytes rollout"] == pytest.approx(resident, rel=0.2)


def test_an_actor_that_took_the_place_of_a_dead_one_says_so(cluster: None, tmp_path: Path) -> None:
    import ray

    needs = Needs(0, 0, place("labeler", "restarted"), 300, 300, restarts=1)
    group = ActorGroup.stateless("labeler", 1, Reporter, needs).ready()
    try:
        first = group.first(Reporter.watch, 0.0)
        second = group.first(Reporter.fall, tmp_path / "fell")
        node = ray.nodes()[0]
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        wanted = {"ray_truing_restarts_total labeler": 1.0}
        scraped = _until(address, wanted, run="restarted")
    finally:
        group.close()
    assert first != second
    assert scraped == wanted


def _until(address: str, wanted: dict[str, float], run: str = "scraped") -> dict[str, float]:
    """What is exported of these, by metric and role, when all of it is right; after a minute, as it is. Reports take seconds."""
    end = time.monotonic() + 60
    known: dict[str, float] = {}
    while time.monotonic() < end and known != wanted:
        time.sleep(0.5)
        every = _exported(httpx2.get(address, trust_env=False, timeout=30).text, run)
        known = {name: every[name] for name in wanted if name in every}
    return known


def _exported(text: str, run: str) -> dict[str, float]:
    from prometheus_client.parser import text_string_to_metric_families

    samples = (one for family in text_string_to_metric_families(text) for one in family.samples)
    of_run = (one for one in samples if one.labels.get("run") == run)
    return {
        " ".join(
            [one.name, one.labels["role"], *(one.labels[tag] for tag in ("part",) if tag in one.labels)]
        ): one.value
        for one in of_run
    }
