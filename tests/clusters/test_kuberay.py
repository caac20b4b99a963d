"""The KubeRay resources: accepted by Ray's own reading and by KubeRay's fields and rules, and as closed as the other clusters."""

import copy
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay.utils import parse_quantity
from ray.runtime_env.runtime_env import RuntimeEnv, _merge_runtime_env

from jobs.cluster.capacity import check_capacity
from jobs.cluster.kinds import may_come
from tests.clusters.files import (
    CHECKOUT,
    KUBERNETES,
    ON_KUBERNETES,
    RAYCLUSTER,
    RAYJOB,
    ROOT,
    cluster_spec,
    derived,
    groups,
    nodes,
    pods,
    read,
)
from tests.clusters.kuberay import complaints
from truing.config.load import load_study
from truing.errors import ShortOfResources

each_file = pytest.mark.parametrize("path", ON_KUBERNETES, ids=lambda path: path.name)


def container(group: dict[str, Any]) -> dict[str, Any]:
    (only,) = group["template"]["spec"]["containers"]
    return only


# --- KubeRay takes them, and not what is wrong ---------------------------------------------------


@each_file
def test_kuberay_accepts_it(path: Path):
    assert complaints(read(path)) == []


Break = Callable[[dict[str, Any]], object]
CLUSTER_BREAKS: dict[str, tuple[Break, str]] = {
    "another version": (lambda one: one.update(apiVersion="ray.io/v1alpha1"), "ray.io/v1alpha1"),
    "another kind": (lambda one: one.update(kind="RayServe"), "RayServe"),
    "no name": (lambda one: one.update(metadata={}), "$.metadata"),
    "no DNS label": (lambda one: one.update(metadata={"name": "Truing_1"}), "Truing_1"),
    "unknown key": (lambda one: cluster_spec(one).update(idleTimeoutSeconds=5), "idleTimeoutSeconds"),
    "unknown key of a group": (lambda one: groups(one)["rollout"].update(maxWorkers=5), "maxWorkers"),
    "unknown key of a pod": (lambda one: groups(one)["rollout"]["template"]["spec"].update(nodes=5), "nodes"),
    "no most": (lambda one: groups(one)["rollout"].pop("maxReplicas"), "maxReplicas"),
    "less than none": (lambda one: groups(one)["rollout"].update(minReplicas=-1), "-1"),
    "the most below the least": (lambda one: groups(one)["labeler"].update(minReplicas=9), "labeler: minReplicas"),
    "a role that is a number": (lambda one: groups(one)["labeler"].update(resources={"labeler": 1}), "labeler"),
    "resources twice": (
        lambda one: groups(one)["labeler"]["rayStartParams"].update({"num-cpus": "1"}),
        "rayStartParams",
    ),
    "a group twice": (lambda one: groups(one)["labeler"].update(groupName="rollout"), "twice"),
    "no memory of that kind": (
        lambda one: container(groups(one)["head"])["resources"]["limits"].update(memory="24GB"),
        "24GB",
    ),
    "GPUs overcommitted": (
        lambda one: container(groups(one)["learner"])["resources"].pop("requests"),
        "learner: requests None",
    ),
    "part of a GPU": (
        lambda one: [
            amounts.update({"nvidia.com/gpu": "0.5"})
            for amounts in container(groups(one)["learner"])["resources"].values()
        ],
        "whole number of GPUs",
    ),
    "no such volume": (lambda one: groups(one)["rollout"]["template"]["spec"].pop("volumes"), "rollout: mounts runs"),
    "restarted pods": (
        lambda one: groups(one)["head"]["template"]["spec"].update(restartPolicy="Always"),
        "head: restartPolicy",
    ),
    "no such mode": (lambda one: cluster_spec(one).update(authOptions={"mode": "password"}), "password"),
    "a Ray without tokens": (lambda one: cluster_spec(one).update(rayVersion="2.51.2"), "2.51.2"),
    "a Ray without a version": (lambda one: cluster_spec(one).pop("rayVersion"), "rayVersion"),
}
JOB_BREAKS: dict[str, tuple[Break, str]] = {
    "no entrypoint": (lambda one: one["spec"].pop("entrypoint"), "entrypoint"),
    "unknown key of a job": (lambda one: one["spec"].update(retries=2), "retries"),
    "attempts below none": (lambda one: one["spec"].update(backoffLimit=-1), "-1"),
    "no time at all": (lambda one: one["spec"].update(activeDeadlineSeconds=0), "$.spec.activeDeadlineSeconds"),
    "ten minutes of a cluster that stays": (
        lambda one: one["spec"].update(shutdownAfterJobFinishes=False),
        "shutdownAfterJob",
    ),
    "attempts by hand": (lambda one: one["spec"].update(submissionMode="InteractiveMode"), "InteractiveMode"),
    "no such submission": (lambda one: one["spec"].update(submissionMode="Ssh"), "Ssh"),
    "a submitter without a policy": (lambda one: pods(one)[-1]["spec"].pop("restartPolicy"), "submitterPodTemplate"),
    "an environment that is no YAML": (lambda one: one["spec"].update(runtimeEnvYAML="a: b: c"), "runtimeEnvYAML"),
}


@pytest.mark.parametrize(
    ("path", "break_it", "named"),
    [
        *(
            pytest.param(path, *how, id=f"{path.stem}: {name}")
            for name, how in CLUSTER_BREAKS.items()
            for path in ON_KUBERNETES
        ),
        *(pytest.param(RAYJOB, *how, id=f"rayjob: {name}") for name, how in JOB_BREAKS.items()),
    ],
)
def test_kuberay_refuses_what_is_wrong(path: Path, break_it: Break, named: str):
    # Aliases are one object in memory: a change to one pod must not be a change to all.
    manifest = yaml.safe_load(yaml.dump(read(path), Dumper=_NoAliases))
    assert complaints(manifest) == []
    break_it(manifest)
    found = complaints(manifest)
    assert found
    assert any(named in one for one in found), found


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


# --- what Ray makes of them ----------------------------------------------------------------------


@each_file
def test_ray_reads_what_the_containers_have(path: Path):
    manifest = read(path)
    types = derived(manifest)["available_node_types"]
    types["head"] = types.pop("headgroup")
    assert types.keys() == groups(manifest).keys()
    for role, group in groups(manifest).items():
        limits, found = container(group)["resources"]["limits"], dict(types[role]["resources"])
        assert found.pop("CPU") == parse_quantity(limits["cpu"])
        assert found.pop("memory") == parse_quantity(limits["memory"])
        assert found.pop("GPU", None) == (int(limits["nvidia.com/gpu"]) if "nvidia.com/gpu" in limits else None)
        assert found == {role: int(group["resources"][role])}
        # Guaranteed: what a pod is given is what Ray counts with.
        assert container(group)["resources"]["requests"] == limits


@each_file
@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        (lambda one: container(groups(one)["rollout"]).pop("resources"), ValueError),
        (lambda one: groups(one)["rollout"].update(resources={"rollout": "one"}), ValueError),
        (lambda one: groups(one)["rollout"].pop("maxReplicas"), KeyError),
    ],
    ids=["no resources", "not a number", "no most"],
)
def test_ray_refuses_what_it_cannot_read(path: Path, break_it: Break, error: type[Exception]):
    manifest = copy.deepcopy(read(path))
    break_it(manifest)
    with pytest.raises(error):
        derived(manifest)


@each_file
def test_the_autoscaler_is_on(path: Path):
    spec = cluster_spec(read(path))
    assert spec["enableInTreeAutoscaling"] is True
    # Conservative is the counterpart of upscaling_speed 1.
    assert derived(read(path))["upscaling_speed"] == 1


def test_the_job_brings_the_cluster_of_raycluster_yaml():
    job, cluster = cluster_spec(read(RAYJOB)), cluster_spec(read(RAYCLUSTER))
    # The operator and the submitter ask the dashboard from other pods.
    assert job["headGroupSpec"]["rayStartParams"].pop("dashboard-host") == "0.0.0.0"
    assert cluster["headGroupSpec"]["rayStartParams"].pop("dashboard-host") == "127.0.0.1"
    assert job == cluster


# --- the job -------------------------------------------------------------------------------------


def test_what_the_job_runs_fits_its_cluster():
    command, stage, config, *overrides = shlex.split(read(RAYJOB)["spec"]["entrypoint"])
    assert (command, stage) == ("truing", "pipeline")
    study = load_study(ROOT / Path(config).relative_to(CHECKOUT), overrides)
    assert study.cluster.address == "auto"
    assert study.cluster.nodes == {
        "learner": "learner",
        "rollout": "rollout",
        "labeler": "labeler",
        "scorer": "learner",
    }
    mounted = {
        mount["mountPath"] for group in groups(read(RAYJOB)).values() for mount in container(group)["volumeMounts"]
    }
    assert mounted == {study.storage} == {"/runs"}
    # At the start only the head and the least replicas are there: preflight reads of the others in the file, as the image has it.
    autoscaling = study.cluster.autoscaling
    assert autoscaling is not None
    written = ROOT / Path(autoscaling).relative_to(CHECKOUT)
    head = [one for one in nodes(RAYJOB) if one.kind == "head"]
    check_capacity(study, [*head, *may_come(written)])
    with pytest.raises(ShortOfResources):
        check_capacity(study, [*head, *(one for one in may_come(written) if one.kind == "learner")])


def test_the_entrypoint_survives_two_shells():
    # `ray job submit` is called by one, and hands the line to another.
    entrypoint = read(RAYJOB)["spec"]["entrypoint"]
    assert shlex.split(entrypoint) == entrypoint.split()
    assert not re.search(r"[$`\"'\\{}*?;&|<>()#!~]", entrypoint)


def test_the_jobs_environment_goes_with_that_of_a_run():
    # What jobs/cluster/connect.py sets for the workers of every run; Ray refuses a key that both set, whatever its value.
    run = RuntimeEnv(env_vars=dict.fromkeys(("PYTHONPATH", "PATH", "HF_HUB_OFFLINE"), "x"))
    environment = yaml.safe_load(read(RAYJOB)["spec"]["runtimeEnvYAML"])
    assert _merge_runtime_env(RuntimeEnv(**environment), run) is not None
    environment["env_vars"]["HF_HUB_OFFLINE"] = "1"
    assert _merge_runtime_env(RuntimeEnv(**environment), run) is None


def test_the_bill_ends_with_the_run():
    spec = read(RAYJOB)["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["activeDeadlineSeconds"] >= spec["preRunningDeadlineSeconds"] > 0
    # A second attempt goes on where the first was.
    assert spec["backoffLimit"] >= 1


# --- who may reach them, and who they are --------------------------------------------------------


@each_file
def test_nothing_is_open_and_nothing_is_secret(path: Path):
    manifest, text = read(path), path.read_text(encoding="utf-8")
    spec = cluster_spec(manifest)
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert spec["headGroupSpec"]["enableIngress"] is False
    assert not re.search(r"\bhf_\w{10,}|BEGIN [A-Z ]*PRIVATE KEY|auth_token:|RAY_AUTH_TOKEN\s*,", text)
    for pod in pods(manifest):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        (only,) = pod["spec"]["containers"]
        assert only["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


@each_file
def test_rollouts_and_labelers_alone_are_spot(path: Path):
    for role, group in groups(read(path)).items():
        pod = group["template"]["spec"]
        chosen = pod.get("nodeSelector", {}).get("cloud.google.com/gke-spot") == "true"
        tolerated = any(one["key"] == "cloud.google.com/gke-spot" for one in pod.get("tolerations", []))
        assert (chosen, tolerated) == ((True, True) if role in {"rollout", "labeler"} else (False, False)), role


@each_file
def test_pods_are_those_of_the_policy_and_share_its_volume(path: Path):
    claim, policy = yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
    assert (claim["kind"], policy["kind"]) == ("PersistentVolumeClaim", "NetworkPolicy")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    assert all(pod["metadata"]["labels"] == chosen for pod in pods(read(path)))
    for group in groups(read(path)).values():
        (volume,) = group["template"]["spec"]["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    # In come the cluster's own pods and the operator, and nobody else.
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    (rule,) = policy["spec"]["ingress"]
    assert [one["podSelector"]["matchLabels"] for one in rule["from"]] == [
        chosen,
        {"app.kubernetes.io/name": "kuberay-operator"},
    ]
