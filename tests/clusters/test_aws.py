"""cluster.yaml says of AWS's instances what the roles need."""

from typing import Any

import pytest

from tests.clusters.files import AWS, prepared, read


@pytest.fixture
def types() -> dict[str, dict[str, Any]]:
    return prepared(read(AWS))["available_node_types"]


def test_rollouts_and_labelers_alone_are_spot(types: dict[str, dict[str, Any]]):
    markets = {
        role: one["node_config"].get("InstanceMarketOptions", {}).get("MarketType", "on demand")
        for role, one in types.items()
    }
    assert markets == {"head": "on demand", "learner": "on demand", "rollout": "spot", "labeler": "spot"}


def test_cpus_and_gpus_are_those_of_the_instance_types(types: dict[str, dict[str, Any]]):
    # m7i.2xlarge has 8 vCPUs; g6.12xlarge 48 and four L4, g6.2xlarge 8 and one; g6e.2xlarge 8 and one L40S.
    known = {"m7i.2xlarge": (8, 0), "g6.12xlarge": (48, 4), "g6.2xlarge": (8, 1), "g6e.2xlarge": (8, 1)}
    for role, one in types.items():
        instance = known[one["node_config"]["InstanceType"]]
        assert (one["resources"]["CPU"], one["resources"].get("GPU", 0)) == instance, role


def test_every_node_has_the_same_image_and_no_disk_is_left_behind(types: dict[str, dict[str, Any]]):
    assert len({one["node_config"]["ImageId"] for one in types.values()}) == 1
    for one in types.values():
        assert all(disk["Ebs"]["DeleteOnTermination"] for disk in one["node_config"]["BlockDeviceMappings"])
