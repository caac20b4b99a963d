"""Checks of an output that need no model: is it JSON, does it fit a schema, does it match, how long is it.

A check says why an output failed. JSON is RFC 8259's: no NaN or Infinity, no duplicate key, no byte order mark, nothing
behind the value.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from truing.evaluation.shares import Share, share_of
from truing.records import Failed

Unit = Literal["words", "characters", "tokens"]

REASON = 200
"""Longest reason, in characters."""
LONGEST_INTEGER = 4300
"""Digits of an integer that is read exactly; a longer one, valid all the same, is read as a float."""

_FENCE = re.compile(r"```[ \t]*(?:json)?[ \t]*\r?\n(.*?)```", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Check:
    """Whether an output passed, and why not: `reason` is empty where it did."""

    passed: bool
    reason: str = ""


PASSED = Check(passed=True)


@dataclass(frozen=True, slots=True)
class Json:
    """A text that is JSON, read."""

    value: Any


@dataclass(frozen=True, slots=True)
class JsonChecks:
    """`raw`: the whole text is JSON. `fenced`: the content of its first ``` or ```json block is.

    `schema`: the value of the text, else that of the block, fits the schema; None where none was asked for.
    """

    raw: Check
    fenced: Check
    schema: Check | None


@dataclass(frozen=True, slots=True)
class JsonShares:
    """Shares of outputs that are valid as they are, valid within a fence, and of the schema (None: none was asked)."""

    raw: Share
    fenced: Share
    schema: Share | None


@dataclass(frozen=True, slots=True)
class CheckShare:
    """Share of outputs that passed, and how often each reason was why not, the commonest first."""

    passed: Share
    reasons: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Words are what whitespace parts, so none is counted well where a language writes no spaces; characters are code
    points. `tokens` is None where no tokenizer was given."""

    words: int
    characters: int
    tokens: int | None


def strict_json(text: str) -> Json | Check:
    """The value of a JSON text, or the failed check that says what is wrong with it.

    Numbers beyond a float's range are infinite, as the grammar sets no range.
    """
    if not text.strip():
        return _failed("empty")
    try:
        return Json(
            json.loads(text, parse_constant=_no_constant, parse_int=_integer, object_pairs_hook=_without_duplicates)
        )
    except RecursionError:
        return _failed("nested too deeply to read")
    except ValueError as error:
        return _failed(str(error))


def json_checks(text: str, schema: Mapping[str, Any] | bool | None = None) -> JsonChecks:
    """Raw, fenced and schema validity of one output, each by itself.

    Raises ValueError where the schema is not one, or refers to what is not in it: nothing is fetched.
    """
    raw, fenced = strict_json(text), _fenced_json(text)
    read = raw if isinstance(raw, Json) else fenced
    if schema is None:
        fits = None
    elif isinstance(read, Json):
        fits = schema_check(read.value, schema)
    else:
        fits = _failed(f"no JSON to compare: {raw.reason if isinstance(raw, Check) else ''}")
    return JsonChecks(_checked(raw), _checked(fenced), fits)


def schema_check(value: Any, schema: Mapping[str, Any] | bool) -> Check:
    """Whether `value` fits a JSON Schema, by the draft that its "$schema" names, else 2020-12; "format" is not checked.

    Raises ValueError where the schema is not one, or refers to what is not in it: nothing is fetched.
    """
    from jsonschema import Draft202012Validator, SchemaError, exceptions, validators
    from jsonschema_specifications import REGISTRY  # pyright: ignore[reportMissingTypeStubs]
    from referencing.exceptions import Unresolvable

    kind: Any = validators.validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
        errors = kind(schema, registry=REGISTRY).iter_errors(value)
        error = cast("Any", exceptions.best_match(errors))  # pyright: ignore[reportUnknownMemberType]
    except SchemaError as fault:
        raise ValueError(f"the JSON schema is not one: {fault.message}; mend it before any output is judged.") from None
    except Unresolvable as fault:
        raise ValueError(f"the JSON schema refers to {fault.ref!r}, which is not in it: write it out there.") from None
    except RecursionError:
        return _failed("nested too deeply to compare with the schema")
    return PASSED if error is None else _failed(f"{error.json_path}: {error.message}")


def pattern_check(text: str, pattern: str, *, whole: bool = False) -> Check:
    """Whether a regular expression (Python's) matches somewhere in `text`, or with `whole` all of it.

    Raises ValueError where the pattern is not one.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as fault:
        raise ValueError(f"pattern {pattern!r} is no regular expression: {fault}.") from None
    found = compiled.fullmatch(text) if whole else compiled.search(text)
    return PASSED if found else _failed(f"no match of {pattern!r}")


def lengths(text: str, count_tokens: Callable[[str], int] | None = None) -> Lengths:
    """Length in words, characters and, by `count_tokens`, tokens."""
    return Lengths(len(text.split()), len(text), None if count_tokens is None else count_tokens(text))


def length_check(found: Lengths, unit: Unit, *, least: int = 0, most: int | None = None) -> Check:
    """Whether a length lies within `least` and `most`, both included.

    Raises ValueError for tokens that nobody counted, or a range that no length lies in.
    """
    if most is not None and most < least:
        raise ValueError(f"no length lies within {least} and {most} {unit}: give the smaller number as least.")
    length = {"words": found.words, "characters": found.characters, "tokens": found.tokens}[unit]
    if length is None:
        raise ValueError("a length in tokens needs a tokenizer: give count_tokens to lengths.")
    if length < least:
        return _failed(f"fewer than {least} {unit}")
    return _failed(f"more than {most} {unit}") if most is not None and length > most else PASSED


def check_share(checks: Sequence[Check | Failed]) -> CheckShare:
    """Share of outputs that passed. A row that was never answered is Failed, and counted beside it."""
    reasons = Counter(check.reason for check in checks if isinstance(check, Check) and not check.passed)
    return CheckShare(_share(checks), tuple(reasons.most_common()))


def json_shares(checks: Sequence[JsonChecks | Failed]) -> JsonShares:
    """The three validities over outputs. Raises ValueError where a schema was asked of some outputs and not of others."""
    asked = {check.schema is not None for check in checks if isinstance(check, JsonChecks)}
    if len(asked) > 1:
        raise ValueError("a schema was asked of some outputs and not of others: share out those apart.")
    read = [check for check in checks if isinstance(check, JsonChecks)]
    fits = [check.schema for check in read if check.schema is not None]
    failed = [check for check in checks if isinstance(check, Failed)]
    return JsonShares(
        raw=_share([*(check.raw for check in read), *failed]),
        fenced=_share([*(check.fenced for check in read), *failed]),
        schema=_share([*fits, *failed]) if fits else None,
    )


def _share(checks: Sequence[Check | Failed]) -> Share:
    return share_of([check.passed if isinstance(check, Check) else check for check in checks])


def _fenced_json(text: str) -> Json | Check:
    block = _FENCE.search(text)
    return _failed("no fenced block") if block is None else strict_json(block[1])


def _checked(read: Json | Check) -> Check:
    return PASSED if isinstance(read, Json) else read


def _failed(reason: str) -> Check:
    return Check(passed=False, reason=reason if len(reason) <= REASON else reason[: REASON - 1] + "…")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate key {key!r}")
        found[key] = value
    return found
