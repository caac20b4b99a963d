"""The reference of a study's keys: docs/configuration.md, which `make keys` writes, and what `truing keys` shows."""

import inspect
from dataclasses import dataclass

from truing.config import words
from truing.config.base import Section, held, kind_of
from truing.config.load import nearest
from truing.config.study import Study
from truing.errors import ConfigError

MOST_PATHS = 4
"""Places of a section that the page names."""

BEGINNING = """\
# Configuration: every key

<!-- `make keys` writes this page from the docstrings in truing/config/: change those. -->

A study is one YAML file, such as those in [configs/](../configs). What may stand in it is in the tables below; the first,
[Study](#study), is the top level of the file. `name` alone is required: a key that is left out has its default. A key that is
not known ends the command with one line that names the nearest one.

    name: mine
    model: {path: /models/mine}
    reward_model: {}                       # a section with nothing but defaults: the stage is done
    policy:
      algorithm: {kind: grpo, completions: 8}
      learner: {learning_rate: 2e-6, warmup_steps: 10}

- **Overrides.** Any key can be given on the command line as `key.path=value`, and goes before what the file says:
  `truing train mine.yaml policy.steps=40 policy.learner.lora="{rank: 8}"`. The value is YAML. A number in the path is a position,
  from 0, of a list that the file has: `policy.rewards.0.weight=2`.
- **`--dry-run`** prints the whole configuration, every default in its place, and the plan; it starts nothing.
- **`truing keys policy.learner`** shows the keys of a section on the terminal, with their defaults at that place; `truing keys`
  shows the top level.
- **Types.** Text, numbers, `true` and `false` are YAML's; a list is `[a, b]`, a mapping `{name: a}`. A section has the keys of its
  own table; where it is one of several, `kind` says which one. `null`, where a key takes it, is the same as *none*.
- **Defaults.** *Its own* are those of the section's table; where keys are shown, these differ from them.
- **Places.** In a path 0 is any position of a list, and NAME any name.
"""


@dataclass(frozen=True)
class Key:
    """A row of a table."""

    name: str
    takes: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Place:
    """A section that a path may mean."""

    section: type[Section]
    way: tuple[str, ...] = ()
    """What the path may still pass over: `0` for a position of a list, `NAME` for a name."""
    default: Section | None = None
    """What stands there where a study does not mention it."""


@dataclass(frozen=True)
class Table:
    """What may stand at a path."""

    title: str
    keys: tuple[Key, ...]


def places() -> dict[type[Section], list[str]]:
    """Every section in the order in which it is first met from `Study`, with the paths where it stands, short ones first."""
    found: dict[type[Section], list[str]] = {}
    _meet(Study, (), found)
    return {section: sorted(dict.fromkeys(paths), key=lambda path: path.count(".")) for section, paths in found.items()}


def _meet(section: type[Section], path: tuple[str, ...], found: dict[type[Section], list[str]]) -> None:
    found.setdefault(section, []).append(".".join(path))
    for name, field in section.model_fields.items():
        for between, below in held(field.annotation):
            _meet(below, (*path, name, *between), found)


def keys_of(place: Place, link: words.Link) -> tuple[Key, ...]:
    """The keys of a section in their order. `kind` is none of them: it names the section."""
    fields = place.section.model_fields
    return tuple(
        Key(name, words.takes(place.section, name, link), words.default(_default(place, name)), words.meaning(field))
        for name, field in fields.items()
        if name != "kind"
    )


def _default(place: Place, key: str) -> object:
    """Of a key at this place."""
    if place.default is not None:
        return getattr(place.default, key)
    return place.section.model_fields[key].get_default(call_default_factory=True)


# --- the page ------------------------------------------------------------------------------------


def page() -> str:
    """docs/configuration.md."""
    return "\n".join([BEGINNING, *(_part(section, paths) for section, paths in places().items())])


def _part(section: type[Section], paths: list[str]) -> str:
    lines = [f"## {section.__name__}", "", inspect.cleandoc(section.__doc__ or ""), "", _stands(section, paths), ""]
    keys = keys_of(Place(section), link=lambda text, name: f"[{text}](#{name.lower()})")
    if keys:
        lines += ["| key | takes | default | meaning |", "|---|---|---|---|"]
    lines += [row(f"`{key.name}`", key.takes, key.default, key.meaning) for key in keys]
    return "\n".join(lines).rstrip() + "\n"


def row(*cells: str) -> str:
    """A line of a table. A pipe would end its cell, so it is escaped."""
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


def _stands(section: type[Section], paths: list[str]) -> str:
    if section is Study:
        return "The file itself."
    more = len(paths) - MOST_PATHS
    where = ", ".join(f"`{path}`" for path in paths[:MOST_PATHS]) + (f" and {more} more" if more > 0 else "")
    kind = kind_of(section)
    return f"At {where}." if kind is None else f"`kind: {kind}`, at {where}."


# --- one section ---------------------------------------------------------------------------------


def tables(path: str) -> list[Table]:
    """What may stand at a dotted path: the keys of a section, those of each section of a union, or one key.

    Raises:
        ConfigError: there is no such key; the nearest one is named.
    """
    here, holders = [Place(Study)], list[Place]()
    parts = path.split(".") if path else []
    for i, part in enumerate(parts):
        if not here:
            raise ConfigError(f"keys {path}: {parts[i - 1]} is a plain value; it has no keys below it")
        holders = [place for place in here if part in place.section.model_fields]
        below = _below(here, part)
        if not below and not holders:
            raise ConfigError(f"keys {'.'.join(parts[: i + 1])}: there is no such key; {nearest(part, _known(here))}")
        here = below
    if not here:
        return [Table(_title(path, one), tuple(key for key in _keys(one) if key.name == parts[-1])) for one in holders]
    return [Table(f"{_title(path, one)}: {words.about(one.section)}", _keys(one)) for one in here]


def _below(here: list[Place], part: str) -> list[Place]:
    """One step on: a kind, else a key, else a position or a name on the way."""
    kinds = [(kind_of(place.section), place) for place in here]
    chosen = [place for kind, place in kinds if kind and (part == "kind" or (part == kind and len(kinds) > 1))]
    return chosen or _stepped(here, part) or _passed(here, part)


def _stepped(here: list[Place], key: str) -> list[Place]:
    """Every section that a key may hold, once."""
    found: dict[type[Section], Place] = {}
    for place in here:
        if key in place.section.model_fields:
            value = _default(place, key)
            for way, section in held(place.section.model_fields[key].annotation):
                found.setdefault(section, Place(section, way, value if isinstance(value, section) else None))
    return list(found.values())


def _passed(here: list[Place], part: str) -> list[Place]:
    onward = [place for place in here if place.way and (place.way[0] == "NAME" or part.isdecimal())]
    return [Place(place.section, place.way[1:], place.default) for place in onward]


def _known(here: list[Place]) -> list[str]:
    """What may come next: keys, and the kinds of several sections."""
    kinds = {kind for place in here if (kind := kind_of(place.section)) and len(here) > 1}
    return sorted({name for place in here for name in place.section.model_fields} | kinds)


def _keys(place: Place) -> tuple[Key, ...]:
    return keys_of(place, link=lambda text, _: text)


def _title(path: str, place: Place) -> str:
    kind = kind_of(place.section)
    return f"{path or 'study'} ({f'kind: {kind}' if kind else place.section.__name__})"


if __name__ == "__main__":
    print(page(), end="")
