"""Secrets: whether the environment variables that a study names are set. What they hold is looked at by nobody."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import cast
from urllib.parse import urlsplit

from jobs.doctor.found import Found, judged
from truing.config.base import Section
from truing.config.labeling import EndpointLabeler
from truing.config.load import ways
from truing.config.study import Study
from truing.config.tracking import Wandb


def endpoint_keys(study: Study) -> dict[str, str]:
    """Variables that the workers of an endpoint want, with its URL. A server of this machine asks for none."""
    asked = (
        one for one in _endpoints(tuple(ways(study).values())) if not _is_loopback(urlsplit(one.url).hostname or "")
    )
    return {one.key_variable: one.url for one in asked}


def driver_keys(study: Study) -> dict[str, str]:
    """Variables that the driver wants, with what for."""
    online = [one for one in study.trackers if isinstance(one, Wandb) and one.mode == "online"]
    return {"WANDB_API_KEY": "Weights & Biases"} if online else {}


def missing(variables: Iterable[str], environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Those that are not set, or hold nothing, in this process."""
    found = os.environ if environment is None else environment
    return tuple(name for name in variables if not found.get(name, "").strip())


def keys(wanted: Mapping[str, str], absent: Sequence[str]) -> Found:
    """Of the variables wanted here, those that are absent."""
    faults = [f"{name} is not set, and {wanted[name]} wants a key: set it where `truing` is started" for name in absent]
    return judged("keys", faults, f"{', '.join(wanted)} set" if wanted else "none is wanted")


def node_keys(wanted: Mapping[str, str], absent: Mapping[str, Sequence[str]]) -> Found:
    """Of the variables that workers want, those that are absent on a node."""
    faults = [
        f"{name} is not set on {node}, where workers for {wanted[name]} may run: set it there before `ray start`"
        for node, names in absent.items()
        for name in names
    ]
    return judged("keys of nodes", faults, f"{', '.join(wanted)} set on each")


def _endpoints(part: object) -> Iterator[EndpointLabeler]:
    """Every endpoint anywhere in a configuration."""
    if isinstance(part, EndpointLabeler):
        yield part
    elif isinstance(part, Section):
        for name in type(part).model_fields:
            yield from _endpoints(getattr(part, name))
    elif isinstance(part, Mapping):
        yield from _endpoints(tuple(cast("Mapping[object, object]", part).values()))
    elif isinstance(part, tuple | list):
        for one in cast("Sequence[object]", part):
            yield from _endpoints(one)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
