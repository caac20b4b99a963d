"""Wordings of a task: templates with {column} fields, what fills them, and the files that hold them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import yaml

from truing.errors import ConfigError

FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w.-]*)\}")
"""A field of a template; a doubled brace stands for one brace."""


def fields_of(template: str) -> list[str]:
    """The fields of a template in their order, each as often as it occurs."""
    return [match[1] for match in FIELD.finditer(template) if match[1]]


def fill(template: str, fields: Mapping[str, Any], where: str) -> str:
    """The template with its fields filled in, once: what a value holds is not looked at again.

    Raises:
        ConfigError: a field that there is no value for, or whose value is a list or an object.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        return text_of(at(fields, name, where), where, name) if name else match[0][0]

    return FIELD.sub(value, template).strip()


def at(fields: Mapping[str, Any], name: str, where: str) -> object:
    """The value of a column, or inside one: `answers.text.0`.

    Raises:
        ConfigError: there is none; says which columns there are.
    """
    if name in fields:
        return fields[name]
    value: object = fields
    for part in name.split("."):
        if isinstance(value, Mapping) and part in value:
            value = cast("Mapping[str, object]", value)[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(cast("list[object]", value)):
            value = cast("list[object]", value)[int(part)]
        else:
            raise ConfigError(
                f"{where}: has no {name!r} (it has {', '.join(fields)}); name a column that is there (prompt, answer,"
                " choices, label), or write a template with {column} fields, or remove the row"
            )
    return value


def text_of(value: object, where: str, name: str) -> str:
    """Text as it is, a number or a truth value as JSON writes it, nothing for null, sentences of a list one after another.

    Raises ConfigError for the rest.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in cast("list[object]", value)):
        return " ".join(cast("list[str]", value))
    if value is None or isinstance(value, bool | int | float):
        return "" if value is None else json.dumps(value)
    raise ConfigError(f"{where}: {name!r} holds neither text nor a number; name an item of it, as {{{name}.0}}")


def options(choices: Sequence[str]) -> str:
    """FLAN's options suffix (arXiv 2109.01652, §2.3)."""
    return "\n- ".join(["OPTIONS:", *choices])


def read_yaml(path: str, what: str) -> dict[str, Any]:
    """The mapping in a YAML file of prompts. Raises ConfigError: no such file, not YAML, or no mapping."""
    try:
        tree: object = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a YAML file of {what}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no keys; give a YAML file of {what}")
    return {str(key): value for key, value in cast("dict[object, Any]", tree).items()}
