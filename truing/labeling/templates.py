"""Judge prompts: one Markdown file a template, versioned by the hash of its content, judged text fenced.

A file is a YAML header between two lines of `---`, then parts that begin with a line `# part`:

    header      labels; asks_for: better | worse | score | yes; read: likelihood (default) | reply;
                criteria (name: phrase); exemplars (prompt, first, second, feedback, answer, rationale)
    # base      the preamble; may hold {{steps}}
    # detailed  a longer one, chosen by the style
    # user      the fences: <request>{{prompt}}</request> and so on, each text between its markers
    # question  what is asked; may hold {{criterion}}
    # explain   asked instead of the question where a rationale comes first
    # answer    how the assistant's turn begins, right before the label
    # steps     the request that makes a judge write the evaluation steps of G-Eval, once
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, cast, get_args

import yaml

from truing.errors import ConfigError
from truing.labeling.fences import MARKERS, SLOT, fenced, slots_inside
from truing.records import content_id

Asks = Literal["better", "worse", "score", "yes"]
"""Which response is better, which is worse (its label is inverted), how good one is, or a question of yes or no."""

Read = Literal["likelihood", "reply"]
"""The label's likelihood, or a decoded reply."""

SHOWN: Mapping[Asks, tuple[str, ...]] = {
    "better": ("prompt", "first", "second"),
    "worse": ("prompt", "first", "second"),
    "score": ("prompt", "first"),
    "yes": ("prompt", "first", "feedback", "second"),
}
"""The texts that a judge must be shown."""

PARTS = ("base", "detailed", "user", "question", "explain", "answer", "steps")
HEADER = ("labels", "asks_for", "read", "criteria", "exemplars")

_FILE = re.compile(r"\s*^---\n(.*?)^---\n(.*)", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"^# ([a-z]+)[ \t]*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A worked example. `texts` is what the judge is shown, by slot; `answer` one of the labels; `rationale` why."""

    prompt: str
    first: str
    second: str
    feedback: str
    answer: str
    rationale: str

    @property
    def texts(self) -> dict[str, str]:
        """Its texts by slot."""
        return {"prompt": self.prompt, "first": self.first, "second": self.second, "feedback": self.feedback}


@dataclass(frozen=True, slots=True)
class Template:
    """A judge prompt. `hash` changes with any character of the file; parts it does not have are ""."""

    name: str
    hash: str
    labels: tuple[str, ...]
    asks_for: Asks
    read: Read
    criteria: tuple[tuple[str, str], ...]
    exemplars: tuple[Exemplar, ...]
    base: str
    detailed: str
    user: str
    question: str
    explain: str
    answer: str
    steps: str

    def filled(self, part: str, texts: Mapping[str, str]) -> str:
        """A part with the texts inside their fences, in one pass: a text never fills another's slot.

        Raises:
            ConfigError: the part shows evaluation steps and there are none.
        """
        if "{{steps}}" in part and not texts.get("steps"):
            raise ConfigError(
                f"template {self.name}: shows evaluation steps and none are given; let the judge write them once "
                "with its part `# steps`"
            )
        return SLOT.sub(lambda slot: fenced(texts[slot.group(1)]), part)

    def about(self, part: str, criterion: str) -> str:
        """A part that asks for one criterion.

        Raises:
            ConfigError: the template does not have it.
        """
        criteria = dict(self.criteria) or {"overall": ""}
        if criterion not in criteria:
            raise ConfigError(
                f"template {self.name}: has no criterion {criterion!r}; use {', '.join(criteria)} or add it to `criteria`"
            )
        return part.replace("{{criterion}}", criteria[criterion])


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


def template_for(templates: dict[str, str], domain: str) -> str:
    """The template's name for a domain; `*` serves the domains that are not named.

    Raises:
        ConfigError: neither the domain nor `*` is there.
    """
    name = templates.get(domain, templates.get("*"))
    if name is None:
        raise ConfigError(f"label.templates: has no template for domain {domain!r} and no '*'; add one of them")
    return name


def parse_template(name: str, text: str) -> Template:
    """The template in the text of a file.

    Raises:
        ConfigError: what is wrong with it, in one line.
    """
    found = _FILE.match(text.removeprefix("\ufeff"))
    if not found:
        raise _refused(name, "begins with a header between two lines of ---; see the embedded ones")
    header, body = found.groups()
    fields = _fields(name, header)
    asks_for = _choice(name, "asks_for", _word(fields.get("asks_for")), get_args(Asks))
    read = _choice(name, "read", fields.get("read", "likelihood"), get_args(Read))
    labels = _labels(name, fields.get("labels"), asks_for)
    parts = _parts(name, body, read)
    if parts["explain"] and asks_for not in ("better", "worse"):
        raise _refused(name, "has a part `# explain`, which only serves templates that compare; take it out")
    if parts["steps"] and asks_for != "score":
        raise _refused(name, "has a part `# steps`, which only serves templates that score; take it out")
    criteria = _criteria(name, fields.get("criteria"))
    _check_slots(name, parts, asks_for, bool(criteria))
    exemplars = _exemplars(name, fields.get("exemplars"), asks_for, labels)
    if exemplars and read == "reply":
        raise _refused(name, "has exemplars, which show a label, but reads a reply; take them or `read: reply` out")
    return Template(
        name, content_id(text), labels, cast("Asks", asks_for), cast("Read", read), criteria, exemplars, **parts
    )


def _refused(name: str, reason: str) -> ConfigError:
    return ConfigError(f"template {name}: {reason}")


def _fields(name: str, header: str) -> dict[str, Any]:
    try:
        loaded: object = yaml.safe_load(header)
    except yaml.YAMLError as error:
        raise _refused(name, f"its header is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise _refused(name, "its header needs `labels` and `asks_for`")
    fields = cast("dict[str, Any]", loaded)
    for field in fields:
        if field not in HEADER:
            raise _refused(name, f"its header has a field {field!r}; the fields are {', '.join(HEADER)}")
    return fields


def _word(given: object) -> object:
    """YAML reads a bare Yes or No as true or false."""
    return ("no", "yes")[given] if isinstance(given, bool) else given


def _choice(name: str, field: str, given: object, choices: tuple[str, ...]) -> str:
    if given not in choices:
        raise _refused(name, f"{field} is {given!r}; write one of {', '.join(choices)}")
    return str(given)


def _labels(name: str, given: object, asks_for: str) -> tuple[str, ...]:
    """Two different labels to choose from; 1 to n to score (the expected score is computed from those numbers)."""
    labels = tuple(str(label) for label in cast("list[object]", given)) if isinstance(given, list) else ()
    if isinstance(given, list) and any(isinstance(label, bool) for label in cast("list[object]", given)):
        raise _refused(name, 'labels holds a bare Yes or No, which YAML reads as true or false; write ["Yes", "No"]')
    if asks_for == "score":
        if len(labels) < 2 or labels != tuple(str(score) for score in range(1, len(labels) + 1)):
            raise _refused(
                name, f"labels is {given!r}; to score, write the whole numbers from 1 up, e.g. [1, 2, 3, 4, 5]"
            )
    elif len(labels) != 2 or labels[0] == labels[1] or not all(label.strip() for label in labels):
        raise _refused(name, f'labels is {given!r}; write two different ones, e.g. ["1", "2"]')
    return labels


def _parts(name: str, body: str, read: str) -> dict[str, str]:
    before, *pieces = _PART.split(body)
    if before.strip():
        raise _refused(name, f"has text before its first part: {before.split()[0]!r}; begin with `# base`")
    for part in pieces[::2]:
        if part not in PARTS:
            raise _refused(name, f"has a part `# {part}`; the parts are {', '.join(PARTS)}")
        if pieces[::2].count(part) > 1:
            raise _refused(name, f"has a part twice: `# {part}`")
    parts = dict.fromkeys(PARTS, "") | dict(zip(pieces[::2], (piece.strip() for piece in pieces[1::2]), strict=True))
    needed = ("base", "user", "question", *(("answer",) if read == "likelihood" else ()))
    for part in needed:
        if not parts[part]:
            raise _refused(name, f"has no part `# {part}`; a template has {', '.join(needed)}")
    if read == "reply":
        for part in ("explain", "answer"):
            if parts[part]:
                raise _refused(name, f"has a part `# {part}` but reads the whole reply; take it out, or `read: reply`")
    return parts


def _criteria(name: str, given: object) -> tuple[tuple[str, str], ...]:
    if given is None:
        return ()
    criteria = cast("dict[object, object]", given) if isinstance(given, dict) else {}
    if not isinstance(criteria.get("overall"), str) or not all(isinstance(phrase, str) for phrase in criteria.values()):
        raise _refused(name, "criteria needs a phrase for each name, `overall` among them")
    return tuple((str(criterion), str(phrase)) for criterion, phrase in criteria.items())


def _check_slots(name: str, parts: Mapping[str, str], asks_for: str, criteria: bool) -> None:
    """Every text is shown, inside a fence; no slot stands where nothing fills it, and none that is given stays out."""
    shown = SHOWN[cast("Asks", asks_for)]
    slots: dict[str, list[str]] = {part: SLOT.findall(text) for part, text in parts.items()}
    for slot in shown:
        if slot not in slots["user"]:
            raise _refused(name, f"its user part has no {{{{{slot}}}}}; the judge would not see it")
    steps = ("steps",) if parts["steps"] else ()
    criterion = ("criterion",) if criteria else ()
    fills = {"base": steps, "detailed": steps, "user": shown + steps, "answer": ()}
    for part, found in slots.items():
        _check_fences(name, part, parts[part], found, fills.get(part, criterion))
    if criteria and not all("criterion" in slots[part] for part in ("question", "explain") if parts[part]):
        raise _refused(name, "has criteria, and a question or explain part without {{criterion}}; write it there")
    if parts["steps"] and not any("steps" in slots[part] for part in ("base", "user")):
        raise _refused(name, "has a part `# steps` that is shown nowhere; write {{steps}} in its user or base part")


def _check_fences(name: str, part: str, text: str, slots: list[str], fills: tuple[str, ...]) -> None:
    inside = slots_inside(text)
    for slot in slots:
        if slot not in fills:
            raise _refused(name, f"its {part} part has {{{{{slot}}}}}, which nothing fills there; take it out")
        if slot != "criterion" and slots.count(slot) != inside.count(slot):
            raise _refused(
                name,
                f"its {part} part has {{{{{slot}}}}} outside of markers; write it between <request> and </request>, "
                f"or {', '.join(MARKERS[1:])}",
            )


def _exemplars(name: str, given: object, asks_for: str, labels: tuple[str, ...]) -> tuple[Exemplar, ...]:
    needed = (*SHOWN[cast("Asks", asks_for)], "answer")
    if given is None:
        return ()
    if not isinstance(given, list):
        raise _refused(name, f"exemplars is no list; each has {', '.join(needed)} and maybe a rationale")
    exemplars: list[Exemplar] = []
    for i, one in enumerate(cast("list[object]", given), start=1):
        given_texts = cast("dict[object, object]", one) if isinstance(one, dict) else {}
        texts = {str(key): str(text) for key, text in given_texts.items() if text is not None}
        wrong = sorted(set(needed) - set(texts)) or sorted(set(texts) - {*needed, "rationale"})
        if wrong or texts["answer"] not in labels:
            what = f"{wrong[0]!r} is missing or unknown" if wrong else f"its answer is {texts['answer']!r}"
            raise _refused(
                name,
                f"exemplar {i}: {what}; it has {', '.join(needed)} (one of {', '.join(labels)}) and maybe a rationale",
            )
        known = dict.fromkeys(("prompt", "first", "second", "feedback", "answer", "rationale"), "") | texts
        exemplars.append(Exemplar(**{key: text.strip() for key, text in known.items()}))
    return tuple(exemplars)
