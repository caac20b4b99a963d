"""Judge prompts: one Markdown file a template, versioned by the hash of its content, judged text fenced."""

import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from truing.errors import ConfigError
from truing.records import content_id

Question = Literal["better", "worse", "score"]
"""What a template asks: which response is better, which is worse (its label is inverted), or how good one is."""

SCORES = tuple(str(score) for score in range(1, 11))

_PART = re.compile(r"^# (system|user|answer)\n", re.MULTILINE)
_SLOT = re.compile(r"\{\{(prompt|first|second)\}\}")
_MARKER = re.compile(r"<\s*(/?\s*(?:request|response_[12])\s*)>", re.IGNORECASE)
_CONTROL = re.compile(
    r"<\|([^|<>]{1,40})\|>"  # ChatML, Llama 3, Phi
    r"|<｜([^｜<>]{1,40})｜>"  # DeepSeek
    r"|<((?:start|end)_of_turn|/?s|bos|eos)>"  # Gemma, Llama 2
    r"|<<(/?SYS)>>|\[(/?(?:INST|SYSTEM_PROMPT|TOOL_RESULTS))\]"  # Llama 2, Mistral
)


@dataclass(frozen=True, slots=True)
class Template:
    """A judge prompt. `hash` changes with any character of the file."""

    name: str
    hash: str
    labels: tuple[str, ...]
    asks_for: Question
    system: str
    user: str
    answer: str

    def fill(self, prompt: str, first: str, second: str = "") -> str:
        """The user turn with the judged texts inside their fences, in one pass: a text never fills another's slot."""
        texts = {"prompt": prompt, "first": first, "second": second}
        return _SLOT.sub(lambda slot: fenced(texts[slot.group(1)]), self.user)


def fenced(text: str) -> str:
    """The text with nothing in it that could end a fence or open a chat turn.

    Markers and the control tokens of the usual chat templates stand in parentheses: `(/response_1)`, `(im_end)`.
    """
    return _CONTROL.sub(lambda m: f"({m.group(m.lastindex or 0)})", _MARKER.sub(r"(\1)", text))


def load_template(name: str) -> Template:
    """A template by its name among the embedded ones, or by the path of a user's file.

    Raises:
        ConfigError: no such template, or a file that is not one.
    """
    path = Path(name)
    if path.suffix == ".md":
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{name}: the template cannot be read ({error}); give a UTF-8 Markdown file") from None
        return parse_template(path.stem, text)
    folder = resources.files("truing.labeling").joinpath("prompts")
    known = sorted(entry.name.removesuffix(".md") for entry in folder.iterdir() if entry.name.endswith(".md"))
    if name not in known:
        raise ConfigError(f"template {name!r}: there is none such; use {', '.join(known)} or a path ending in .md")
    return parse_template(name, folder.joinpath(f"{name}.md").read_text(encoding="utf-8"))


def parse_template(name: str, text: str) -> Template:
    """The text of a template file: a YAML header between `---` lines, then `# system`, `# user`, `# answer`."""
    _, mark, rest = text.partition("---\n")
    header, end, body = rest.partition("---\n")
    if not mark or not end:
        raise ConfigError(f"template {name}: begins with a header between two lines of ---; see the embedded ones")
    try:
        loaded: object = yaml.safe_load(header)
    except yaml.YAMLError as error:
        raise ConfigError(f"template {name}: its header is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise ConfigError(f"template {name}: its header needs `labels` and `asks_for`")
    fields = cast("dict[str, Any]", loaded)
    pieces = _PART.split(body)[1:]
    if len(set(pieces[::2])) < len(pieces) / 2:
        raise ConfigError(f"template {name}: has a part twice; a template has system, user and answer, once each")
    parts = dict(zip(pieces[::2], (piece.strip() for piece in pieces[1::2]), strict=True))
    missing = [part for part in ("system", "user", "answer") if not parts.get(part)]
    if missing:
        raise ConfigError(f"template {name}: has no part `# {missing[0]}`; a template has system, user and answer")
    asks_for = fields.get("asks_for")
    if asks_for not in get_args(Question):
        raise ConfigError(f"template {name}: asks_for is {asks_for!r}; write one of {', '.join(get_args(Question))}")
    slots = ("prompt", "first") if asks_for == "score" else ("prompt", "first", "second")
    found: list[str] = _SLOT.findall(parts["user"])
    for slot in slots:
        if slot not in found:
            raise ConfigError(f"template {name}: its user part has no {{{{{slot}}}}}; the judge would not see it")
    labels = _labels(name, fields.get("labels"), "score" if asks_for == "score" else "compare")
    return Template(
        name, content_id(text), labels, cast("Question", asks_for), parts["system"], parts["user"], parts["answer"]
    )


def _labels(name: str, given: object, task: Literal["compare", "score"]) -> tuple[str, ...]:
    """Two different labels to compare, "1" to "10" to score (the expected score is computed from those numbers)."""
    labels = tuple(str(label) for label in cast("list[object]", given)) if isinstance(given, list) else ()
    if task == "score" and labels != SCORES:
        raise ConfigError(f"template {name}: a template that asks for a score has the labels {list(SCORES)}")
    if task == "compare" and (len(labels) != 2 or labels[0] == labels[1]):
        raise ConfigError(f'template {name}: labels is {given!r}; write two different ones, e.g. ["1", "2"]')
    return labels


def template_for(templates: dict[str, str], domain: str) -> str:
    """The template's name for a domain; `*` serves the domains that are not named.

    Raises:
        ConfigError: neither the domain nor `*` is there.
    """
    name = templates.get(domain, templates.get("*"))
    if name is None:
        raise ConfigError(f"label.templates: has no template for domain {domain!r} and no '*'; add one of them")
    return name
