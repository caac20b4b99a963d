"""A key's type and limits, its default and its meaning in plain words."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from truing.config.base import Section, held
from truing.config.study import Study

Link = Callable[[str, str], str]
"""Shows a text that stands for a section of this name."""

LIMITS = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}


def takes(section: type[Section], key: str, link: Link) -> str:
    """What a key of a section takes."""
    return _takes(_schemas()[section.__name__]["properties"][key], link)


def default(value: object) -> str:
    """As a file would have it. Of a section its kind and what differs from its own defaults, else `its own`."""
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    written = _yaml(_given(value))
    if not isinstance(value, Section):
        return f"`{written}`"
    return "its own" if written == "{}" else f"`{written[1:-1]}`"


def meaning(field: FieldInfo) -> str:
    """The key's docstring; without one, what the section is that it holds. Empty where there is neither."""
    if field.description:
        return " ".join(field.description.split())
    sections = [section for _, section in held(field.annotation)]
    return about(sections[0]) if len(sections) == 1 else ""


def about(section: type[Section]) -> str:
    """The first sentence of a section's docstring."""
    return re.split(r"(?<=\.) ", " ".join((section.__doc__ or "").split()), maxsplit=1)[0]


# --- types ---------------------------------------------------------------------------------------


@cache
def _schemas() -> dict[str, dict[str, Any]]:
    """JSON Schema of every section by its name: it has all types and limits in one form."""
    whole = Study.model_json_schema(ref_template="{model}")
    return {"Study": whole, **whole["$defs"]}


def _takes(schema: dict[str, Any], link: Link) -> str:
    if "$ref" in schema:
        return f"section {link(schema['$ref'], schema['$ref'])}"
    if "discriminator" in schema:
        kinds = {section: kind for kind, section in schema["discriminator"]["mapping"].items()}
        members = [member["$ref"] for member in schema["oneOf"]]
        return f"section of `kind` {_any_of([link(kinds[member], member) for member in members])}"
    if "anyOf" in schema:
        return _either(schema["anyOf"], link)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return f"one of {', '.join(f'`{value}`' for value in schema['enum'])}"
    return _of_type(schema, link)


def _of_type(schema: dict[str, Any], link: Link) -> str:
    match schema["type"]:
        case "boolean":
            return "true or false"
        case "integer":
            return _number("whole number", _whole(schema))
        case "number":
            return _number("number", schema)
        case "array":
            return _list(schema, link)
        case "object":
            return _mapping(schema, link)
        case "null":
            return "`null`"
        case _:
            return _text(schema)


def _either(schemas: list[dict[str, Any]], link: Link) -> str:
    """Alternatives, `null` last. A number may be whole, so that goes without saying."""
    numbers = any(schema.get("type") == "number" for schema in schemas)
    said = [schema for schema in schemas if not (numbers and schema.get("type") == "integer")]
    said.sort(key=lambda schema: schema.get("type") == "null")
    return _any_of([_takes(schema, link) for schema in said])


def _any_of(words: Sequence[str]) -> str:
    """`a, b or c`; `a, b, or c` where one of them has a comma or an `or` of its own."""
    *first, last = words
    comma = "," if any(", " in word or " or " in word for word in words) else ""
    return f"{', '.join(first)}{comma} or {last}" if first else last


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """A whole number above n is one of at least n + 1."""
    others = {name: limit for name, limit in schema.items() if name != "exclusiveMinimum"}
    return {**others, "minimum": schema["exclusiveMinimum"] + 1} if "exclusiveMinimum" in schema else schema


def _number(noun: str, schema: dict[str, Any]) -> str:
    limits = {name: schema[name] for name in LIMITS if name in schema}
    if limits.keys() == {"minimum", "maximum"}:
        return f"{noun} from {limits['minimum']:g} to {limits['maximum']:g}"
    words = " and ".join(f"{LIMITS[name]} {limit:g}" for name, limit in limits.items())
    return f"{noun}{', ' if words.startswith('at ') else ' '}{words}".rstrip()


def _text(schema: dict[str, Any]) -> str:
    if "pattern" in schema:
        return f"text that matches `{schema['pattern']}`"
    if "maxLength" in schema:
        return f"text of {schema.get('minLength', 0)} to {schema['maxLength']} characters"
    return "text, not empty" if schema.get("minLength") else "text"


def _list(schema: dict[str, Any], link: Link) -> str:
    items = schema["prefixItems"] if "prefixItems" in schema else [schema["items"]]
    entries = " and ".join(dict.fromkeys(_several(_takes(item, link)) for item in items))
    return f"list{_length(schema.get('minItems'), schema.get('maxItems'))} of {entries}"


def _mapping(schema: dict[str, Any], link: Link) -> str:
    names = _takes(schema["propertyNames"], link) if "propertyNames" in schema else "names"
    length = _length(schema.get("minProperties"), schema.get("maxProperties"))
    values = schema.get("additionalProperties", True)
    # True is anything.
    return f"mapping{length} from {names} to {'values' if values is True else _several(_takes(values, link))}"


def _length(least: int | None, most: int | None) -> str:
    if least and least == most:
        return f" (exactly {least})"
    return f" (at least {least})" if least else f" (at most {most})" if most else ""


def _several(words: str) -> str:
    return re.sub(r"^(text|number|whole number|list|mapping|section)\b", r"\1s", words)


# --- defaults ------------------------------------------------------------------------------------


def _given(value: object) -> object:
    """A default without what a section would have by itself."""
    if isinstance(value, Section):
        fields = type(value).model_fields
        given = {name: cast("object", getattr(value, name)) for name in fields}
        own = {name: cast("object", field.get_default(call_default_factory=True)) for name, field in fields.items()}
        return {name: _given(one) for name, one in given.items() if name == "kind" or one != own[name]}
    if isinstance(value, Mapping):
        return {name: _given(one) for name, one in cast("Mapping[str, object]", value).items()}
    if isinstance(value, tuple | list):
        return [_given(one) for one in cast("Sequence[object]", value)]
    return value


def _yaml(value: object) -> str:
    """In flow style, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10**6)
    plain = text.removesuffix("...\n").rstrip()  # the end of a document that is a single value
    return re.sub(r"(\d)\.0e", r"\1e", plain)  # 2e-05 rather than 2.0e-05
