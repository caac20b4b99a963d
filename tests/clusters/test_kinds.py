"""What may come, as preflight reads it off a file, is what Ray's autoscaler reads off it."""

from pathlib import Path

import pytest

from jobs.cluster.kinds import Nodes, may_come
from tests.clusters.files import AWS, GCP, RAYCLUSTER, RAYJOB, nodes
from truing.errors import ConfigError


@pytest.mark.parametrize("path", [AWS, GCP, RAYCLUSTER, RAYJOB], ids=lambda path: path.name)
def test_it_is_what_ray_reads(path: Path):
    by_ray = {one.kind: (one.count, dict(one.resources)) for one in nodes(path) if one.kind != "head"}
    by_us = {one.kind: (one.count, dict(one.resources)) for one in may_come(path)}
    for kind, (count, resources) in by_us.items():
        assert count == by_ray[kind][0]
        # Ray counts memory too, which no role asks for.
        assert resources == {name: much for name, much in by_ray[kind][1].items() if name in resources}
        assert {"CPU", "GPU", kind} == set(resources)
    assert set(by_us) == set(by_ray)


def test_a_node_says_what_it_has():
    assert (
        str(Nodes("rollout", {"CPU": 8.0, "GPU": 1.0, "rollout": 1.0}, 3)) == "3 x rollout (8 CPUs, 1 GPUs, 1 rollout)"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cluster\.autoscaling: .* cannot be read \(.*No such file"),
        ("a: [", r"cluster\.autoscaling: .* cannot be read \("),
        ("kind: Pod", "has neither available_node_types nor the kind RayCluster or RayJob; give the file that"),
        ("- a list", "has neither available_node_types nor the kind"),
    ],
)
def test_a_file_that_is_no_cluster_is_refused(tmp_path: Path, text: str | None, message: str):
    path = tmp_path / "cluster.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        may_come(path)
