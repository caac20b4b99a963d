"""YAML with dotted overrides into a `Study`, or one line that says what is wrong and what to write instead."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, ValidationError

from truing.config.base import Section, held, kind_of
from truing.config.study import Study
from truing.errors import ConfigError
from truing.redaction import Secret, redacted, secret_in


def load_study(path: Path, overrides: list[str]) -> Study:
    """Read a configuration file, apply `key.path=value` overrides, validate.

    Raises:
        ConfigError: no such file, not YAML, an unknown key (the nearest known one is named), a wrong value, or a secret:
            a study is stored beside its results.
    """
    tree = _read(path)
    for override in overrides:
        _apply(tree, override)
    study = _validated(tree, str(path))
    for name in study.arms:
        arm_of(study, name)
    for where, text in _texts(study.model_dump(mode="json"), ()):
        found = secret_in(text)
        if found is not None:
            raise ConfigError(
                f"{path}: {'.'.join(where)}: holds {found.kind}, and a study is stored beside its results;"
                f" {_where_it_belongs(where, found)}"
            )
    return study


def arm_of(study: Study, name: str) -> Study:
    """The study with what one of its arms changes.

    Raises:
        ConfigError: an unknown key, or a wrong value; or it trains no policy.
    """
    # What is not given stays so: a default may depend on what the arm changes.
    tree = study.model_dump(mode="json", exclude_unset=True)
    for key, value in study.arms[name].items():
        _put(tree, key, value, f"arms.{name}: {key}")
    arm = _validated(tree, f"arms.{name}")
    if not (arm.policy or arm.rejection or arm.dpo):
        raise ConfigError(
            f"arms.{name}: trains no policy; give the study, or the arm, a policy, rejection or dpo section"
        )
    return arm


def shares_reward_model(study: Study, arm: Study) -> bool:
    """Whether an arm has the reward model that the study itself trains: it changes neither that nor the seed."""
    return study.reward_model is not None and (arm.reward_model, arm.seed) == (study.reward_model, study.seed)


def ways(study: Study) -> dict[str, Study]:
    """What is done of a study: with arms, what they share, by no name, and by its name what each arm trains; else the study.

    Raises:
        ConfigError: as `arm_of`.
    """
    if not study.arms:
        return {"": study}
    arms = {name: arm_of(study, name) for name in study.arms}
    sharing = {name for name, arm in arms.items() if shares_reward_model(study, arm)}
    common: dict[str, Any] = {"policy": None, "rejection": None, "dpo": None, "arms": {}}
    found = {"": study.model_copy(update=common if sharing else common | {"reward_model": None})}
    own: dict[str, Any] = {
        "wordings": None,
        "sft": None,
        "agreement": None,
        "sample": None,
        "evaluate": None,
        "arms": {},
    }
    for name, arm in arms.items():
        found[name] = arm.model_copy(update=own | {"reward_model": None} if name in sharing else own)
    return found


def _validated(tree: dict[str, Any], where: str) -> Study:
    try:
        return Study.model_validate(tree)
    except ValidationError as error:
        first, *others = error.errors()
        more = f" (and {len(others)} more)" if others else ""
        raise ConfigError(f"{where}: {redacted(_explain(cast('dict[str, Any]', first)))}{more}") from None


def _texts(node: object, where: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a dumped study with the keys that lead to it; the name of a key is a text too."""
    if isinstance(node, str):
        yield where, node
    elif isinstance(node, dict):
        for key, child in cast("dict[str, object]", node).items():
            yield where, key
            yield from _texts(child, (*where, key))
    elif isinstance(node, list):
        for i, child in enumerate(cast("list[object]", node)):
            yield from _texts(child, (*where, str(i)))


def _where_it_belongs(where: tuple[str, ...], found: Secret) -> str:
    """What to do with a secret, by where it stood."""
    if where and where[-1].endswith("_variable"):
        return "give the name of the environment variable, not what it holds"
    if where[:1] == ("serve",):
        return "put it into an environment variable and name that in serve.token_variable"
    if where[:1] == ("trackers",):
        return "leave it out and set WANDB_API_KEY, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if any(part in ("labeler", "members") for part in where):
        return f"leave it out and set {found.variable or 'OPENAI_API_KEY'}: labeler.key_variable names the variable"
    if found.variable is None:
        return "leave it out: storage reads AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the Hub HF_TOKEN"
    return f"leave it out and set the environment variable {found.variable} where the job is started"


def _read(path: Path) -> dict[str, Any]:
    try:
        tree: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; the recipes are in configs/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error}); give a YAML file") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: is not YAML: {redacted(' '.join(str(error).split()))}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: holds no keys; a study begins with `name: ...`")
    return cast("dict[str, Any]", tree)


def _apply(tree: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{redacted(repr(override))} is not an override; write key.path=value, e.g. policy.steps=20")
    try:
        value: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(
            f"override {key}: {redacted(repr(text))} is not a YAML value; put quotes around a text"
        ) from None
    if key.startswith("arms."):
        _change_arm(tree, key.removeprefix("arms."), value)
    else:
        _put(tree, key, value, f"override {key}")


def _change_arm(tree: dict[str, Any], key: str, value: object) -> None:
    """One more change of an arm, or all of them anew. An arm's name may hold dots, and its changes are dotted keys."""
    arms = cast("dict[str, Any]", tree["arms"] if isinstance(tree.get("arms"), dict) else {})
    there = [name for name in arms if f"{key}.".startswith(f"{name}.")]
    name = max(there, key=len, default=key.partition(".")[0])
    change = key.removeprefix(name).removeprefix(".")
    before = arms.get(name)
    changes = cast("dict[str, Any]", before) if isinstance(before, dict) else {}
    tree["arms"] = arms | {name: changes | {change: value} if change else value}


def _put(tree: dict[str, Any], key: str, value: object, said: str) -> None:
    """A value at a dotted key, `said` in what is refused; mappings on the way that are not there are made."""
    *parents, last = key.split(".")
    node: Any = tree
    for part in parents:
        node = _child(node, part, said)
    if isinstance(node, list):
        cast("list[Any]", node)[_position(cast("list[Any]", node), last, said)] = value
    else:
        node[last] = value


def _child(node: Any, part: str, said: str) -> Any:
    if isinstance(node, list):
        items = cast("list[Any]", node)
        child = items[_position(items, part, said)]
    else:
        fields = cast("dict[str, Any]", node)
        child = fields.get(part)
        if child is None:
            child = fields[part] = {}
    if not isinstance(child, (dict, list)):
        raise ConfigError(f"{said}: {part} is a plain value in the file; it has no keys below it")
    return cast("Any", child)


def _position(items: list[Any], part: str, said: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise ConfigError(f"{said}: {part} is not a position of that list; give 0 to {len(items) - 1}")
    return int(part)


def _explain(error: dict[str, Any]) -> str:
    """One pydantic error as `where: what; what to do`."""
    location = [str(part) for part in error["loc"]]
    where = ".".join(location) or "study"
    if error["type"] == "extra_forbidden":
        *parents, key = location
        known = sorted({name for section in _sections_at(parents) for name in section.model_fields})
        return f"{where}: there is no such key; {nearest(key, known)}"
    if error["type"] == "missing":
        return f"{where}: is required; add it"
    if error["type"] == "union_tag_not_found":
        kinds = sorted(tag for section in _sections_at(location) if (tag := kind_of(section)))
        return f"{where}: has no kind; add kind: {' or '.join(kinds)}"
    message = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    shown = "" if isinstance(given, (dict, list, BaseModel)) else f", got {given!r}"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def nearest(key: str, known: list[str]) -> str:
    """What somebody who wrote `key` may have meant, else all that could be meant."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _sections_at(location: list[str]) -> list[type[Section]]:
    """The section at a dotted location, or the members of the union there (list positions are passed over)."""
    sections: list[type[Section]] = [Study]
    for part in location:
        tagged = [s for s in sections if part == kind_of(s)]
        step = [s.model_fields[part].annotation for s in sections if part in s.model_fields]
        if tagged:
            sections = tagged
        elif step:
            sections = [section for annotation in step for _, section in held(annotation)]
    return sections
