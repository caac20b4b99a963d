"""What a node's kind is, by what Ray tells of it."""

from collections.abc import Mapping
from typing import Any

import pytest

from jobs.cluster.kinds import GROUP, Nodes, kind_of

COMING = [Nodes("gpu_rollout", {"CPU": 8, "GPU": 1, "rollout": 1}, 8)]
RAYS = {"memory": 1e9, "object_store_memory": 1e8, "node:10.0.0.1": 1.0, "accelerator_type:L4": 1.0}


@pytest.mark.parametrize(
    ("resources", "label", "kind"),
    [
        ({"CPU": 8, "GPU": 1, "rollout": 1}, None, "gpu_rollout"),  # the autoscaler's file knows it
        ({"CPU": 8, "GPU": 1, "rollout": 2}, None, "rollout"),  # not quite what the file says
        ({"CPU": 8, "GPU": 1, "rollout": 1}, "spot", "spot"),  # KubeRay's label goes before
        ({"CPU": 64, "rollout": 2, "labeler": 2}, None, "labeler+rollout"),
        ({"CPU": 8, "GPU": 1}, None, "8 CPUs, 1 GPUs"),
        ({"CPU": 2}, None, "2 CPUs"),
    ],
)
def test_kind(resources: Mapping[str, float], label: str | None, kind: str) -> None:
    node: dict[str, Any] = {"Resources": {**resources, **RAYS}, "Labels": {} if label is None else {GROUP: label}}
    assert kind_of(node, COMING) == kind
