"""Applications of Ray Serve: their names, what stands on the cluster, starting one within a deadline, ending it."""

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray._private.state import actors, jobs
from ray.exceptions import ActorDiedError, RayActorError, RayError

from actors.group import Needs
from actors.pending import fetch, translated
from actors.placement import wait_for_room
from truing import errors
from truing.errors import ActorDied, ActorLost, ConfigError, TruingError
from truing.records import content_id

if TYPE_CHECKING:
    from ray.serve.config import HTTPOptions

DRIVER = "driver-"
"""How the name of a deployment begins; the id of its driver's Ray job follows, by which others see whether that still runs."""
RAISED = re.compile(r"^truing\.errors\.(\w+): (.+)$", re.MULTILINE)
"""Where Serve's text of a failure has an error of ours: its class, its line."""
POLL = 0.5
"""Seconds between two looks at an application that starts."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The Ray Serve of a cluster: how it listens, and the route of each application (None: none) by its name."""

    http: "HTTPOptions"
    routes: Mapping[str, str | None]


def app_name(spent: Path, what: str) -> str:
    """Name of what a run's labeler is to Ray Serve. Others that deployed under the same name would take its place.

    `spent`: folder of what the run has spent on the labeler, RUN/spent/LABELER, which is no other's. Letters, digits and
    dashes alone: Serve makes file names of it.
    """
    words = re.sub(r"[^0-9A-Za-z]+", "-", f"truing {spent.parents[1].name} {what}")
    return f"{words[:80].strip('-')}-{content_id(str(spent), what)}"


def _client() -> Any:
    """Ray Serve's controller; None where no Serve runs on the cluster."""
    from ray.serve.context import _get_global_client

    return _get_global_client(raise_if_no_controller_running=False)


def standing() -> Standing | None:
    """The Serve that runs on the cluster, if there is one."""
    client = _client()
    if client is None:
        return None
    found = client.get_serve_details()["applications"]
    return Standing(client.http_config, {name: one["route_prefix"] for name, one in found.items()})


def begin(http: Mapping[str, object]) -> bool:
    """Start Serve with these HTTP options where none runs on the cluster; whether it was started.

    Raises:
        ActorDied: it does not start: its port is another's.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    if _client() is not None:
        return False
    try:
        serve.start(http_options=dict(http))
    except (RayError, TimeoutError) as error:
        serve.shutdown()
        raise ActorDied(
            f"Ray Serve could not be started ({_last_line(str(error))}): see that no other process has that port"
        ) from None
    return True


def _found(name: str) -> Mapping[str, Any] | None:
    """What Serve knows of an application, as `serve status` shows it."""
    client = _client()
    return client.get_serve_details()["applications"].get(name) if client else None


def make_way(name: str) -> bool:
    """End the application that a driver which is gone has left under a name; whether there was one.

    Raises:
        ConfigError: its driver still runs.
    """
    from ray.serve.context import _check_cached_client_alive

    # Somebody may have ended the Serve that an earlier stage of this process knew.
    _check_cached_client_alive()
    if (left := _found(name)) is None:
        return False
    drivers = {one.removeprefix(DRIVER) for one in left["deployments"]} - {ray.get_runtime_context().get_job_id()}
    if drivers & {job["JobID"] for job in jobs() if not job["IsDead"]}:
        raise ConfigError(
            f"Ray Serve has {name} from another command of this run, which still runs: end that one first"
        )
    remove(name)
    return True


def remove(name: str) -> None:
    """End an application, if it is there; its replicas are gone afterwards."""
    try:
        if (client := _client()) is not None:
            client.delete_apps([name])
    except RayActorError:
        # Serve itself has ended, and its applications with it.
        return


def install(name: str, deployment: Any, arguments: Sequence[object] = (), route: str | None = None) -> Any:
    """Hand an application to Serve, which begins to start it; `started` waits for it. Its handle.

    Raises:
        ActorDied: Serve does not start, or does not take it.
    """
    from ray import serve
    from ray.serve.exceptions import RayServeException

    begin({})
    named = deployment.options(name=f"{DRIVER}{ray.get_runtime_context().get_job_id()}")
    target = serve.RunTarget(named.bind(*arguments), name=name, route_prefix=route)
    try:
        # `serve.run` waits for as long as it takes, with a deadline in none of its options.
        (handle,) = serve.run_many(
            [target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False
        )
    except (RayError, RayServeException, TimeoutError) as error:
        raise ActorDied(
            f"Ray Serve does not take {name} ({_last_line(str(error))}); see `serve status` there"
        ) from None
    return handle


def started(name: str, role: str, needs: Needs) -> None:
    """Wait until an application runs, with its fewest replicas.

    Raises:
        ShortOfResources: a replica finds no room in time.
        ActorDied: the replicas cannot be started; ActorLost: the start deadline passed.
        TruingError: whatever such error a replica raised itself.
    """
    loading = [_RUNNING.remote(name, role)]
    wait_for_room(role, needs.bundle, needs.patience, loading, needs.start_deadline)
    fetch(loading, f"{role}: start", needs.start_deadline)


def _running(name: str, role: str) -> None:
    """A Ray task that ends when an application runs, or will not."""
    while (found := _found(name)) is not None and found["status"] != "RUNNING":
        if found["status"] == "DEPLOY_FAILED":
            raise _failure(role, found)
        time.sleep(POLL)
    if found is None:
        raise ActorLost(f"{role}: start: somebody has taken it out of Ray Serve ({name}); run the same command again")


_RUNNING: Any = ray.remote(num_cpus=0)(_running)


def _failure(role: str, app: Mapping[str, Any]) -> TruingError:
    """Why an application cannot be started, of what Serve knows of it."""
    deployments = app["deployments"].values()
    said = "\n".join([app["message"], *(one["message"] for one in deployments)])
    if raised := RAISED.findall(said):
        kind, line = raised[-1]
        return vars(errors)[kind](line)
    reason = f"it could not be started ({_last_line(said)})"
    if ActorDiedError.__name__ in said:
        # Of a death Serve knows no more; Ray does.
        replicas = [one for each in deployments for one in (*each["replicas"], *each["recent_dead_replicas"])]
        known = [actors(one["actor_id"]) for one in replicas if one["actor_id"]]
        causes = [info["DeathCause"] for info in known if info and info["State"] == "DEAD"]
        deaths = [translated(ActorDiedError(cause.actor_died_error_context)) for cause in causes]
        reason = deaths[-1] if deaths else "its process died"
    return ActorDied(f"{role}: start: {reason}; run the same command again to go on from what is stored")


def _last_line(text: str) -> str:
    return next((line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "")
