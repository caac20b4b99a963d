"""A labeler as an application of Ray Serve: the reward graph and the HTTP endpoint ask the same replicas."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import ray
from ray import ObjectRef

from actors.applications import app_name, install, make_way, remove, started
from actors.endpoint import EndpointJudge
from actors.exporting import place
from actors.group import Needs
from actors.labelers import Online
from actors.pending import Pending, fetch
from actors.sharing import length, shares, split_sizes, takers
from truing.config.labeling import EndpointLabeler
from truing.config.serving import Replicas

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

    from actors.replica import LabelerReplica

T = TypeVar("T")
P = ParamSpec("P")


def _try(settings: EndpointLabeler, spent: Path) -> None:
    """A Ray task: Serve would bury what an endpoint that cannot be used says under its own attempts to start replicas."""
    judge = EndpointJudge(settings, spent)
    try:
        judge.check()
    finally:
        judge.close()


def deploy(
    name: str, settings: Online, spent: Path, replicas: Replicas, needs: Needs, queue: int = -1
) -> "DeploymentHandle[LabelerReplica]":
    """Begin to start a labeler's replicas, as an application of this name; `started` waits for the first ones.

    `spent`: folder of what an endpoint has cost the run. `queue`: requests that may wait at one caller before it is
    refused more; -1 for any number. Raises as `EndpointJudge` and its `check`, and as `install`.
    """
    # Serve takes most of a second to import, and few runs serve anything.
    from ray import serve

    from actors.replica import BATCH, LabelerReplica

    if isinstance(settings, EndpointLabeler):
        tried: ObjectRef[Any] = ray.remote(_try).options(num_cpus=0).remote(settings, spent)
        fetch([tried], "labeler: start", needs.start_deadline)
    deployment = serve.deployment(LabelerReplica).options(
        autoscaling_config={
            "min_replicas": replicas.min,
            "max_replicas": replicas.max,
            "target_ongoing_requests": replicas.ongoing,
            "upscale_delay_s": replicas.upscale_seconds,
            "downscale_delay_s": replicas.downscale_seconds,
            "metrics_interval_s": 1,
        },
        # How often the first replicas may fail before Serve gives the application up.
        max_constructor_retry_count=(needs.restarts + 1) * replicas.min,
        max_ongoing_requests=max(BATCH, 2 * replicas.ongoing),
        max_queued_requests=queue,
        # A long batch holds no health check up: it runs in a thread of its own.
        ray_actor_options={
            "num_cpus": needs.cpus,
            "num_gpus": needs.gpus,
            "resources": dict(needs.resources),
            **({"memory": needs.memory} if needs.memory else {}),
            "runtime_env": {"env_vars": needs.environment | place("labeler")},
        },
    )
    return install(name, deployment, (settings, spent, float(needs.call_deadline)))


class ServedLabelers:
    """Served labelers in the reward graph's eyes: they take shares of the work as a group of actors does."""

    def __init__(self, role: str, settings: Online, spent: Path, replicas: Replicas, needs: Needs) -> None:
        """Begin to start them. `role`: the part of the reward graph. Raises as `make_way` and `deploy`."""
        self._role, self._replicas, self._needs = role, replicas, needs
        self.app = app_name(spent, role)
        make_way(self.app)
        try:
            self._handle = deploy(self.app, settings, spent, replicas, needs)
        except BaseException:
            remove(self.app)
            raise

    def ready(self) -> "ServedLabelers":
        """Wait for the first ones. Raises as `started`."""
        started(self.app, self._role, self._needs)
        return self

    def scatter(
        self,
        function: Callable[Concatenate[Any, P], list[T]],
        *columns: "Sequence[object] | Pending[Any]",
        **common: object,
    ) -> Pending[T]:
        """As `ActorGroup.scatter`; the workers are the requests that the most replicas would want to have under way."""
        most = self._replicas.max * self._replicas.ongoing
        sizes = split_sizes(length(columns[0]), takers(columns[0], most))
        split = [shares(column, sizes) for column in columns]
        refs: list[ObjectRef[Any]] = []
        for i in range(len(sizes)):
            response: Any = self._handle.call.remote(function, *(share[i] for share in split), **common)
            refs.append(response._to_object_ref_sync(_timeout_s=self._needs.call_deadline))
        return Pending(tuple(refs), sizes, f"{self._role}: served", self._needs.call_deadline)

    def close(self) -> None:
        """End the replicas, and the thread that measures this caller's requests: it would outlive the cluster."""
        self._handle.shutdown()
        remove(self.app)
