"""Serve: the study's labeler behind HTTP, with requests checked, waiting bounded and replicas that come and go."""

import logging
import signal
import threading
from collections.abc import Mapping

from ray import serve

from actors.group import Needs
from actors.labelers import Online
from actors.serving import deploy
from jobs.askings import askings
from jobs.cluster import session
from jobs.context import Context
from jobs.http import Endpoint
from jobs.labelers import online
from jobs.progress import console
from trainers.roles import labeler_needs
from truing.config.labeling import Style
from truing.config.serving import Serve
from truing.config.study import Study
from truing.errors import ConfigError
from truing.labeling.asking import Asking
from truing.labeling.templates import load_template

ENDPOINT, LABELER = "truing", "truing-labeler"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def run_serve(study: Study) -> None:
    """Start the endpoint and wait for a signal that ends it; its URL is the last line printed.

    Raises:
        ConfigError: the labeler is no single engine or endpoint, or a template is not usable.
    """
    settings = online(study.labeler, "serve")
    label = study.label
    served = askings([label.templates], [label.style], label.criteria[:1], tuple(label.templates))
    template = load_template(study.serve.score_template)
    if template.asks_for != "score" or template.steps:
        raise ConfigError(
            f"serve.score_template: {template.name!r} does not ask for a score at once; give one that does, such as score"
        )
    scored = Asking({"*": template}, Style())
    if study.serve.host not in LOOPBACK:
        console.print(
            f"  warning: {study.serve.host} can be reached from other machines and asks for no key;"
            " put a proxy that does before it"
        )
    with session(study):
        Context.of(study).connect()
        url = start(study.serve, settings, served, scored, labeler_needs(settings, study.cluster))
        console.print(f"  POST {url}/compare    POST {url}/score    GET {url}/health    (Ctrl-C ends it)")
        console.print(url, soft_wrap=True)
        _wait()
        if study.cluster.address is not None:
            # A local cluster ends with this process, and may have had the same signal.
            for name in (ENDPOINT, LABELER):
                serve.delete(name)


def start(settings: Serve, labeler: Online, served: Mapping[str, Asking], scored: Asking, needs: Needs) -> str:
    """Deploy labeler and endpoint; returns the endpoint's base URL."""
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    serve.start(http_options={"host": settings.host, "port": settings.port, "request_timeout_s": settings.timeout + 5})
    deploy(LABELER, labeler, settings.replicas, needs, settings.replicas.queue)
    endpoint = serve.deployment(Endpoint).options(
        name=ENDPOINT, max_ongoing_requests=10_000, ray_actor_options={"num_cpus": 0}
    )
    serve.run(endpoint.bind(LABELER, settings, dict(served), scored), name=ENDPOINT, route_prefix="/")
    return f"http://{settings.host}:{settings.port}"


def _wait() -> None:
    """Until SIGTERM or Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(1.0):
        pass
