"""What nodes say, and what it means when they do not. The clock's figures are made up; the trips are real."""

import os
import time
from dataclasses import replace

import pytest

from jobs.doctor import nodes
from jobs.doctor.found import Found
from jobs.doctor.nodes import Node, Offset
from tests.jobs.conftest import LEARN
from tests.jobs.doctor.test_machine import OTHER, WELL
from truing.config.load import load_study
from truing.errors import ShortOfResources


def test_nodes_of_one_environment() -> None:
    driver = replace(WELL, packages={"torch": "2.13.0", "ray": "2.60.0"})
    same = replace(driver, name=OTHER.name)
    assert nodes.alike(driver, [driver, same], {}) == Found(
        "nodes", "ok", "2 answer, each with Python 3.11.7 and the driver's packages"
    )
    other = replace(same, python="3.11.9", packages={"torch": "2.12.0"})
    assert nodes.alike(driver, [other], {}) == Found(
        "nodes",
        "failed",
        "10.0.0.2 (cd) has Python 3.11.9, here 3.11.7, torch 2.12.0, here 2.13.0, ray not there, here 2.60.0: install the same"
        " environment on every node",
    )


def test_a_node_that_does_not_answer() -> None:
    assert nodes.alike(WELL, [WELL], {"10.0.0.3 (ef)": "ended (its node was lost)"}) == Found(
        "nodes", "failed", "a process on 10.0.0.3 (ef) ended (its node was lost)"
    )


@pytest.mark.parametrize(("seconds", "where"), [(5.25, "ahead"), (-5.25, "behind")])
def test_a_clock_that_is_wrong(seconds: float, where: str) -> None:
    assert nodes.clock({"a": Offset(0.1, 0.002), "b": Offset(seconds, 0.004)}) == Found(
        "clock",
        "failed",
        f"the clock of b is 5.2 s {where} (± 0.004), and 5 are allowed: start chrony or systemd-timesyncd there",
    )


def test_clocks_that_agree() -> None:
    assert nodes.clock({"a": Offset(0.1, 0.002), "b": Offset(-4.9, 0.004)}).line == "at most 4.900 s apart (± 0.004)"


def test_what_does_not_fit_is_said_with_what_would() -> None:
    machine = [nodes.Nodes("node", {"CPU": 4}, 1)]
    assert nodes.placement(load_study(LEARN, []), machine).line.endswith(
        "1 x policy.reference find room on 1 x node (4 CPUs)"
    )
    with pytest.raises(ShortOfResources, match=r"2 of them fit, or lower policy\.engine\.cpus"):
        nodes.placement(load_study(LEARN, ["policy.engine.count=3"]), machine)


# --- real processes ------------------------------------------------------------------------------


def sleep(_: object) -> None:
    time.sleep(600)


def die(_: object) -> None:
    os._exit(1)


def test_a_process_on_each_node(cluster: None) -> None:
    hosts, silent = nodes.started(nodes.up())
    ((node, host),) = hosts.items()
    assert silent == {}
    assert node.store > 0
    # Both clocks are this machine's: the node's time lies within the trip.
    offset = nodes.offset(host)
    assert abs(offset.seconds) <= offset.bound
    found, late = nodes.answers({node: host.call.remote(sleep)}, 0.5)
    assert found == {}
    assert late == {node.name: "did not answer within 0.5 s: see that the node is up, and its raylet's log"}


def test_a_process_that_ends(cluster: None) -> None:
    hosts, _ = nodes.started(nodes.up())
    ((node, host),) = hosts.items()
    found, silent = nodes.answers({node: host.call.remote(die)}, 60)
    assert found == {}
    assert silent[node.name].startswith("ended (the process died (")


def test_a_node_that_is_not_there(cluster: None) -> None:
    gone = Node("ab" * 28, "10.0.0.9 (ababab)", 0)
    hosts, silent = nodes.started([gone])
    assert hosts == {}
    assert silent[gone.name].startswith("ended (")
