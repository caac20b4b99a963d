"""Serve: the study's labeler behind HTTP, with requests checked, waiting bounded and replicas that come and go."""

import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from ray import serve
from ray.serve.config import HTTPOptions

from actors.applications import Standing, app_name, begin, install, make_way, remove, standing, started
from actors.labelers import Online
from actors.serving import deploy
from jobs.askings import askings
from jobs.calibrated import fitted_maps
from jobs.cluster.connect import address
from jobs.cluster.watching import watched
from jobs.context import Context
from jobs.http import Answering, http_app
from jobs.http_guard import SealedToken, sealed_token
from jobs.labelers import member, online, spent
from jobs.progress import console
from trainers.roles import labeler_needs
from truing.config.labeling import Style
from truing.config.serving import Serve
from truing.config.study import Study
from truing.errors import ConfigError
from truing.labeling.asking import Asking
from truing.labeling.templates import load_template

ROUTE = "/"
SLACK = 5.0
"""Seconds that Serve's proxy waits beyond `serve.timeout`, so that it is the endpoint that answers."""


def run_serve(study: Study) -> None:
    """Start the endpoint and wait for a signal that ends it; its URL is the last line printed.

    Raises:
        ConfigError: the labeler is no single engine or endpoint, a template is not usable, there is no token where one is
            asked for, the port is taken, another Ray Serve stands in the way, or a calibration is wanted and not fitted yet.
        LabelerStopped: the endpoint behind the labeler does not answer, or its budget is spent.
        TruingError: as `started`.
    """
    settings = online(study.labeler, "serve")
    token = sealed_token(study.serve)
    label, context = study.label, Context.of(study)
    ((name, asking),) = askings([label.templates], [label.style], label.criteria[:1], tuple(label.templates)).items()
    calibration = fitted_maps(context, [name]).get(name)
    template = load_template(study.serve.score_template)
    if template.asks_for != "score" or template.steps:
        raise ConfigError(
            f"serve.score_template: {template.name!r} does not ask for a score at once; give one that does, such as score"
        )
    answering = Answering(asking, Asking({"*": template}, Style()), calibration)
    if address(study) is None:
        # Said before a cluster is started. On one that runs, the port may be that of its Serve.
        free_port(study.serve)
    with watched(study):
        context.connect()
        account = spent(context.run.path, member(settings).id)
        with endpoint(study, settings, account, answering, token) as url:
            console.print(f"  POST {url}/compare    POST {url}/score    GET {url}/health    (Ctrl-C ends it)")
            console.print(url, soft_wrap=True)
            _wait()


def free_port(settings: Serve) -> int:
    """The port, seen to be free; for 0, one that is.

    Raises:
        ConfigError: it is taken, or the host is no address of this machine.
    """
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((settings.host, settings.port))
            return probe.getsockname()[1]
    except OSError as error:
        raise ConfigError(
            f"serve: {settings.host}:{settings.port} cannot be listened on ({error.strerror or error}); give another"
            " serve.port (0 picks a free one), or a serve.host of this machine"
        ) from None


@contextmanager
def endpoint(
    study: Study, labeler: Online, spent: Path, answering: Answering, token: SealedToken | None
) -> Iterator[str]:
    """The base URL of the endpoint, while the block runs. `spent`: see `deploy`.

    Raises as `listening`, `deploy` and `started`.
    """
    names = served, front = app_name(spent, "serve"), app_name(spent, "endpoint")
    settings, ours = listening(study.serve, names)
    needs = labeler_needs(labeler, study.cluster)

    def app() -> FastAPI:
        """Made in the endpoint's own process."""
        return http_app(serve.get_app_handle(served).one.remote, settings, answering, token)

    try:
        deploy(served, labeler, spent, settings.replicas, needs, settings.replicas.queue)
        started(served, "labeler", needs)
        deployment = serve.deployment(serve.ingress(app)()).options(
            max_ongoing_requests=10_000, ray_actor_options={"num_cpus": 0}
        )
        install(front, deployment, route=ROUTE)
        started(front, "endpoint", replace(needs, cpus=0, gpus=0, memory=0, resources={}))
        yield f"http://{settings.host}:{settings.port}"
    finally:
        # A local cluster ends with this process, and may have had the same signal.
        if address(study) is not None:
            for name in names:
                remove(name)
            if ours and (there := standing()) is not None and not there.routes:
                serve.shutdown()


def listening(settings: Serve, names: Sequence[str]) -> tuple[Serve, bool]:
    """Have Ray Serve listen as the settings say: these with the port that it has, and whether it was started here.

    `names`: of our applications. What a command that is gone has left of them is ended, and with it a Serve that has no
    others.

    Raises:
        ConfigError: the port is taken, or a Serve runs already and cannot be shared.
        ActorDied: Serve does not start.
    """
    left = [make_way(name) for name in names]
    if any(left) and (there := standing()) is not None and not there.routes:
        serve.shutdown()
    if standing() is None:
        settings = settings.model_copy(update={"port": free_port(settings)})
        if begin({"host": settings.host, "port": settings.port, "request_timeout_s": settings.timeout + SLACK}):
            return settings, True
    # Another one's, perhaps of this very moment.
    there = standing()
    assert there is not None
    return settings.model_copy(update={"port": shared(settings, there)}), False


def shared(settings: Serve, there: Standing) -> int:
    """The port of a Serve that runs already. Ray changes none of its HTTP options while it runs, and ignores others.

    Raises:
        ConfigError: it listens elsewhere, or otherwise, than the settings say, or answers for another application.
    """
    http = there.http
    where = f"Ray Serve runs on this cluster already, at {http.host}:{http.port}"
    if taken := [name for name, route in there.routes.items() if route == ROUTE]:
        raise ConfigError(
            f"serve: {where}, and answers for {taken[0]}; end the command that started that, or `serve shutdown` where it is"
            " gone"
        )
    if (settings.host, settings.port or http.port) != (http.host, http.port):
        raise ConfigError(
            f"serve: {where}, and cannot listen on {settings.host}:{settings.port} too; give serve.host={http.host}"
            f" serve.port={http.port}, or end it (`serve shutdown` on the cluster)"
        )
    ours = HTTPOptions(host=http.host, port=http.port).model_dump(exclude={"request_timeout_s"})
    others = [name for name, value in http.model_dump().items() if name in ours and ours[name] != value]
    if http.request_timeout_s is not None and http.request_timeout_s < settings.timeout:
        others.append(f"request_timeout_s={http.request_timeout_s:g}, below serve.timeout")
    if others:
        raise ConfigError(
            f"serve: {where}, with HTTP options of its own ({', '.join(others)}); end it (`serve shutdown` on the cluster)"
        )
    return http.port


def _wait() -> None:
    """Until SIGTERM or Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        pass
