"""A labeler that answers while others wait: Ray Serve replicas, and the HTTP endpoint in front of them."""

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import Field, model_validator

from truing.config.base import Section
from truing.config.roles import Positive


class Replicas(Section):
    """Copies of a served labeler: Ray Serve adds and removes them by the requests under way."""

    min: Positive = 1
    """Fewest replicas."""
    max: Positive = 1
    """Most replicas."""
    ongoing: Positive = 4
    """Requests under way at one replica that are wanted; more than that adds a replica."""
    queue: Positive = 64
    """Requests that may wait; one more is refused at once (HTTP 503)."""
    upscale_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long more requests than wanted must last before a replica is added."""
    downscale_seconds: Annotated[float, Field(ge=0)] = 120.0
    """How long fewer must last before one is taken away."""

    @model_validator(mode="after")
    def _range(self) -> "Replicas":
        if self.max < self.min:
            raise ValueError(f"max is {self.max}, below min {self.min}: raise max")
        return self


class Rate(Section):
    """What one client address may ask: a bucket of tokens that fills steadily, of which each request takes one."""

    per_second: Annotated[float, Field(gt=0)] = 100.0
    """Requests a second that are taken from one address in the long run; more are refused (HTTP 429, with Retry-After)."""
    burst: Positive = 200
    """Requests that an address which was quiet may make at once."""
    clients: Positive = 10_000
    """Addresses that are remembered, some 200 bytes each; beyond that the one that asked longest ago is forgotten."""


class Serve(Section):
    """The HTTP endpoint of `truing serve`: POST /compare, POST /score, GET /health."""

    host: str = "127.0.0.1"
    """Address it is bound to. Another one than loopback needs `token_variable`, or `without_token`."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8110
    """Port; 0 picks a free one, which is printed."""
    token_variable: str | None = None
    """Environment variable that holds the token which every request must bring (`Authorization: Bearer ...`), or is refused
    (HTTP 401). The token itself is never written anywhere. Absent asks for none, which loopback alone may do."""
    without_token: bool = False
    """Bind to another address than loopback and ask for no token all the same: only behind a proxy that asks for one."""
    largest_body: Positive = 2 * 2**20
    """Bytes of a request's body; a larger one is refused (HTTP 413) before it is read as JSON."""
    rate: Rate | None = Rate()
    """Limit for each client address; null takes all that comes."""
    replicas: Replicas = Replicas()
    score_template: str = "score"
    """Template of /score: a name or a file."""
    largest_text: Positive = 100_000
    """Characters of one text; a longer one is refused (HTTP 422)."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds after which a request that has no answer yet is given up (HTTP 504)."""

    # Both are of the whole section, not of a field: the message of a wrong field would show it, which may be the token.
    @model_validator(mode="after")
    def _variable(self) -> "Serve":
        if self.token_variable is not None and not re.fullmatch(r"[A-Za-z_]\w{0,63}", self.token_variable, re.ASCII):
            raise ValueError(
                "token_variable is no name of an environment variable; give the name, not the token, e.g. TRUING_TOKEN"
            )
        return self

    @model_validator(mode="after")
    def _guarded(self) -> "Serve":
        if self.token_variable is None and not self.without_token and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines, and no token is asked for; set token_variable to the"
                " name of an environment variable that holds one (`openssl rand -hex 32` makes one), or without_token=true"
                " behind a proxy that asks for one"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether an address, or `localhost`, reaches this machine alone."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
