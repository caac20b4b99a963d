"""What a study asks of a cluster, against what the cluster could hold."""

import pytest

from jobs.cluster.capacity import check_capacity
from jobs.cluster.kinds import Nodes
from jobs.cluster.room import Room
from tests.jobs.conftest import LEARN
from truing.config.load import load_study
from truing.errors import ShortOfResources

FOUR_CPUS = [Nodes("machine", {"CPU": 4}, 1)]
APART = ["cluster.colocate=false"]
ROLES = "cluster.nodes={learner: learner, rollout: rollout}"


def refused(overrides: list[str], nodes: list[Nodes]) -> str:
    with pytest.raises(ShortOfResources) as caught:
        check_capacity(load_study(LEARN, overrides), nodes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (
            "policy.engine.count=5",
            "policy.engine: asks for 5 x 2 = 10 CPUs and the cluster has 4 (6 short); 2 of them fit, or lower policy.engine.cpus",
        ),
        (
            "sample.engine.cpus=8",
            "sample.engine: asks for 1 x 8 = 8 CPUs and the cluster has 4 (4 short); 0 of them fit, or lower sample.engine.cpus",
        ),
        (
            "policy.learner.gpus=1",
            "policy.learner: asks for 1 x 1 = 1 GPUs and the cluster has 0 (1 short); 0 of them fit, or lower policy.learner.gpus",
        ),
        (
            "rejection={learner: {ranks: 3}}",
            "rejection.learner: asks for 3 x 2 = 6 CPUs and the cluster has 4 (2 short); 2 of them fit, or lower",
        ),
        (
            "rejection={engine: {count: 3}}",
            "rejection.engine: asks for 3 x 2 = 6 CPUs and the cluster has 4 (2 short); 2 of them fit, or lower",
        ),
        (
            "sft={data: [{path: x}], generate: {engine: {cpus: 5}}}",
            "sft.generate.engine: asks for 1 x 5 = 5 CPUs and the cluster has 4 (1 short); 0 of them fit",
        ),
        (
            # Served, the labeler begins with three replicas, whatever the number of its engines is otherwise. It is the study's.
            "policy.rewards=[{kind: ai_score, serve: {min: 3, max: 4}}]",
            (
                "policy.rewards.0.labeler.engine: asks for 3 x 2 = 6 CPUs and the cluster has 4 (2 short); 2 of them fit,"
                " or lower labeler.engine.cpus"
            ),
        ),
        (
            "policy.rewards=[{kind: ai_score, labeler: {engine: {count: 3}}}]",
            (
                "policy.rewards.0.labeler.engine: asks for 3 x 2 = 6 CPUs and the cluster has 4 (2 short); 2 of them fit,"
                " or lower policy.rewards.0.labeler.engine.cpus"
            ),
        ),
        (
            # Engine, learner and reference, two CPUs each, no longer take turns.
            "cluster.colocate=false",
            "policy: its roles together ask for 6 CPUs and the cluster has 4 (2 short); set cluster.colocate=true, or lower",
        ),
    ],
)
def test_the_shortfall_is_named(override: str, expected: str):
    with pytest.raises(ShortOfResources) as caught:
        check_capacity(load_study(LEARN, [override]), FOUR_CPUS)
    assert str(caught.value).startswith(expected)


def test_what_fits_is_not_refused():
    check_capacity(load_study(LEARN, ["policy.learner.ranks=2"]), FOUR_CPUS)


def test_an_actor_must_fit_on_one_node():
    """Two nodes of two CPUs have four, and an engine of three finds no room on either."""
    line = refused(["policy.engine.cpus=3"], [Nodes("small", {"CPU": 2}, 2)])
    assert line == (
        "policy.engine: 1 actors of 3 CPUs each find no room on 2 x small (2 CPUs); 0 of them fit: lower what one of them takes,"
        " or their number"
    )


def test_the_nearest_layout_that_fits_is_named():
    # 4 engines, learner and reference of 2 CPUs each are 12; three nodes of 2 hold learner, reference and one engine.
    line = refused([*APART, "policy.engine.count=3"], [Nodes("node", {"CPU": 2}, 3)])
    assert line.startswith("policy: its roles together ask for 10 CPUs and the cluster has 6 (4 short);")
    assert line.endswith("(the nearest layout that fits: policy.engine.count=1)")
    check_capacity(load_study(LEARN, [*APART, "policy.engine.count=1"]), [Nodes("node", {"CPU": 2}, 3)])


def test_the_number_to_lower_is_named_by_the_key_that_sets_it():
    """Engine, learner and reference of 2 CPUs each leave 2 of 8 for three judges of 2."""
    eight = [Nodes("machine", {"CPU": 8}, 1)]
    own = "labeler: {engine: {count: 3}}"
    for judge, key in {"serve: {min: 3, max: 4}": "serve.min", own: "labeler.engine.count"}.items():
        line = refused([*APART, f"policy.rewards=[{{kind: ai_score, {judge}}}]"], eight)
        assert line.endswith(f"(the nearest layout that fits: policy.rewards.0.{key}=1)")
    line = refused([*APART, "labeler.engine.count=3", "policy.rewards=[{kind: ai_score}]"], eight)
    assert line.endswith("(the nearest layout that fits: labeler.engine.count=1)")


def test_gpus_are_counted_also_where_roles_take_turns():
    gpus = ["policy.engine.gpus=1", "policy.learner.gpus=1"]
    line = refused(gpus, [Nodes("node", {"CPU": 8, "GPU": 1}, 1)])
    assert line == (
        "policy: its roles together ask for 2 GPUs and the cluster has 1 (1 short); no smaller number of actors fits either"
    )
    check_capacity(load_study(LEARN, gpus), [Nodes("node", {"CPU": 8, "GPU": 1}, 2)])


def test_a_role_goes_to_nodes_of_its_kind():
    learner = Nodes("learner", {"CPU": 8, "learner": 1}, 1)
    line = refused([ROLES], [learner])
    assert line == (
        "sample.engine: asks for 1 x 1 = 1 rollout and the cluster has 0 (1 short); 0 of them fit, or see cluster.nodes.rollout"
    )
    check_capacity(load_study(LEARN, [ROLES]), [learner, Nodes("rollout", {"CPU": 8, "rollout": 1}, 1)])


def test_nodes_that_may_come_count():
    few, many = (Nodes("rollout", {"CPU": 8, "rollout": 1}, count) for count in (2, 3))
    learner = Nodes("learner", {"CPU": 8, "learner": 1}, 1)
    overrides = [ROLES, *APART, "policy.engine.count=3"]
    assert "3 x 1 = 3 rollout and the cluster has 2 (1 short); 2 of them fit" in refused(overrides, [learner, few])
    check_capacity(load_study(LEARN, overrides), [learner, many])


def test_the_role_that_takes_what_is_short_is_made_smaller():
    """Three ranks on GPUs and two engines on CPUs, on one node of three GPUs: the engines are not what is too much."""
    overrides = [*APART, "policy.learner.ranks=3", "policy.learner.gpus=0.75", "policy.engine.count=2"]
    three = Nodes("three GPUs", {"CPU": 64, "GPU": 3}, 1)
    # The ranks have room by themselves, one a GPU: 3 x 0.75, and 1, are 3.25.
    line = refused([*overrides, "policy.reference.gpus=1"], [three])
    assert line.startswith("policy: its roles together ask for 3.25 GPUs and the cluster has 3 (0.25 short);")
    assert line.endswith("(the nearest layout that fits: policy.learner.ranks=2)")


def test_memory_is_set_aside_where_a_node_says_how_much_it_has():
    """16 GiB an engine on nodes of 24: one engine a node, though each has CPUs for two."""
    nodes = [Nodes("node", {"CPU": 4, "memory": 24.0}, 2)]
    memory = "cluster.memory={rollout: 16}"
    check_capacity(load_study(LEARN, [memory, "policy.engine.count=2"]), nodes)
    line = refused([memory, "policy.engine.count=4"], nodes)
    assert line == (
        "policy.engine: asks for 4 x 16 = 64 GiB of memory and the cluster has 48 (16 short); 2 of them fit, or lower"
        " cluster.memory.rollout"
    )
    assert "3 actors of 2 CPUs and 16 GiB of memory each find no room on 2 x node (4 CPUs); 2 of them fit" in refused(
        [memory, "policy.engine.count=3"], nodes
    )
    # A kind of node that does not say has enough.
    check_capacity(load_study(LEARN, [memory, "policy.engine.count=2"]), FOUR_CPUS)


def test_shares_of_a_gpu_add_up_to_it():
    # In binary 2 - 0.6 - 0.6 - 0.4 is less than 0.4, and 0.4 + 0.2 + 0.2 + 0.1 + 0.1 more than 1.
    share = [
        "policy.learner.ranks=2",
        "policy.learner.gpus=0.6",
        "policy.reference.count=2",
        "policy.reference.gpus=0.4",
    ]
    check_capacity(load_study(LEARN, [*share, *APART]), [Nodes("node", {"CPU": 64, "GPU": 2}, 1)])


def test_a_share_is_of_one_gpu():
    # Three ranks of 0.6 are 1.8 GPUs, and on two GPUs there is room for two of them: 0.4 of each is left.
    ranks = ["policy.learner.ranks=3", "policy.learner.gpus=0.6"]
    line = refused(ranks, [Nodes("node", {"CPU": 64, "GPU": 2}, 1)])
    assert line == (
        "policy.learner: 3 actors of 2 CPUs and 0.6 GPUs each find no room on 1 x node (64 CPUs, 2 GPUs); 2 of them fit:"
        " lower what one of them takes, or their number"
    )
    check_capacity(load_study(LEARN, ranks), [Nodes("node", {"CPU": 64, "GPU": 3}, 1)])


def test_a_share_goes_to_the_gpu_that_it_fills_best():
    # 0.6 and 0.4 on one GPU leave the other whole: the whole one that comes last still has room.
    room = Room({"GPU": 2})
    assert [room.take({"GPU": much}) for much in (0.6, 0.4, 1, 0.1)] == [True, True, True, False]
