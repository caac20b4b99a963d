"""Serve: the study's labeler behind HTTP, with requests checked, waiting bounded and replicas that come and go."""

import logging
import signal
import socket
import threading
from pathlib import Path

from fastapi import FastAPI
from ray import serve

from actors.group import Needs
from actors.labelers import Online
from actors.serving import deploy
from jobs.askings import askings
from jobs.calibrated import fitted_maps
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

ENDPOINT, LABELER = "truing", "truing-labeler"


def run_serve(study: Study) -> None:
    """Start the endpoint and wait for a signal that ends it; its URL is the last line printed.

    Raises:
        ConfigError: the labeler is no single engine or endpoint, a template is not usable, there is no token where one is
            asked for, the port is taken, or a calibration is wanted and not fitted yet.
        LabelerStopped: the endpoint behind the labeler does not answer, or its budget is spent.
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
    port = free_port(study.serve)
    with watched(study):
        context.connect()
        account = spent(context.run.path, member(settings).id)
        needs = labeler_needs(settings, study.cluster)
        url = start(study.serve.model_copy(update={"port": port}), settings, account, answering, token, needs)
        console.print(f"  POST {url}/compare    POST {url}/score    GET {url}/health    (Ctrl-C ends it)")
        console.print(url, soft_wrap=True)
        _wait()
        if study.cluster.address is not None:
            # A local cluster ends with this process, and may have had the same signal.
            for name in (ENDPOINT, LABELER):
                serve.delete(name)


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


def start(
    settings: Serve, labeler: Online, spent: Path, answering: Answering, token: SealedToken | None, needs: Needs
) -> str:
    """Deploy labeler and endpoint; returns the endpoint's base URL. `spent`: see `deploy`, whose errors it raises."""

    def app() -> FastAPI:
        """Made in the endpoint's own process."""
        return http_app(serve.get_app_handle(LABELER).one.remote, settings, answering, token)

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(http_options={"host": settings.host, "port": settings.port, "request_timeout_s": settings.timeout + 5})
    deploy(LABELER, labeler, spent, settings.replicas, needs, settings.replicas.queue)
    endpoint = serve.deployment(serve.ingress(app)()).options(
        name=ENDPOINT, max_ongoing_requests=10_000, ray_actor_options={"num_cpus": 0}
    )
    serve.run(endpoint.bind(), name=ENDPOINT, route_prefix="/")
    return f"http://{settings.host}:{settings.port}"


def _wait() -> None:
    """Until SIGTERM or Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        pass
