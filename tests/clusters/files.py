"""The cluster files: what they hold, and the kinds of node that each of them makes, as Ray itself reads them."""

import copy
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _derive_autoscaling_config_from_ray_cr
from ray.autoscaler._private.util import prepare_config, validate_config

from jobs.cluster.kinds import Nodes

ROOT = Path(__file__).resolve().parents[2]
AWS, GCP = ROOT / "cluster.yaml", ROOT / "clusters/gcp.yaml"
RAYCLUSTER, RAYJOB, KUBERNETES = (ROOT / f"clusters/{name}.yaml" for name in ("raycluster", "rayjob", "kubernetes"))
CHECKOUT = "/home/truing/truing"
"""Where the image has the project."""
LAUNCHED, ON_KUBERNETES = (AWS, GCP), (RAYCLUSTER, RAYJOB)

REFUSED = {
    "unknown key": (lambda config: config.update(idle_timeout=5), jsonschema.ValidationError),
    "no resources": (lambda config: node(config, "rollout").pop("resources"), jsonschema.ValidationError),
    "part of a GPU": (lambda config: node(config, "learner")["resources"].update(GPU=0.5), jsonschema.ValidationError),
    "head type not listed": (lambda config: config.update(head_node_type="chief"), ValueError),
    "fewer workers than the minimum": (lambda config: config.update(max_workers=0), ValueError),
}
"""What Ray's validation refuses of a file of the cluster launcher: how it is broken, and the error."""


def node(config: dict[str, Any], role: str) -> dict[str, Any]:
    return config["available_node_types"][role]


def read(path: Path) -> dict[str, Any]:
    """The only document of a file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def prepared(written: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` validates: the file over Ray's defaults for its cloud. Needs neither the cloud's client nor a network."""
    return prepare_config(copy.deepcopy(written))


def cluster_spec(manifest: dict[str, Any]) -> dict[str, Any]:
    return manifest["spec"]["rayClusterSpec"] if manifest["kind"] == "RayJob" else manifest["spec"]


def groups(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Head and workers of a KubeRay resource, by role."""
    spec = cluster_spec(manifest)
    return {"head": spec["headGroupSpec"]} | {one["groupName"]: one for one in spec["workerGroupSpecs"]}


def pods(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Every pod template: the cluster's, and the submitter's of a job."""
    templates = [group["template"] for group in groups(manifest).values()]
    return [*templates, manifest["spec"]["submitterPodTemplate"]] if manifest["kind"] == "RayJob" else templates


def derived(manifest: dict[str, Any]) -> dict[str, Any]:
    """What Ray's autoscaler makes of a KubeRay resource, and validates, each time it looks at it."""
    resource = {"metadata": {"name": "truing", "namespace": "default"}, "spec": cluster_spec(manifest)}
    return _derive_autoscaling_config_from_ray_cr(copy.deepcopy(resource))


def configuration(path: Path) -> dict[str, Any]:
    """The autoscaler's configuration by any of the files, validated by Ray; node types by role."""
    if path in LAUNCHED:
        config = prepared(read(path))
        validate_config(config)
        return config
    config = derived(read(path))
    types = config["available_node_types"]
    types["head"] = types.pop(config["head_node_type"])
    return config


def nodes(path: Path) -> list[Nodes]:
    """The kinds of node at their most, as preflight sees them on a running cluster."""
    types = configuration(path)["available_node_types"].items()
    return [Nodes(role, one["resources"], 1 if role == "head" else one["max_workers"]) for role, one in types]
