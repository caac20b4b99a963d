"""The HTTP endpoint in front of a served labeler: requests are checked, answers are numbers, refusals say why."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict
from ray.serve.exceptions import BackPressureError

from actors.labeler import Labeler
from actors.spending import REST
from jobs.http_guard import Guard, SealedToken
from truing.config.serving import Serve
from truing.errors import ConfigError
from truing.labeling.asking import Asked, Asking, Judgement
from truing.labeling.calibration import LogisticMap, p_first
from truing.labeling.consensus import flips
from truing.records import Failed, NotAsked, Pair, Unparsable, content_id
from truing.redaction import redacted

Ask = Callable[[tuple[Any, Any]], Awaitable[Any]]
"""Hands a function and an item to a labeler, which calls it with all the items that came together; the item's own answer."""


class Body(BaseModel):
    """A request: no unknown fields."""

    model_config = ConfigDict(extra="forbid", str_min_length=1)


class Compare(Body):
    """Two responses to a prompt."""

    prompt: str
    first: str
    second: str
    domain: str = "default"


class Score(Body):
    """A response to a prompt."""

    prompt: str
    response: str


class Preference(BaseModel):
    """P(first preferred), both orders averaged or calibrated; the raw label log-probs in nats (null: ruled out) by order."""

    p_first: float
    calibrated: bool
    preferred: Literal["first", "second", "tie"]
    flips: bool
    logprobs_as_given: tuple[float | None, float | None]
    logprobs_swapped: tuple[float | None, float | None]


class Reward(BaseModel):
    """The expected score, mapped to [-1, 1]."""

    score: float


class Health(BaseModel):
    """The labeler answers."""

    status: Literal["ok"] = "ok"
    criteria: list[str]


@dataclass(frozen=True)
class Answering:
    """How the labeler is asked to compare and to score, and the calibration map of its comparisons, if there is one."""

    compared: Asking
    scored: Asking
    calibration: LogisticMap | None


def compare_some(labeler: Labeler, items: list[Asked]) -> list[Any]:
    """Pairs that arrived together."""
    return list(labeler.compare(items))


def score_some(labeler: Labeler, items: list[tuple[str, str, Asking]]) -> list[Any]:
    """Responses that arrived together."""
    return list(labeler.score([(prompt, response) for prompt, response, _ in items], items[0][2]))


def nothing(labeler: Labeler, items: list[float]) -> list[bool | NotAsked]:
    """A question that costs nothing: whether the labeler answers, or may be tried again after so many seconds of rest."""
    why = labeler.judge.halted(min(items))
    return [True if why is None else NotAsked(str(why)) for _ in items]


def _number(logprob: float) -> float | None:
    return logprob if logprob > float("-inf") else None


class Endpoint:
    """Checks requests, hands them to the labeler's replicas, and turns what comes back into answers or refusals."""

    def __init__(self, ask: Ask, settings: Serve, answering: Answering) -> None:
        self._labeler, self._settings, self._answering = ask, settings, answering

    async def compare(self, body: Compare) -> Preference:
        """Which response is better, asked in both orders."""
        self._check(body.prompt, body.first, body.second)
        pair = Pair(content_id(body.prompt, body.first, body.second), body.prompt, body.first, body.second, body.domain)
        asking, calibration = self._answering.compared, self._answering.calibration
        try:
            asking.template(body.domain)
        except ConfigError as error:
            raise HTTPException(422, str(error)) from None
        found: Judgement = await self._ask(compare_some, (pair, asking))
        p = p_first(found, asking, pair, calibration)
        return Preference(
            p_first=p,
            calibrated=calibration is not None,
            preferred="tie" if p == 0.5 else "first" if p > 0.5 else "second",
            flips=flips(found.ab, found.ba),
            logprobs_as_given=(_number(found.ab.first), _number(found.ab.second)),
            logprobs_swapped=(_number(found.ba.first), _number(found.ba.second)),
        )

    async def score(self, body: Score) -> Reward:
        """How good a response is."""
        self._check(body.prompt, body.response)
        return Reward(score=await self._ask(score_some, (body.prompt, body.response, self._answering.scored)))

    async def health(self) -> Health:
        """Whether the labeler answers at all: one replica is asked."""
        await self._ask(nothing, REST)
        return Health(criteria=[self._answering.compared.criterion])

    def _check(self, *texts: str) -> None:
        for text in texts:
            if len(text) > self._settings.largest_text:
                raise HTTPException(
                    422,
                    f"a text has {len(text)} characters; {self._settings.largest_text} are taken (serve.largest_text)",
                )
            if not text.strip():
                raise HTTPException(422, "a text is blank; give one with words")

    async def _ask(self, function: Any, item: Any) -> Any:
        try:
            found = await asyncio.wait_for(self._labeler((function, item)), self._settings.timeout)
        except BackPressureError:
            raise HTTPException(503, "too many requests are waiting; come back later", {"Retry-After": "1"}) from None
        except TimeoutError:
            raise HTTPException(504, f"no answer within {self._settings.timeout:g} s (serve.timeout)") from None
        if isinstance(found, Failed):
            raise HTTPException(422 if found.cause == "question" else 502, redacted(found.reason))
        if isinstance(found, Unparsable):
            raise HTTPException(502, f"the judge gave no verdict: {redacted(found.raw)[:200]}")
        if isinstance(found, NotAsked):
            raise HTTPException(503, redacted(found.reason))
        return found


def http_app(ask: Ask, settings: Serve, answering: Answering, token: SealedToken | None) -> FastAPI:
    """The endpoint's routes, behind its guard."""
    endpoint = Endpoint(ask, settings, answering)
    app = FastAPI(title="Truing labeler", docs_url=None, redoc_url=None, openapi_url=None)
    app.post("/compare")(endpoint.compare)
    app.post("/score")(endpoint.score)
    app.get("/health")(endpoint.health)
    app.add_middleware(Guard, settings=settings, token=token)
    return app
