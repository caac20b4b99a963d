"""Nodes are watched on a real Ray cluster whose nodes come and go; a spent budget ends what is under way."""

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.cluster.budget import check_budget, nodes_folder
from jobs.cluster.node_hours import NodeHours, read_record
from jobs.cluster.watching import NodeWatch
from jobs.report import nodes_table
from tests.jobs.cluster.own_token import own_token
from tests.jobs.drive import ROOT
from truing.config.study import Study
from truing.errors import BudgetSpent, ConfigError

HEAD, WORKER = "1 CPUs", "labeler"
PRICES = {HEAD: 3600.0, WORKER: 7200.0}
"""1 and 2 a second."""
PATIENCE = 120
BARE = {"include_dashboard": False, "include_log_monitor": False}
"""A node without what nobody looks at."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head to which this process is connected; a test may add nodes."""
    import ray
    from ray._raylet import AuthenticationTokenLoader, Config  # pyright: ignore[reportAttributeAccessIssue] - compiled
    from ray.cluster_utils import Cluster

    with own_token():
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112 - the case is Ray's
        os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112
        # This process may have loaded Ray, or have been in another cluster, before it got the token.
        Config.initialize("")
        AuthenticationTokenLoader.instance().reset_cache()
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "no_monitor": True, **BARE})
        try:
            ray.init(made.address, log_to_driver=False, logging_level=logging.CRITICAL)
            yield made
        finally:
            ray.shutdown()
            made.shutdown()
            AuthenticationTokenLoader.instance().reset_cache()


def study(storage: Path, **cluster: Any) -> Study:
    return Study.model_validate({"name": "run", "storage": str(storage), "cluster": cluster})


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not reached():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.05)


def test_node_hours_by_kind_appear_as_nodes_come_and_go(cluster: Any, tmp_path: Path) -> None:
    folder = nodes_folder(study(tmp_path))

    def seen(kind: str) -> int:
        found = read_record(folder)
        return found[kind].looks if kind in found else 0

    with NodeWatch(study(tmp_path), every=0.2) as watch:
        until(lambda: seen(HEAD) >= 2)
        assert seen(WORKER) == 0
        node = cluster.add_node(num_cpus=2, resources={"labeler": 1}, **BARE)
        until(lambda: seen(WORKER) >= 3)
        cluster.remove_node(node)
        # As soon as a look does not see it, no time is added.
        until(lambda: seen(HEAD) >= _after_it_was_gone(folder, 3))
        watch.close()
    record = read_record(folder)
    assert watch.reason is None
    assert record[HEAD].most == record[WORKER].most == 1
    assert 0 < record[WORKER].seconds < record[HEAD].seconds
    table = nodes_table(record, {HEAD: 3600.0})
    assert table is not None
    assert table.rows == (
        (HEAD, 1, record[HEAD].hours, pytest.approx(record[HEAD].seconds), record[HEAD].looks),
        (WORKER, 1, record[WORKER].hours, None, record[WORKER].looks),
        ("all", None, record[HEAD].hours + record[WORKER].hours, pytest.approx(record[HEAD].seconds), None),
    )
    assert table.note.endswith(f"; without a price, and in no sum of costs: labeler ({record[WORKER].looks} looks)")


def _after_it_was_gone(folder: Path, looks: int) -> int:
    """How many looks at the head there are when so many have followed the last one that saw the worker."""
    (file,) = folder.glob("*.jsonl")
    lines = file.read_text().splitlines()
    return max(i for i, line in enumerate(lines) if WORKER in line) + 1 + looks


def test_a_budget_wants_a_price_for_each_kind_that_is_there_or_may_come(cluster: Any, tmp_path: Path) -> None:
    check_budget(study(tmp_path))
    with pytest.raises(ConfigError) as caught:
        check_budget(study(tmp_path, budget=5, prices={WORKER: 1}))
    assert str(caught.value) == (
        "cluster.budget: nodes of the kind 1 CPUs have no price, so that no budget can be kept; add"
        " cluster.prices={'1 CPUs': ...}, what one costs an hour"
    )
    file = tmp_path / "kinds.yaml"
    file.write_text(
        "available_node_types: {gpu: {resources: {CPU: 8, GPU: 1}, max_workers: 2}}\nhead_node_type: head\n"
    )
    with pytest.raises(ConfigError, match="nodes of the kind gpu have no price"):
        check_budget(study(tmp_path, budget=5, prices={HEAD: 1}, autoscaling=str(file)))
    check_budget(study(tmp_path, budget=5, prices={HEAD: 1, "gpu": 3}, autoscaling=str(file)))


def test_a_budget_that_is_spent_starts_nothing(cluster: Any, tmp_path: Path) -> None:
    earlier = NodeHours(nodes_folder(study(tmp_path)))
    for second in range(0, 32, 8):
        earlier.look([HEAD], second)
    # 24 s at 1 a second, and up to 10 s more until it would be looked at.
    check_budget(study(tmp_path, budget=34, prices=PRICES))
    with pytest.raises(BudgetSpent) as caught:
        check_budget(study(tmp_path, budget=33, prices=PRICES))
    assert str(caught.value) == (
        "nodes: 24 of the budget of 33 is spent, and they could pass it before the next look; what is stored is kept:"
        " raise cluster.budget and run again to go on"
    )


def test_a_spent_budget_interrupts_what_is_under_way(cluster: Any, tmp_path: Path) -> None:
    with NodeWatch(study(tmp_path, budget=12, prices=PRICES), every=0.2) as watch:
        with pytest.raises(KeyboardInterrupt):
            time.sleep(PATIENCE)
        watch.close()
    assert isinstance(watch.reason, BudgetSpent)
    assert watch.reason.exit_code == 6
    # One look more could have cost 10: it stopped above 2, and as soon as it saw that.
    (head,) = read_record(nodes_folder(study(tmp_path))).values()
    assert 2 < head.seconds <= 12


def test_a_kind_that_comes_later_and_has_no_price_is_told_once(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = nodes_folder(study(tmp_path))
    with NodeWatch(study(tmp_path, budget=1e6, prices={HEAD: 1}), every=0.2) as watch:
        node = cluster.add_node(num_cpus=2, resources={"labeler": 1}, **BARE)
        until(lambda: read_record(folder).get(WORKER) is not None and read_record(folder)[WORKER].looks >= 3)
        watch.close()
    cluster.remove_node(node)
    assert watch.reason is None
    said = " ".join(capsys.readouterr().out.split())
    assert (
        said
        == "nodes: of the kind labeler there is one now; it has no price in cluster.prices and is not in the budget"
    )


def test_an_interrupted_run_is_not_looked_at_again(cluster: Any, tmp_path: Path) -> None:
    folder = nodes_folder(study(tmp_path))

    def looks() -> int:
        found = read_record(folder)
        return found[HEAD].looks if HEAD in found else 0

    def looked_at(*, stopped: bool) -> int:
        """How many looks follow the first one of a watch that looks once an hour."""
        before = looks()
        with NodeWatch(study(tmp_path), every=3600) as watch:
            until(lambda: looks() == before + 1)
            if stopped:
                watch.stop()
            watch.close()
            return looks() - before - 1

    assert looked_at(stopped=False) == 1
    assert looked_at(stopped=True) == 0


DEAF = """
import signal, sys, time, ray
from jobs.cluster.watching import NodeWatch
from truing.config.study import Study
ray.init(sys.argv[1], log_to_driver=False, logging_level=50)
signal.signal(signal.SIGINT, signal.SIG_IGN)
study = Study.model_validate({"name": "run", "storage": sys.argv[2], "cluster": {"budget": 5, "prices": {"1 CPUs": 3600}}})
with NodeWatch(study, every=0.2, grace=0.5):
    time.sleep(600)
"""


def test_a_run_that_does_not_end_in_order_is_ended(cluster: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-c", DEAF, cluster.address, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 6, done.stderr
    assert done.stderr.splitlines()[-1].startswith("truing: nodes: 0 of the budget of 5 is spent")
