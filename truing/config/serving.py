"""A labeler that answers while others wait: Ray Serve replicas, and the HTTP endpoint in front of them."""

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


class Serve(Section):
    """The HTTP endpoint of `truing serve`: POST /compare, POST /score, GET /health."""

    host: str = "127.0.0.1"
    """Address it is bound to. It asks nobody for a key: bind it to another one only behind a proxy that does."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8110
    """Port; 0 picks a free one, which is printed."""
    replicas: Replicas = Replicas()
    score_template: str = "score"
    """Template of /score: a name or a file."""
    largest_text: Positive = 100_000
    """Characters of one text; a longer one is refused (HTTP 422)."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds after which a request that has no answer yet is given up (HTTP 504)."""
