"""A node is cut off the network in the middle of everything, while its processes go on; then it is joined again.

On it: a stateless actor, a rank, a worker of an offline pass, and an actor whose calls have a short deadline. Ray is told to look
after its nodes often, so that it takes seconds.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray
from ray._private.authentication_test_utils import reset_auth_token_state
from ray.cluster_utils import Cluster

from actors.group import ActorGroup, Needs
from actors.learner import free_address
from clusters.apart import ApartNode, Network, impossible, is_alive, network
from jobs.store import Table
from jobs.sweep import Pool, sweep
from tests.jobs.cluster.own_token import own_token
from tests.jobs.cluster.waiting import Waiting, WaitingRank, answer
from tests.local_ray import ROOT
from truing.errors import ActorLost
from truing.records import Row

pytestmark = pytest.mark.timeout(900)

OFTEN = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 5,
}
AGENTS = ("dashboard_agent_listen_port", "metrics_agent_port", "metrics_export_port", "runtime_env_agent_port")
"""Ports of the head. Where Ray chooses, a node that is slow to start its agents gives up after 15 s."""
TWICE = {"stateless": 1, "rank": 1, "pass": 1}
"""What has one actor at home and one away; when the one away is lost, there is room for it at home."""
ROWS, PATIENCE = 8, 240.0


@dataclass(frozen=True)
class CutOff:
    """What came of it."""

    home: str
    away: str
    folder: Path
    late: ActorLost
    lost: ActorLost
    answers: list[Row]
    """Of the stateless group."""
    afterwards: list[Row]
    """Of the same group, when the node is joined again."""
    met: list[tuple[float, str]]
    stored: list[Row]
    """Of the offline pass."""
    table: Table
    returned: bool

    def noted(self, what: str, where: str) -> list[str]:
        """Rows that were begun, or done, at an address."""
        return [path.stem for path in (self.folder / what / where).glob("*")]


class Work:
    """What runs at home and away when the node is cut off."""

    def __init__(self, net: Network, folder: Path) -> None:
        self._environment = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": net.name}
        placeholder: Any = ray.remote(Waiting).options(num_cpus=0, resources=TWICE)
        make = partial(Waiting, folder, net.address)
        self.placeholder = placeholder.remote(folder, net.address)
        ray.get(self.placeholder.__ray_ready__.remote())
        self.stateless = ActorGroup.stateless("scorer", 2, make, self._needs("stateless", restarts=2))
        self.short = ActorGroup.stateless("judge", 1, make, self._needs("short", deadline=2))
        rank = partial(WaitingRank, folder=folder, home=net.address)
        self.ranks = ActorGroup.ranks("learner", 2, rank, self._needs("rank"))
        for group in (self.stateless, self.short, self.ranks):
            group.ready()
        self.pool = Pool(make, answer, self._needs("pass", restarts=2), least=2, most=2, batch=1)
        self.table = Table(folder / "passed")

    def _needs(self, kind: str, *, deadline: float = PATIENCE, restarts: int = 0) -> Needs:
        return Needs(0, 0, self._environment, PATIENCE, deadline, restarts, {kind: 1})

    def sweep(self, thread: ThreadPoolExecutor) -> "Future[list[Row]]":
        rows = some(ROWS, "pass")
        return thread.submit(sweep, "doubling", rows, self.table, self.pool, max_failed=0, connect=lambda: None)


def some(count: int, kind: str) -> list[Row]:
    return [{"id": f"{kind}-{i}", "number": i} for i in range(count)]


def until(reached: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end, f"{what}: not within {PATIENCE:g} s"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    if reason := impossible():
        pytest.skip(reason)
    with network() as made:
        yield made


def free_port(net: Network) -> int:
    return int(free_address(net.address).rpartition(":")[2])


@pytest.fixture(scope="module")
def head(net: Network) -> Iterator[str]:
    """Home, with this process as its driver."""
    with own_token():
        # Half a minute is too short for a node's start on a busy machine; workers that nobody asked for make it longer.
        os.environ |= {
            "RAY_worker_niceness": "0", "RAY_enable_worker_prestart": "0", "RAY_memory_monitor_refresh_ms": "0",
            "RAY_agent_register_timeout_ms": "300000", "RAY_raylet_start_wait_time_s": "120",
        }  # fmt: skip
        # This process has imported Ray long ago, and with it what the environment said then.
        reset_auth_token_state()
        cluster = Cluster()
        ports: dict[str, Any] = {port: free_port(net) for port in AGENTS}
        try:
            cluster.add_node(
                num_cpus=2, resources=dict.fromkeys(TWICE, 2), node_ip_address=net.address, include_dashboard=False,
                include_log_monitor=False, _system_config=OFTEN, **ports,
            )  # fmt: skip
            here = {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
            ray.init(address=cluster.address, log_to_driver=False, runtime_env={"env_vars": here})
            ray.data.DataContext.get_current().enable_progress_bars = False
            yield str(cluster.address)
        finally:
            ray.shutdown()
            cluster.shutdown()
    reset_auth_token_state()


@pytest.fixture(scope="module")
def cut_off(net: Network, head: str, tmp_path_factory: pytest.TempPathFactory) -> CutOff:
    folder = tmp_path_factory.mktemp("cut_off")
    node = ApartNode(net.machine(), head, 1, {**TWICE, "short": 1}, folder / "ray.log")
    machine = node.machine
    work = Work(net, folder)
    with ThreadPoolExecutor(1) as thread:
        passing = work.sweep(thread)
        answers = work.stateless.scatter(Waiting.answer, some(2, "stateless"))
        meeting = work.ranks.scatter(WaitingRank.meet, some(2, "rank"))
        begun = folder / "begun" / machine.address
        until(lambda: {path.stem.partition("-")[0] for path in begun.glob("*")} == set(TWICE), "work on the node")
        machine.cut()
        with pytest.raises(ActorLost) as late:
            work.short.scatter(Waiting.answer, some(1, "short")).get()
        ray.kill(work.placeholder)
        with pytest.raises(ActorLost) as lost:
            meeting.get()
        answered = answers.get()
        work.ranks.renew()
        met = work.ranks.ready().scatter(WaitingRank.meet, some(2, "rank")).get()
        # Cut off as it is, the worker of the pass finishes what it had been asked.
        (folder / "go-pass").touch()
        until(lambda: any((folder / "done" / machine.address).glob("pass*")), "an answer on the node")
        stored = passing.result(PATIENCE)
    machine.heal()
    until(lambda: not machine.processes(), "the end of what was cut off")
    returned = is_alive(head, machine.address)
    node.end()
    afterwards = work.stateless.scatter(Waiting.answer, some(2, "stateless")).get()
    return CutOff(
        net.address, machine.address, folder, late.value, lost.value, answered, afterwards, met, stored, work.table, returned
    )  # fmt: skip


def test_a_stateless_actors_call_is_made_again_elsewhere(cut_off: CutOff):
    expected = [{"id": f"stateless-{i}", "twice": 2 * i, "where": cut_off.home} for i in range(2)]
    assert cut_off.answers == expected
    # One of the two had been begun on the node.
    assert len([row for row in cut_off.noted("begun", cut_off.away) if row.startswith("stateless")]) == 1


def test_a_call_misses_its_deadline_before_ray_knows(cut_off: CutOff):
    assert str(cut_off.late) == (
        "judge: answer did not answer within 2 s (actor 0 of 1); raise cluster.call_deadline or look at its log"
    )


def test_ranks_do_not_wait_for_one_that_is_cut_off(cut_off: CutOff):
    """The other was in a collective, whose own deadline is minutes away."""
    assert str(cut_off.lost) == (
        f"learner: meet: its node {cut_off.away} was lost, or cut off the network;"
        " run the same command again to go on from what is stored"
    )


def test_ranks_are_renewed_on_what_is_left(cut_off: CutOff):
    assert cut_off.met == [(2.0, cut_off.home)] * 2


def test_a_pass_stores_every_answer_once(cut_off: CutOff):
    assert [row["twice"] for row in cut_off.stored] == [2 * i for i in range(ROWS)]
    ids = [row["id"] for row in cut_off.table.read(["id"])]
    assert sorted(ids) == [row["id"] for row in some(ROWS, "pass")]


def test_what_was_answered_behind_the_cut_is_not_stored(cut_off: CutOff):
    behind = {row for row in cut_off.noted("done", cut_off.away) if row.startswith("pass")}
    assert behind
    assert {row["where"] for row in cut_off.stored if row["id"] in behind} == {cut_off.home}


def test_the_node_does_not_come_back(cut_off: CutOff):
    """That its processes have ended by themselves has been waited for. What still waited there was never done."""
    assert not cut_off.returned
    assert all(row.startswith("pass") for row in cut_off.noted("done", cut_off.away))
    assert [row["where"] for row in cut_off.afterwards] == [cut_off.home] * 2
