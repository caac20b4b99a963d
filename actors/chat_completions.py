"""One request to a chat-completions server: the key, the retries, and what comes of it."""

import email.utils
import math
import os
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Literal, TypedDict

import httpx2
from pydantic import BaseModel, Field, SecretStr, ValidationError

from actors.spending import Spending
from truing.config.labeling import EndpointLabeler
from truing.errors import ConfigError, TruingError
from truing.records import Failed, NotAsked

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before the first retry, doubled with each; and the most that they grow to."""
LONGEST_RETRY_AFTER = 120.0
"""A server that asks for a longer wait, in seconds, is given up for this question."""
LARGEST_REPLY = 8 * 2**20
"""Bytes of a reply that are read."""
TURN_TOKENS = 128
"""More tokens than any chat template spends on the frame of one turn."""
TOO_LONG = re.compile(r"context.length|maximum.{0,20}length|longer than|too (long|large|many tokens)", re.IGNORECASE)
"""How servers say that a question does not fit, beside HTTP 413."""


class Message(TypedDict):
    """One turn, as the server takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


class TopToken(BaseModel):
    """A token that could stand at a position, and its log-probability in nats (rounding may put it just above 0)."""

    token: str
    logprob: Annotated[float, Field(le=1e-3, allow_inf_nan=False)]


class Position(TopToken):
    """The token that was decoded, and the likeliest ones in its place."""

    top_logprobs: list[TopToken] = []


class Logprobs(BaseModel):
    """Log-probs of the reply, position by position."""

    content: list[Position] | None = None


class Reply(BaseModel):
    """What the assistant said; None where it refused or was filtered."""

    content: str | None = None


class Choice(BaseModel):
    """One completion."""

    message: Reply
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class Tokens(BaseModel):
    """What the server counted."""

    prompt_tokens: Annotated[int, Field(ge=0)]
    completion_tokens: Annotated[int, Field(ge=0)] = 0


class Completion(BaseModel):
    """The part of a chat completion that is read here."""

    choices: Annotated[list[Choice], Field(min_length=1)]
    usage: Tokens | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A request that brought no completion.

    `passing`: the same request may fare better later. `unfit`: it is too long for the model. `refused`: the server
    understood it and will not have it. `fatal`: no other request can fare better. `wait`: seconds that the server asks
    for.
    """

    reason: str
    kind: Literal["passing", "unfit", "refused", "fatal", "nonsense"]
    wait: float = 0.0


CAUSES: dict[str, Literal["question", "answerer", "passing"]] = {
    "passing": "passing", "unfit": "question", "refused": "answerer", "nonsense": "answerer",
}  # fmt: skip
"""Whose fault a question is that was given up, by kind of fault."""


class ChatClient:
    """Sends requests, several at a time if several threads call it. The key is read from the environment, once."""

    def __init__(self, settings: EndpointLabeler, spending: Spending) -> None:
        self._settings, self._spending = settings, spending
        url = _checked_url(settings.url)
        loopback = _is_loopback(url.host)
        self._key = _key(settings.key_variable, required=not loopback)
        self._http = httpx2.Client(
            base_url=str(url).rstrip("/") + "/",
            headers={"Authorization": f"Bearer {self._key.get_secret_value()}"} if self._key else {},
            timeout=settings.timeout,
            limits=httpx2.Limits(max_connections=settings.concurrency),
            trust_env=not loopback,  # A proxy cannot reach this machine's own loopback.
        )

    def complete(self, messages: Sequence[Message], max_tokens: int, **options: Any) -> Completion | Failed | NotAsked:
        """One completion, after as many retries as the settings allow."""
        body = {"model": self._settings.model, "messages": messages, "max_tokens": max_tokens, **options}
        # A token is at least a byte, so this many is an upper bound of what the server can count.
        prompt = sum(len(m["content"].encode(errors="replace")) + TURN_TOKENS for m in messages)
        most = self._spending.cost(prompt, max_tokens)
        if not self._spending.reserve(most):
            return NotAsked(str(self._spending.stopped))
        used = Tokens(prompt_tokens=0)
        try:
            found = self._attempts(body)
            used = (found.usage if isinstance(found, Completion) else None) or used
        finally:
            self._spending.settle(most, used.prompt_tokens, used.completion_tokens)
        return found

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def _attempts(self, body: dict[str, Any]) -> Completion | Failed | NotAsked:
        tries = self._settings.retries + 1
        for attempt in range(tries):
            if self._spending.stopped:
                break
            self._spending.sent(again=attempt > 0)
            found = self._send(body)
            if isinstance(found, Completion):
                self._spending.answered()
                return found
            if found.kind == "fatal":
                self._spending.stop(self._fatal(found))
                break
            if found.kind != "passing" or attempt + 1 == tries or found.wait > LONGEST_RETRY_AFTER:
                self._spending.failed(found.reason, refused=found.kind in ("unfit", "refused"))
                return Failed(f"endpoint: {found.reason} (attempt {attempt + 1} of {tries})", CAUSES[found.kind])
            if not self._spending.pause(wait_before(attempt + 1, found.wait)):
                break
        return NotAsked(str(self._spending.stopped))

    def _send(self, body: dict[str, Any]) -> Completion | Fault:
        """One attempt. `timeout` is for all of it: a server that sends a byte now and then does not prolong it."""
        until = time.monotonic() + self._settings.timeout
        content = bytearray()
        try:
            with self._http.stream("POST", "chat/completions", json=body) as response:
                for part in response.iter_bytes():
                    content += part
                    if time.monotonic() > until:
                        raise httpx2.ReadTimeout("the reply is not complete")
                    if len(content) > LARGEST_REPLY:
                        return Fault(f"a reply of more than {LARGEST_REPLY} bytes", "nonsense")
        except httpx2.TimeoutException:
            return Fault(f"no reply within {self._settings.timeout:g} s", "passing")
        except httpx2.RequestError as error:
            return Fault(self._clean(f"{type(error).__name__}: {error}"), "passing")
        if response.status_code == 200:
            return self._completion(bytes(content))
        return self._refusal(response, bytes(content))

    def _completion(self, content: bytes) -> Completion | Fault:
        try:
            completion = Completion.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            return Fault(
                self._clean(f"the reply is no chat completion ({where or 'JSON'}: {first['msg']})"), "nonsense"
            )
        if completion.usage is None and self._settings.budget is not None:
            self._spending.stop(
                ConfigError("labeler.budget: the endpoint does not count tokens (no `usage`); leave the budget out")
            )
        return completion

    def _refusal(self, response: httpx2.Response, content: bytes) -> Fault:
        status = response.status_code
        reason = self._clean(f"HTTP {status}: {content.decode(errors='replace')}")
        if status in (408, 409, 429) or status >= 500:
            return Fault(reason, "passing", retry_after(response.headers.get("retry-after"), time.time()))
        if status in (401, 402, 404, 405) or status < 400:
            return Fault(reason, "fatal")
        unfit = status == 413 or (status in (400, 422) and TOO_LONG.search(reason))
        return Fault(reason, "unfit" if unfit else "refused")

    def _fatal(self, fault: Fault) -> TruingError:
        return ConfigError(
            f"the endpoint {self._settings.url} will not serve {self._settings.model!r} with the key in "
            f"{self._settings.key_variable} ({fault.reason}); check labeler.url (up to and with /v1), labeler.model and "
            "the key; the answers so far are kept"
        )

    def _clean(self, text: str) -> str:
        """Text from outside in one line of 300 characters at most, without the key if the server echoes it."""
        if self._key:
            text = text.replace(self._key.get_secret_value(), "***")
        return " ".join(text.split())[:300]


def wait_before(retry: int, asked_for: float) -> float:
    """Seconds to wait before the n-th retry: exponential with jitter, and never less than what the server asks for.

    The jitter is from 50 to 100 % of the wait, and up to 25 % on top of one that the server names: those who were
    refused together do not come back together.
    """
    own = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** (retry - 1)) * random.uniform(0.5, 1)
    return max(own, asked_for * random.uniform(1, 1.25))


def retry_after(header: str | None, now: float) -> float:
    """Seconds that a Retry-After header asks for: a number or an HTTP date; 0 where it holds neither."""
    if header is None:
        return 0.0
    try:
        seconds = float(header)
    except ValueError:
        date = email.utils.parsedate_tz(header)
        seconds = email.utils.mktime_tz(date) - now if date else 0.0
    return 0.0 if math.isnan(seconds) else max(0.0, seconds)


def _checked_url(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL as error:
        raise ConfigError(f"labeler.url: {error}; give the base URL, such as https://api.openai.com/v1") from None
    if url.userinfo or url.query:
        raise ConfigError("labeler.url holds a password or a query; put the key into labeler.key_variable's variable")
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError(f"labeler.url {text!r} is not http(s)://host/...; give one such as https://api.openai.com/v1")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _key(variable: str, *, required: bool) -> SecretStr | None:
    key = os.environ.get(variable, "").strip()
    if not key and required:
        raise ConfigError(
            f"the environment variable {variable} holds no key for the endpoint; set it where the job is started "
            "(to any word, where the server asks for none), or name another one in labeler.key_variable"
        )
    # The HTTP library would quote an impossible header in its error.
    if not all("!" <= letter <= "~" for letter in key):
        raise ConfigError(f"the key in {variable} holds a space or a character beyond ASCII; set it again")
    return SecretStr(key) if key else None
