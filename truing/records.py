"""The nouns: facts that are written once. Ids are hashes of content, so that doing a thing twice adds nothing."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Row = dict[str, Any]
"""One row of a Parquet file."""


def content_id(*parts: object) -> str:
    """16 hex digits of the BLAKE2b hash of the JSON form of `parts`."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def derived_seed(*parts: object) -> int:
    """A seed below 2^31 from, e.g., (run seed, step, prompt id, sample): the same wherever and whenever it is asked."""
    return int(content_id("seed", *parts), 16) % 2**31


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a policy answers."""

    id: str
    text: str
    domain: str
    split: str


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer of one policy. `finished` is False where it was cut off at the longest allowed length."""

    id: str
    prompt_id: str
    text: str
    tokens: int
    finished: bool
    policy: str
    sample: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses to one prompt, in one order of presentation."""

    id: str
    prompt: str
    first: str
    second: str
    domain: str

    def swap(self) -> "Pair":
        """The same pair in the other order."""
        return Pair(self.id, self.prompt, self.second, self.first, self.domain)


def canonical_pair(prompt: str, first: str, second: str, domain: str) -> tuple[Pair, bool]:
    """The pair in the one order in which it is asked about and stored, and whether that is the other one.

    The order hangs on the texts alone: a pair and its swap are one question, asked once, and no source's habit of
    putting the better response first reaches the labeler. The id is that of both orders.
    """
    low, high = sorted((first, second))
    key = content_id(prompt, low, high)
    one, two = (low, high) if int(key, 16) % 2 == 0 else (high, low)
    return Pair(key, prompt, one, two, domain), first != one


@dataclass(frozen=True, slots=True)
class Unparsable:
    """A reply of the judge that holds no verdict. Never a score of 0, never a coin flip."""

    raw: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A row that could not be answered, with the reason.

    `cause`: "question", it cannot be answered as it is (too long, say); "answerer", who was asked refused it or answered
    with nonsense; "passing", the same question may fare better later: the next run asks it again.
    """

    reason: str
    cause: Literal["question", "answerer", "passing"] = "question"


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion of the policy being trained, as token ids with an explicit response part.

    `logprobs` holds the engine's log-probability of each response token, in nats, at the sampling temperature; `versions`
    the version of the weights that wrote it. One that is neither `finished` nor at its full length is still to be gone on with.
    `number`: which of its prompt's completions in its batch it is; its seed hangs on it.
    """

    prompt_id: str
    prompt: str
    prompt_tokens: list[int]
    tokens: list[int]
    logprobs: list[float]
    text: str
    finished: bool
    versions: list[int]
    number: int = 0


@dataclass(frozen=True, slots=True)
class NotAsked:
    """A question that the labeler stopped before: its budget is spent, say. It has not failed; the next run asks it."""

    reason: str


PREFERENCE_COLUMNS = (
    "id", "prompt", "chosen", "rejected", "p_chosen", "domain", "source", "weight", "strength", "labeler", "template",
    "chosen_first", "logp_first_ab", "logp_second_ab", "logp_first_ba", "logp_second_ba",
)  # fmt: skip
"""Columns of a preference set: the Hub's usual ones, the soft label, and where it came from.

`source` is "ai", "marked" or a named set of human labels; `weight` is 1 on average over a source; `strength` is how much
better people found the chosen response, where the source says so; `chosen_first` says whether the chosen response was
the first one of the `ab` order; the four log-probabilities are the raw ones of the label strings in both orders (absent
for marked pairs).
"""


def attempted(action: Callable[[], T], when: str) -> T | Failed:
    """What an action returns; whatever it raises becomes a value, for the rest is to go on."""
    try:
        return action()
    except Exception as error:
        return Failed(f"{when} ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]})")
