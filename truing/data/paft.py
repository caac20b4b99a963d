"""Prompt-agnostic fine-tuning (PAFT: Wei et al., arXiv 2502.12859): many wordings of one task, changed as training goes.

    bank = load_bank(settings)
    numbers = bank.draws(seed, epoch=0, count=len(demonstrations), k=settings.every)
    prompted(demonstration, bank.train, numbers[0])

Stage 1 (§3.1): several models are asked for candidate prompts, zero-shot and few-shot; what is here writes the requests
and reads the replies. Stage 2 (§3.2, algorithm 1): each K examples a new prompt of the training bank.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from truing.config.supervised import PromptBank
from truing.data.demonstrations import Demonstration
from truing.data.wordings import fields_of, fill, read_yaml
from truing.errors import ConfigError
from truing.records import content_id, derived_seed

REPLY = re.compile(r"<prompt>(.*?)(</prompt>|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Bank:
    """Candidate prompts of one task. `fields`: what each of them holds, once. No prompt of `test` is ever trained on."""

    fields: tuple[str, ...]
    train: tuple[str, ...]
    test: tuple[str, ...]

    def draws(self, seed: int, epoch: int, count: int, k: int) -> list[int]:
        """The number in `train` of the prompt for each of the first `count` examples of an epoch."""
        return [drawn(seed, epoch, position, k, len(self.train)) for position in range(count)]


@dataclass(frozen=True, slots=True)
class Refused:
    """A candidate prompt that cannot be used, with the reason."""

    text: str
    reason: str


def drawn(seed: int, epoch: int, position: int, k: int, prompts: int) -> int:
    """Algorithm 1: the number of the prompt that the example at `position` (from 0) of `epoch` is asked with.

    Each epoch begins with a draw, and each K examples there is another: positions mK to mK + K - 1 share a prompt. The
    draw depends on (seed, epoch, m) alone, so the position in the stream is all the state there is.
    """
    return derived_seed(seed, "paft", epoch, position // k) % prompts


def split_prompts(prompts: Sequence[str], test_one_in: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(training, test): of n prompts the ⌊n / test_one_in⌋ (at least 1) whose hashes are lowest are for the test (§4.1, 8:1).

    Both come in the order of the hashes: neither the split nor a prompt's number depends on the order of the file.
    """
    ranked = sorted(prompts, key=lambda prompt: content_id("paft", prompt))
    test = max(1, len(ranked) // test_one_in)
    return tuple(ranked[test:]), tuple(ranked[:test])


def load_bank(settings: PromptBank) -> Bank:
    """The bank in a YAML file: `fields`, what each prompt holds, and `prompts`.

    Raises:
        ConfigError: the file cannot be read, has fewer than two prompts, or one that is refused; names it and why.
    """
    path, tree = settings.path, read_yaml(settings.path, "`fields` and `prompts`")
    fields, prompts = _texts(tree, "fields", path), _texts(tree, "prompts", path)
    for n, prompt in enumerate(prompts, 1):
        reason = fault(prompt, fields) or ("it is there twice" if prompts.count(prompt) > 1 else "")
        if reason:
            raise ConfigError(f"{path}: prompt {n} ({prompt[:40]!r}…) cannot be used: {reason}; mend or remove it")
    if len(prompts) < 2:
        raise ConfigError(f"{path}: has {len(prompts)} prompts; give at least two, one of which is kept for the test")
    train, test = split_prompts(prompts, settings.test_one_in)
    return Bank(tuple(fields), train[: settings.limit], test)


def prompted(one: Demonstration, prompts: Sequence[str], number: int) -> Demonstration:
    """The example as prompt `number` asks it; the id stays that of the example, and so do answer and choices.

    Raises:
        ConfigError: a field of the prompt is no column of the example.
    """
    prompt = prompts[number]
    return replace(one, prompt=fill(prompt, one.fields, f"task {one.task!r}, prompt {prompt[:40]!r}…"), template=number)


# --- candidate prompts (§3.1) --------------------------------------------------------------------


def zero_shot_request(task: str, fields: Mapping[str, str], count: int) -> str:
    """What a model is asked: `count` prompts for a task, from its description alone.

    `task`: what is to be done, in a sentence. `fields`: name -> what stands there, such as {"goal": "what is wanted"}.
    """
    return _request(task, fields, count, "")


def few_shot_request(task: str, fields: Mapping[str, str], count: int, examples: Sequence[str]) -> str:
    """The same with prompts that people wrote, as examples of what is wanted."""
    shown = "\n".join(f"<prompt>{example}</prompt>" for example in examples)
    return _request(
        task,
        fields,
        count,
        f"Here are prompts that serve. Write others, unlike these and unlike each other.\n{shown}\n\n",
    )


def parse_candidates(reply: str, fields: Sequence[str], known: Sequence[str] = ()) -> list[str | Refused]:
    """The candidate prompts in a model's reply, each as its text or as `Refused`, in their order.

    One that differs from an earlier one, or from one of `known`, in nothing but case and spaces is a duplicate.
    """
    seen = {_plain(prompt) for prompt in known}
    found: list[str | Refused] = []
    for match in REPLY.finditer(reply):
        text = match[1].strip()
        reason = fault(text, fields) if match[2] else "the reply ends before </prompt>"
        reason = reason or ("a duplicate" if _plain(text) in seen else "")
        found.append(Refused(text, reason) if reason else text)
        if not reason:
            seen.add(_plain(text))
    return found or [Refused(reply, "the reply holds no <prompt>…</prompt>")]


def fault(prompt: str, fields: Sequence[str]) -> str:
    """Why a prompt cannot be used, empty where it can: each field is there exactly once, and no other."""
    counts = Counter(fields_of(prompt))
    for name in fields:
        if counts[name] != 1:
            return f"it has {{{name}}} {counts[name]} times, not once"
    unknown = [name for name in counts if name not in fields]
    return f"it has {{{unknown[0]}}}, which is no field of the task" if unknown else ""


def _request(task: str, fields: Mapping[str, str], count: int, examples: str) -> str:
    listed = "\n".join(f"- {{{name}}}: {meaning}" for name, meaning in fields.items())
    return (
        f"Write {count} prompts with which a language model can be asked to do this task.\n\n"
        f"Task: {task}\n\n"
        f"A prompt is a text with gaps. Each of these gaps stands in it exactly once, in its braces:\n{listed}\n\n"
        f"{examples}"
        "Vary the wording, the length, the tone and the layout: a question, an instruction, a list, a short story around"
        " the task. Do not solve the task, and use no other braces.\n"
        "Write each prompt between <prompt> and </prompt>, and nothing else."
    )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _texts(tree: Mapping[str, Any], key: str, path: str) -> list[str]:
    listed = tree.get(key)
    items = cast("list[object]", listed) if isinstance(listed, list) else []
    if not items or not all(isinstance(item, str) and item.strip() for item in items):
        raise ConfigError(
            f"{path}: {key!r} is no list of texts; give one (between quotes what YAML reads as true or a number)"
        )
    return [str(item) for item in items]
