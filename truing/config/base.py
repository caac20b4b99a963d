"""What every configuration section is: frozen, and closed to keys it does not know; and which sections a key may hold."""

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a configuration. Unknown keys are errors, values never change after loading."""

    # A default is read as if it were given, so that a study that is stored with its defaults is the same to every stage's key.
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, validate_default=True
    )


def kind_of(section: type[Section]) -> str | None:
    """What `kind` says of this section, where it is one of a union."""
    kind = section.model_fields.get("kind")
    return None if kind is None else str(kind.default)


def held(annotation: Any) -> Iterator[tuple[tuple[str, ...], type[Section]]]:
    """The sections in a key's type, each with what stands between: `0` for a position of a list, `NAME` for a name."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield (), annotation
    elif origin in {Union, types.UnionType, Annotated}:
        for part in parts:
            yield from held(part)
    elif origin in {tuple, list}:
        yield from ((("0", *rest), section) for part in parts for rest, section in held(part))
    elif origin in {dict, Mapping}:
        yield from ((("NAME", *rest), section) for rest, section in held(parts[1]))
