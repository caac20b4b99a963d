"""What a request must pass before anything of it is parsed: the rate of its client, the token, the size of its body."""

import hashlib
import hmac
import math
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.token_bucket import TokenBuckets
from truing.config.serving import Serve
from truing.errors import ConfigError

SHORTEST_TOKEN = 16
LONGEST_LENGTH = 18
"""Digits of a Content-Length that are read as a number; one with more is too large for any limit."""


@dataclass(frozen=True)
class SealedToken:
    """A token that can be recognised and not read: a keyed hash of it. This is what travels to the endpoint's process."""

    key: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def of(cls, token: str) -> "SealedToken":
        """Seal a token, with a key of its own."""
        key = secrets.token_bytes(32)
        return cls(key, _digest(key, token))

    def opens(self, token: str) -> bool:
        """Whether it is this token; how long the answer takes does not depend on where they differ."""
        return hmac.compare_digest(self.digest, _digest(self.key, token))


def _digest(key: bytes, token: str) -> bytes:
    return hmac.new(key, token.encode(), hashlib.sha256).digest()


def sealed_token(settings: Serve) -> SealedToken | None:
    """The token that the settings name, from this process's environment; None where none is asked for.

    Raises:
        ConfigError: the variable holds none, or one that is too short or no HTTP header can carry.
    """
    if settings.token_variable is None:
        return None
    token = os.environ.get(settings.token_variable, "").strip()
    if len(token) < SHORTEST_TOKEN or not all("!" <= letter <= "~" for letter in token):
        raise ConfigError(
            f"serve.token_variable: the environment variable {settings.token_variable} holds no token of {SHORTEST_TOKEN} or"
            " more ASCII letters without a space; set it where `truing serve` is started: `openssl rand -hex 32` makes one"
        )
    return SealedToken.of(token)


class Guard:
    """ASGI middleware around the endpoint. It reads the body, up to the limit, and hands it on as one piece.

    The rate comes first, so that tokens cannot be guessed any faster than requests may be made.
    """

    def __init__(
        self, app: ASGIApp, settings: Serve, token: SealedToken | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._token, self._clock = app, token, clock
        self._largest_body = settings.largest_body
        rate = settings.rate
        self._buckets = rate and TokenBuckets(rate.per_second, rate.burst, rate.clients)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that may not pass; hand any other one on."""
        if scope["type"] != "http":
            # The lifespan. There are no websockets.
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        body = b""
        if refusal is None:
            found = await self._body(receive)
            if found is None:
                refusal = self._too_large()
            else:
                body = found
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """What can be said by the head alone."""
        headers = Headers(scope=scope)
        if self._buckets is not None and (wait := self._buckets.take(client_of(scope), self._clock())):
            return _answer(
                429, "too many requests from this address (serve.rate)", **{"Retry-After": f"{math.ceil(wait)}"}
            )
        if self._token is not None:
            scheme, _, token = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self._token.opens(token.strip()):
                return _answer(401, "give the token: `Authorization: Bearer ...`", **{"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if length.isdecimal() and (len(length) > LONGEST_LENGTH or int(length) > self._largest_body):
            return self._too_large()
        return None

    def _too_large(self) -> JSONResponse:
        said = f"the body has more than {self._largest_body} bytes (serve.largest_body)"
        # What is still to come of it is not waited for.
        return _answer(413, said, Connection="close")

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None as soon as it is too large, whatever its head says."""
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return bytes(body)
            body += message.get("body", b"")
            if len(body) > self._largest_body:
                return None
            if not message.get("more_body", False):
                return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """The body once, then what the server says further: that the client is gone."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        return pending.pop() if pending else await receive()

    return next_message


def client_of(scope: Scope) -> str:
    """Whom a request is counted to: its IPv4 address, or the /64 network of its IPv6 address, which is one household."""
    host = str((scope.get("client") or ("", 0))[0])
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if not isinstance(address, IPv6Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))


def _answer(status: int, said: str, **headers: str) -> JSONResponse:
    return JSONResponse({"detail": said}, status, headers)
