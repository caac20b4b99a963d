"""What KubeRay 1.6 would say of a resource: the part of its schema that our manifests use, and its operator's own rules.

Distilled, not copied: the fields from KubeRay's generated reference of `ray.io/v1` at release tag v1.6.2 (docs/reference/api.md of
ray-project/kuberay, as Ray's documentation carries it), those of pods from the custom resource definition
(helm-chart/kuberay-operator/crds/ray.io_rayclusters.yaml, commit 017710c0), the rules from `ValidateRayClusterSpec` and
`ValidateRayJobSpec` (ray-operator/controllers/ray/utils/validation.go). Keys that the manifests do not use are refused here
although KubeRay knows them: whoever uses one looks it up and adds it. The API server itself drops unknown keys in silence.
"""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import yaml

TEXT, WHOLE, BOOLEAN = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
QUANTITY = {"type": ["string", "integer"], "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}


def _keys(required: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _list(item: Any) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": 1}


AMOUNTS = {"type": "object", "additionalProperties": QUANTITY}
RESOURCES = _keys("", requests=AMOUNTS, limits=AMOUNTS)
LOCKED = _keys("", allowPrivilegeEscalation=BOOLEAN, capabilities=_keys("", drop=_list(TEXT)))
CONTAINER = _keys(
    "name image resources",
    name=TEXT,
    image=TEXT,
    env=_list(_keys("name", name=TEXT, value=TEXT)),
    securityContext=LOCKED,
    resources=RESOURCES,
    volumeMounts=_list(_keys("name mountPath", name=TEXT, mountPath=TEXT)),
)
USER = _keys(
    "",
    runAsNonRoot=BOOLEAN,
    runAsUser=WHOLE,
    runAsGroup=WHOLE,
    fsGroup=WHOLE,
    fsGroupChangePolicy={"enum": ["OnRootMismatch", "Always"]},
)
TOLERATION = _keys("", key=TEXT, operator={"enum": ["Exists", "Equal"]}, value=TEXT, effect=TEXT)
POD = _keys(
    "containers",
    containers=_list(CONTAINER),
    securityContext=USER,
    nodeSelector=TEXTS,
    tolerations=_list(TOLERATION),
    restartPolicy={"enum": ["Always", "OnFailure", "Never"]},
    terminationGracePeriodSeconds=WHOLE,
    volumes=_list(
        _keys("name persistentVolumeClaim", name=TEXT, persistentVolumeClaim=_keys("claimName", claimName=TEXT))
    ),
)
TEMPLATE = _keys("spec", metadata=_keys("", labels=TEXTS), spec=POD)
CLUSTER = _keys(
    "headGroupSpec",
    rayVersion=TEXT,
    authOptions=_keys("", mode={"enum": ["disabled", "token"]}, secretName=TEXT),
    enableInTreeAutoscaling=BOOLEAN,
    autoscalerOptions=_keys(
        "",
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        version={"enum": ["v1", "v2"]},
        idleTimeoutSeconds=WHOLE,
        resources=RESOURCES,
    ),
    headGroupSpec=_keys(
        "template",
        serviceType=TEXT,
        enableIngress=BOOLEAN,
        rayStartParams=TEXTS,
        resources=TEXTS,
        template=TEMPLATE,
    ),
    workerGroupSpecs=_list(
        _keys(
            "groupName minReplicas maxReplicas template",
            groupName=TEXT,
            replicas=WHOLE,
            minReplicas=WHOLE,
            maxReplicas=WHOLE,
            idleTimeoutSeconds=WHOLE,
            rayStartParams=TEXTS,
            resources=TEXTS,
            template=TEMPLATE,
        )
    ),
)
JOB = _keys(
    "entrypoint rayClusterSpec",
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
    submitterPodTemplate=TEMPLATE,
    preRunningDeadlineSeconds={"type": "integer", "minimum": 1},
    activeDeadlineSeconds={"type": "integer", "minimum": 1},
    backoffLimit=WHOLE,
    shutdownAfterJobFinishes=BOOLEAN,
    ttlSecondsAfterFinished=WHOLE,
    rayClusterSpec=CLUSTER,
)
SPECS = {"RayCluster": CLUSTER, "RayJob": JOB}
DNS_1035 = re.compile(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?-?")


def complaints(manifest: dict[str, Any]) -> list[str]:
    """Everything that the schema or the operator would refuse, where it is; [] for a resource that they take."""
    if manifest.get("apiVersion") != "ray.io/v1" or manifest.get("kind") not in SPECS:
        return [f"{manifest.get('apiVersion')} {manifest.get('kind')} is none of ray.io/v1 {', '.join(SPECS)}"]
    shape = _keys(
        "apiVersion kind metadata spec",
        apiVersion=TEXT,
        kind=TEXT,
        metadata={**_keys("", name=TEXT, generateName=TEXT), "minProperties": 1, "maxProperties": 1},
        spec=SPECS[manifest["kind"]],
    )
    wrong = [
        f"{error.json_path}: {error.message}" for error in jsonschema.Draft202012Validator(shape).iter_errors(manifest)
    ]
    if wrong:
        return wrong
    spec = manifest["spec"]
    (name,) = manifest["metadata"].values()
    found = [] if DNS_1035.fullmatch(name) else [f"metadata: {name} is not a DNS label"]
    if manifest["kind"] == "RayCluster":
        return [*found, *_cluster(spec)]
    return [
        *found,
        *_job(spec),
        *_pod("submitter", spec["submitterPodTemplate"]["spec"]),
        *_cluster(spec["rayClusterSpec"]),
    ]


def _cluster(spec: dict[str, Any]) -> Iterator[str]:
    if spec["authOptions"]["mode"] == "token":
        version = spec.get("rayVersion", "")
        if not re.fullmatch(r"\d+\.\d+\.\d+", version) or tuple(map(int, version.split("."))) < (2, 52, 0):
            yield f"authOptions: a token needs rayVersion 2.52.0 or later, not {version!r}"
    groups = [("head", spec["headGroupSpec"])] + [(one["groupName"], one) for one in spec["workerGroupSpecs"]]
    names = [name for name, _ in groups]
    if len(set(names)) < len(names):
        yield f"workerGroupSpecs: a name is there twice: {names}"
    for name, group in groups:
        if group.get("minReplicas", 0) > group.get("maxReplicas", 0):
            yield f"{name}: minReplicas is greater than maxReplicas"
        if group.get("resources") and {"num-cpus", "num-gpus", "memory", "resources"} & group["rayStartParams"].keys():
            yield f"{name}: resources are in rayStartParams and in resources"
        pod = group["template"]["spec"]
        # Autoscaler v2, which Ray 2.47 and later take by default.
        if pod.get("restartPolicy", "Never") != "Never":
            yield f"{name}: restartPolicy must be Never with autoscaler v2"
        yield from _pod(name, pod)


def _job(spec: dict[str, Any]) -> Iterator[str]:
    if spec["ttlSecondsAfterFinished"] and not spec["shutdownAfterJobFinishes"]:
        yield "ttlSecondsAfterFinished: needs shutdownAfterJobFinishes"
    if spec["backoffLimit"] and spec["submissionMode"] == "InteractiveMode":
        yield "backoffLimit: not with InteractiveMode"
    if spec["submitterPodTemplate"]["spec"].get("restartPolicy") not in {"Never", "OnFailure"}:
        yield "submitterPodTemplate: a Job's pods are restarted Never or OnFailure"
    try:
        yaml.safe_load(spec["runtimeEnvYAML"])
    except yaml.YAMLError:
        yield "runtimeEnvYAML: is not YAML"


def _pod(name: str, pod: dict[str, Any]) -> Iterator[str]:
    """What the API server checks of any pod: mounts have their volume, GPUs are asked for in whole and are not overcommitted."""
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"{name}: mounts {mount['name']}, which is no volume of the pod"
        asked, most = (container["resources"].get(key, {}).get("nvidia.com/gpu") for key in ("requests", "limits"))
        if asked != most:
            yield f"{name}: requests {asked} GPUs with a limit of {most}"
        if most is not None and not str(most).isdecimal():
            yield f"{name}: {most} is not a whole number of GPUs"
