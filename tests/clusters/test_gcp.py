"""clusters/gcp.yaml says of Google's machines what the roles need."""

from typing import Any

import pytest

from tests.clusters.files import GCP, prepared, read

# Of an instance in the Compute Engine API (v1 instances.insert), and of its `scheduling`: what the file uses. Ray hands
# node_config on as it is, so that Google would be the first to see a misspelt key.
INSTANCE = {"machineType", "disks", "metadata", "scheduling"}
SCHEDULING = {"provisioningModel", "instanceTerminationAction", "onHostMaintenance", "automaticRestart"}


@pytest.fixture
def types() -> dict[str, dict[str, Any]]:
    return prepared(read(GCP))["available_node_types"]


def scheduling(one: dict[str, Any]) -> dict[str, Any]:
    return one["node_config"].get("scheduling", {})


def test_machines_are_described_in_googles_words(types: dict[str, dict[str, Any]]):
    for role, one in types.items():
        machine = one["node_config"]
        assert machine.keys() <= INSTANCE, role
        assert scheduling(one).keys() <= SCHEDULING, role
        # Google takes pairs of texts.
        assert all(isinstance(text, str) for item in machine["metadata"]["items"] for text in item.values()), role


def test_rollouts_and_labelers_alone_are_spot(types: dict[str, dict[str, Any]]):
    plans = {role: scheduling(one).get("provisioningModel", "on demand") for role, one in types.items()}
    assert plans == {"head": "on demand", "learner": "on demand", "rollout": "SPOT", "labeler": "SPOT"}
    for role in ("rollout", "labeler"):
        # Stopped machines keep a paid disk; Google refuses to restart a spot machine by itself.
        assert scheduling(types[role])["instanceTerminationAction"] == "DELETE"
        assert scheduling(types[role])["automaticRestart"] is False


def test_machines_with_gpus_are_ended_for_maintenance(types: dict[str, dict[str, Any]]):
    # Google refuses a machine with a GPU that asks to be moved, which is the default.
    ended = {role for role, one in types.items() if scheduling(one).get("onHostMaintenance", "MIGRATE") == "TERMINATE"}
    assert ended == {role for role, one in types.items() if "GPU" in one["resources"]}


def test_cpus_and_gpus_are_those_of_the_machine_types(types: dict[str, dict[str, Any]]):
    # n2-standard-8 has 8 vCPUs; g2-standard-48 48 and four L4, g2-standard-8 8 and one; a2-highgpu-1g 12 and one A100.
    known = {"n2-standard-8": (8, 0), "g2-standard-48": (48, 4), "g2-standard-8": (8, 1), "a2-highgpu-1g": (12, 1)}
    for role, one in types.items():
        machine = known[one["node_config"]["machineType"]]
        assert (one["resources"]["CPU"], one["resources"].get("GPU", 0)) == machine, role


def test_every_node_has_the_same_image_and_no_disk_is_left_behind(types: dict[str, dict[str, Any]]):
    disks = [one["node_config"]["disks"] for one in types.values()]
    assert all(len(each) == 1 and each[0]["boot"] and each[0]["autoDelete"] for each in disks)
    assert len({each[0]["initializeParams"]["sourceImage"] for each in disks}) == 1


def test_what_must_be_replaced_is_marked():
    lines = GCP.read_text(encoding="utf-8").splitlines()
    placeholders = [line for line in lines if "REPLACE-ME" in line]
    assert len(placeholders) == 2  # the project, and the project in the disks' type
    assert all("ADAPT" in line for line in placeholders)
