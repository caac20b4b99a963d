"""Verdicts in decoded replies, each in its own convention. What cannot be read is `Unparsable`, never a number."""

import ast
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import Literal, cast

from truing.algorithms.scores import bracketed_numbers
from truing.labeling.consensus import OrderedLogprobs, p_yes
from truing.records import Unparsable

Verdict = Literal["first", "second", "tie"]

_DRESSING = " \t\r\n*_`\"'"
_VERDICT = re.compile(r"\[\[([ABC])\]\]")
_JSON_FENCE = re.compile(r"```json(.*?)```", re.DOTALL)


def ordered(verdict: Verdict) -> OrderedLogprobs:
    """A hard verdict as label log-probabilities: certain, or even."""
    if verdict == "tie":
        return OrderedLogprobs(math.log(0.5), math.log(0.5))
    return OrderedLogprobs(0.0, -math.inf) if verdict == "first" else OrderedLogprobs(-math.inf, 0.0)


# --- labels ----------------------------------------------------------------------------------------------------------


def label_reply(reply: str, labels: Sequence[str], answer: str = "") -> str | Unparsable:
    """The label that a reply begins with, as a whole word: "10." is a 10, "1.5" is no 1, and "1st" is none either.

    White space, quotes and emphasis before it are not read, nor is `answer`, the words before it that a judge may repeat.
    """
    text = reply.lstrip(_DRESSING).removeprefix(answer.strip()).lstrip(_DRESSING)
    for label in sorted(labels, key=len, reverse=True):
        if re.match(rf"{re.escape(label)}(?!\w|[.,]\d)", text):
            return label
    return Unparsable(reply)


# --- MT-bench and Vicuna -------------------------------------------------------------------------------------------


def rating(reply: str, top: int = 10) -> float | Unparsable:
    """The rating in `[[7]]`, else in `[7]`, in [1, top] (Zheng et al., MT-bench, arXiv 2306.05685).

    FastChat takes the first of several and answers -1 to none (`truing.evaluation.pairwise.rating` does as it does, for
    published replies); a reply with two different ones has no verdict here.
    """
    found = set(bracketed_numbers(reply))
    score = found.pop() if len(found) == 1 else None
    return score if score is not None and 1 <= score <= top else Unparsable(reply)


def pairwise_verdict(reply: str) -> Verdict | Unparsable:
    """`[[A]]` is the first response shown, `[[B]]` the second, `[[C]]` a tie; two different ones are no verdict."""
    found = set(_VERDICT.findall(reply))
    if len(found) != 1:
        return Unparsable(reply)
    named: dict[str, Verdict] = {"A": "first", "B": "second", "C": "tie"}
    return named[found.pop()]


# --- AlpacaEval ------------------------------------------------------------------------------------------------------


def preference_from_logprobs(logprobs: Mapping[str, float], first: str = "m", second: str = "M") -> float | Unparsable:
    """AlpacaEval 2's preference 2 - P(m) / (P(m) + P(M)) in [1, 2]: 1 where the first response shown wins.

    `logprobs` holds the top tokens of the judge's first position; a token that is not among them has probability 0.
    """
    one, two = logprobs.get(first, -math.inf), logprobs.get(second, -math.inf)
    if one == two == -math.inf:
        return Unparsable(json.dumps(dict(logprobs)))
    return 2 - p_yes(one, two)


def is_switched(instruction: str) -> bool:
    """Whether AlpacaEval shows the two outputs in the other order: drawn from the instruction alone."""
    return random.Random(f"is_switched_outputs{instruction}0").choices([False, True], k=1)[0]


def unswitched(preference: float) -> float:
    """A preference in [1, 2] about switched outputs, as one about the outputs as they were."""
    return 3 - preference


def ranking(reply: str) -> int | Unparsable:
    """The rank, 1 or 2, of `model_1` in a reply that is a Python list of `{"model": ..., "rank": ...}`, and no more.

    As in AlpacaEval, the rank of `model_2` is not looked at.
    """
    try:
        entries: object = ast.literal_eval(reply.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return Unparsable(reply)
    if not isinstance(entries, list):
        return Unparsable(reply)
    for entry in cast("list[object]", entries):
        if isinstance(entry, dict) and cast("dict[object, object]", entry).get("model") == "model_1":
            rank = cast("dict[object, object]", entry).get("rank")
            return rank if isinstance(rank, int) and rank is not True and rank in (1, 2) else Unparsable(reply)
    return Unparsable(reply)


# --- feedback --------------------------------------------------------------------------------------------------------


def incorporated_reply(reply: str) -> tuple[bool, ...] | Unparsable:
    """`is_incorporated` of the JSON object in a reply, or of each object of its list: AlpacaEval's JSON parser.

    The first ```json fence counts if there is one, else the whole reply. A value is true, false, or "yes", "no", "true",
    "false" in any case. An object that says it twice, an empty list and every other value have no verdict.
    """
    fence = _JSON_FENCE.search(reply)
    try:
        loaded: object = json.loads(fence.group(1) if fence else reply, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return Unparsable(reply)
    entries = cast("list[object]", loaded) if isinstance(loaded, list) else [loaded]
    objects = [cast("dict[str, object]", entry) for entry in entries if isinstance(entry, dict)]
    values = [_boolean(one.get("is_incorporated")) for one in objects]
    found = tuple(value for value in values if value is not None)
    return found if found and len(found) == len(entries) else Unparsable(reply)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def _boolean(value: object) -> bool | None:
    if isinstance(value, str):
        return {"yes": True, "true": True, "no": False, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None
