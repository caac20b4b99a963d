"""Who labels, and how it is asked (Lee et al., arXiv 2309.00267)."""

from typing import Annotated, Literal, cast

from pydantic import BeforeValidator, Field, model_validator

from truing.config.base import Section
from truing.config.roles import Engine, Model, Positive, Share


class EngineLabeler(Section):
    """vLLM engines inside the cluster. A labeler without `kind` is this one."""

    kind: Literal["engine"] = "engine"
    model: Model = Model(context=1024)
    """The judge. It may be another model than the policy."""
    engine: Engine = Engine()


class Price(Section):
    """What an endpoint charges, in any one currency."""

    input: Annotated[float, Field(ge=0)] = 0.0
    """A million prompt tokens."""
    output: Annotated[float, Field(ge=0)] = 0.0
    """A million decoded tokens."""


class EndpointLabeler(Section):
    """Any server of OpenAI's chat completions."""

    kind: Literal["endpoint"] = "endpoint"
    url: str = "http://127.0.0.1:8000/v1"
    """Base URL, up to and with `/v1`."""
    model: str
    """The model's name at the server."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; the key itself is never written anywhere."""
    read: Literal["logprobs", "samples"] = "logprobs"
    """`logprobs` reads the label's probability; `samples` counts decoded labels, where the server gives no log-probs."""
    samples: Positive = 8
    """Decoded labels of one question, with `read: samples`."""
    concurrency: Positive = 16
    """Requests under way at the same time, of one worker."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds one request may take."""
    retries: Annotated[int, Field(ge=0)] = 4
    """Times a transient failure (connection, 408, 409, 429, 5xx) is tried again, each after a longer, jittered wait."""
    breaker: Positive = 20
    """Failures in a row after which nothing more is sent and the job ends."""
    price: Price = Price()
    budget: Annotated[float, Field(gt=0)] | None = None
    """Most that one run may spend on this labeler in the currency of `price`: all its passes, trainers and servers
    together, and all calls of the command. The job then ends cleanly."""

    @model_validator(mode="after")
    def _counted(self) -> "EndpointLabeler":
        if self.budget is not None and not (self.price.input or self.price.output):
            raise ValueError("budget: nothing is spent while price is 0; give price.input and price.output")
        return self


class RecordedLabeler(Section):
    """Verdicts of a judge that somebody recorded, beside the pairs it judged; nothing is asked."""

    kind: Literal["recorded"] = "recorded"
    path: str
    """The file, as for human labels: it holds the same pairs."""
    verdict: str
    """Column of the verdict; `judges.GPT-4/Vanilla` is the key `GPT-4/Vanilla` of the objects in column `judges`.

    A list of two is the verdict in the file's order and with the responses swapped, both naming the response, not the
    place. A single value is a judge that was asked in one order only.
    """
    coding: dict[str, Literal["first", "second", "tie"]] = Field(
        default_factory=lambda: {"1": "first", "2": "second", "0": "tie", "tie": "tie"}
    )
    """What each value means."""


def _engine_by_default(given: object) -> object:
    """A labeler without a kind is an engine."""
    if not isinstance(given, dict) or "kind" in given:
        return cast("object", given)
    return {"kind": "engine", **cast("dict[str, object]", given)}


SingleLabeler = Annotated[
    Annotated[EngineLabeler | EndpointLabeler | RecordedLabeler, Field(discriminator="kind")],
    BeforeValidator(_engine_by_default),
]


class Ensemble(Section):
    """Several labelers asked about every pair; their probabilities are averaged. Each one's own labels are kept."""

    kind: Literal["ensemble"] = "ensemble"
    members: Annotated[tuple[SingleLabeler, ...], Field(min_length=2)]
    """Who is asked."""


class Cascade(Section):
    """A cheap labeler about every pair, a strong one about those the first is unsure of."""

    kind: Literal["cascade"] = "cascade"
    first: SingleLabeler
    """The cheap one."""
    second: SingleLabeler
    """The strong one."""
    unsure_below: Annotated[float, Field(gt=0.5, le=1)] = 0.75
    """A pair whose winner has less probability than this goes to the second labeler."""


Labeler = Annotated[
    Annotated[EngineLabeler | EndpointLabeler | RecordedLabeler | Ensemble | Cascade, Field(discriminator="kind")],
    BeforeValidator(_engine_by_default),
]


class Style(Section):
    """How a labeler is asked: preamble, exemplars, chain of thought."""

    preamble: Literal["base", "detailed"] = "base"
    """`detailed` says what to look at; `base` only what to decide."""
    exemplars: Annotated[int, Field(ge=0)] = 0
    """Worked examples shown first: the template's first k."""
    rationales: Annotated[int, Field(ge=0)] = 0
    """0 reads the label at once. n decodes n rationales, reads the label after each and averages (self-consistency)."""
    rationale_tokens: Positive = 128
    """Longest rationale."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Of the rationales. One rationale is best at 0; several need more to differ."""


class Calibration(Section):
    """A logistic map from the two orders' logits to P(people prefer the first), fitted on marked pairs."""

    share: Share = 0.5
    """Share of the marked pairs that it is fitted on; the others show what it is worth."""
    length: bool = False
    """Let the map use the difference in length too."""
    folds: Annotated[int, Field(ge=2)] = 5
    """Cross-validation that picks the strength of its L2 penalty."""
