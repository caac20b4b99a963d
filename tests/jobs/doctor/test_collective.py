"""A real group of two: it meets and agrees; one dies, one hangs, and one adds up something else."""

import re
from functools import partial

import pytest

from actors.group import Needs
from jobs.doctor.collective import Rank, collective, group_of, largest
from tests.jobs.conftest import LEARN
from tests.jobs.doctor.ranks import Mortal, Silent, Wrong
from truing.config.load import load_study
from truing.errors import ShortOfResources, TruingError

APART = (
    r"2 ranks over gloo did not meet at [\d.]+:\d+ \((.*)\): a firewall between the nodes, or GLOO_SOCKET_IFNAME, which names the"
    r" interface that the nodes share, is not set"
)


def needs(seconds: float = 120) -> Needs:
    return Needs(0, 0, {"OMP_NUM_THREADS": "1"}, start_deadline=300, call_deadline=seconds)


def fault(make: type[Rank], seconds: float = 120) -> str:
    with pytest.raises(TruingError) as caught:
        collective(2, needs(seconds), "gloo", partial(make, "gloo"))
    return str(caught.value)


def test_two_ranks_agree(cluster: None) -> None:
    found = collective(2, needs(), "gloo", partial(Rank, "gloo"))
    assert (found.name, found.state) == ("collective", "ok")
    assert re.fullmatch(r"2 ranks over gloo met at [\d.]+:\d+ and agree", found.line)


def test_a_rank_that_dies(cluster: None) -> None:
    assert re.fullmatch(APART, fault(Mortal))


def test_a_rank_that_never_comes(cluster: None) -> None:
    # The other one gives up ten seconds before the deadline, and says what it waits for.
    said = re.fullmatch(APART, fault(Silent, 12))
    assert said
    assert "rank" in said[1] or "Timed out" in said[1]


def test_sums_that_are_wrong(cluster: None) -> None:
    # (1 + 1) + (2 + 1) and (1 + 1) + (4 + 1), instead of 3 and 5
    assert re.fullmatch(
        r"2 ranks over gloo at [\d.]+:\d+ add up to \[5.0, 7.0\] on rank 0 instead of \[3.0, 5.0\]: look at the network interface"
        r" that GLOO_SOCKET_IFNAME names, and at its driver",
        fault(Wrong),
    )


def test_a_group_that_finds_no_room(cluster: None) -> None:
    wanting = Needs(2, 0, {}, start_deadline=300, call_deadline=120, patience=1.0)
    with pytest.raises(ShortOfResources, match=r"^ranks of the doctor: 2 actors of 2 CPU each found no room"):
        collective(2, wanting, "gloo", partial(Rank, "gloo"))


def test_the_group_is_the_largest_learners() -> None:
    study = load_study(LEARN, ["policy.learner.ranks=4", "policy.learner.gpus=0.75", "dpo={learner: {ranks: 2}}"])
    role = largest(study)
    assert role
    assert role.key == "policy.learner"
    count, wanted, backend = group_of(study, role)
    # Roles take turns on the CPUs.
    assert (count, wanted.bundle, wanted.call_deadline, backend) == (4, {"GPU": 0.75}, 60.0, "nccl")


def test_a_learner_alone_is_tried_with_two() -> None:
    study = load_study(LEARN, ["cluster.colocate=false", "policy.learner.gpus=1", "cluster.nodes={learner: learner}"])
    role = largest(study)
    assert role
    count, wanted, backend = group_of(study, role)
    assert (count, wanted.bundle, backend) == (2, {}, "gloo")
    assert largest(load_study(LEARN, ["policy=null"])) is None
