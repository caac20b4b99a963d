"""The kinds of node that an autoscaler may bring up, from the file that it was given: Ray's launcher's, or KubeRay's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from truing.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Nodes:
    """A kind of node: what each has, by Ray resource, and how many there are or the autoscaler may bring up.

    Memory is in GiB; a kind that does not say how much it has is taken to have enough.
    """

    kind: str
    resources: Mapping[str, float]
    count: int

    def __str__(self) -> str:
        shown = {name: amount for name, amount in self.resources.items() if name != MEMORY}
        has = ", ".join(f"{amount:g} {WORDS.get(name, name)}" for name, amount in shown.items())
        return f"{self.count} x {self.kind} ({has})"


WORDS = {"CPU": "CPUs", "GPU": "GPUs", "memory": "GiB of memory"}
"""How Ray's own resources are called in a message."""
MEMORY = "memory"
GROUP = "ray.io/node-group"
"""The label in which KubeRay names a node's group."""


def own_resources(node: Mapping[str, Any]) -> dict[str, float]:
    """What a node of `ray.nodes()` has, without what Ray adds for itself."""
    has: Mapping[str, float] = node["Resources"]
    return {name: much for name, much in has.items() if ":" not in name and name not in {MEMORY, "object_store_memory"}}


def is_of(resources: Mapping[str, float], kind: Nodes) -> bool:
    """Whether a node with these resources is one of this kind."""
    return all(resources.get(name, 0.0) == amount for name, amount in kind.resources.items() if name != MEMORY)


def kind_of(node: Mapping[str, Any], coming: Sequence[Nodes]) -> str:
    """The kind of a node of `ray.nodes()`.

    That is its group, where a label says so, or that of the autoscaler's kinds whose resources it has; else the names of
    the resources that are its own (`learner`, `labeler+rollout`), else its CPUs and GPUs (`8 CPUs, 1 GPUs`).
    """
    has = own_resources(node)
    if named := node["Labels"].get(GROUP) or next((kind.kind for kind in coming if is_of(has, kind)), ""):
        return named
    return "+".join(sorted(set(has) - set(WORDS))) or ", ".join(
        f"{much:g} {WORDS[name]}" for name, much in sorted(has.items())
    )


def may_come(path: Path) -> list[Nodes]:
    """The kinds of worker node at their most.

    Raises:
        ConfigError: the file is not there, or is neither a launcher's file nor a RayCluster or RayJob.
    """
    try:
        written = yaml.safe_load(path.expanduser().read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cluster.autoscaling: {path} cannot be read ({str(error).splitlines()[0]})") from None
    if isinstance(written, dict) and "available_node_types" in written:
        return _launched(written)
    if isinstance(written, dict) and written.get("kind") in {"RayCluster", "RayJob"}:
        return _on_kubernetes(written)
    raise ConfigError(
        f"cluster.autoscaling: {path} has neither available_node_types nor the kind RayCluster or RayJob; give the file that"
        " `ray up` or the autoscaler was given, or KubeRay's manifest"
    )


def _launched(written: Mapping[str, Any]) -> list[Nodes]:
    kinds = written["available_node_types"]
    found = [
        Nodes(
            kind,
            {name: _gib(name, amount) for name, amount in one["resources"].items()},
            int(one.get("max_workers", 0)),
        )
        for kind, one in kinds.items()
        if kind != written.get("head_node_type")
    ]
    return [one for one in found if one.count]


def _gib(resource: str, amount: float) -> float:
    """An amount of a launcher's file, where memory is in bytes."""
    return float(amount) / 2**30 if resource == MEMORY else float(amount)


def _on_kubernetes(written: Mapping[str, Any]) -> list[Nodes]:
    spec = written["spec"]["rayClusterSpec"] if written["kind"] == "RayJob" else written["spec"]
    return [Nodes(one["groupName"], _of_pod(one), int(one["maxReplicas"])) for one in spec.get("workerGroupSpecs", [])]


def _of_pod(group: Mapping[str, Any]) -> dict[str, float]:
    """CPUs and GPUs of the first container's limits; the group's own resources beside them."""
    limits = group["template"]["spec"]["containers"][0].get("resources", {}).get("limits", {})
    found = {"CPU": _cpus(limits["cpu"])} if "cpu" in limits else {}
    gpus = sum(float(amount) for name, amount in limits.items() if name.endswith("/gpu"))
    own = group.get("resources") or json.loads(group.get("rayStartParams", {}).get("resources", "{}").strip("'"))
    return (
        found | ({"GPU": gpus} if gpus else {}) | {name: float(much) for name, much in own.items() if name != "memory"}
    )


def _cpus(amount: object) -> float:
    """Kubernetes writes 500m for half a CPU."""
    text = str(amount)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
