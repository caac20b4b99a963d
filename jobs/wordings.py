"""Candidate prompts of one task, written by models (PAFT, arXiv 2502.12859, §3.1): asked for, read, kept as a bank."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from actors.group import ActorGroup
from actors.labeler import Labeler
from actors.labelers import Online, open_labeler
from jobs.context import Context
from jobs.labelers import member, online, spent
from jobs.progress import Cell, console, headline, print_table
from jobs.store import write_json, write_text
from trainers.roles import labeler_needs
from truing.config.labeling import EndpointLabeler, SingleLabeler
from truing.config.supervised import PromptBank, Wordings
from truing.data.paft import Refused, few_shot_request, load_bank, parse_candidates, zero_shot_request
from truing.errors import ConfigError, TruingError
from truing.records import Failed, NotAsked, derived_seed

LEAST = 2
"""A bank has a prompt to train with and one to test with."""


@dataclass(frozen=True)
class Written:
    """What one model wrote: its replies as they came, the prompts in them that serve, and why the others do not."""

    model: str
    replies: list[str]
    failed: int
    prompts: list[str] = field(default_factory=list[str])
    refused: list[Refused] = field(default_factory=list[Refused])

    @property
    def row(self) -> tuple[Cell, ...]:
        """For the table."""
        ((reason, n),) = Counter(one.reason for one in self.refused).most_common(1) or (("", 0),)
        why = f"{reason} ({n})" if n else ""
        return self.model, len(self.replies) + self.failed, self.failed, len(self.prompts), len(self.refused), why


def write_wordings(context: Context, settings: Wordings) -> Path:
    """`wordings.yaml` of the run folder: a bank as `sft.prompts.path` takes it. What is there already is left as it is.

    Beside it stand the replies and what was refused of them (`wordings.json`): a bank is to be read before it is used.

    Raises:
        ConfigError: the examples have other fields.
        TruingError: fewer than two prompts can be used, or the folder cannot be written.
    """
    path = context.run.path / "wordings.yaml"
    headline("Wordings: candidate prompts")
    if path.exists():
        console.print(f"  {path} is there")
        return path
    requests = asked(settings, context.study.seed)
    labelers = [_writer(one) for one in settings.models]
    context.connect()
    written: list[Written] = []
    for labeler in labelers:
        replies = _replies(context, settings, labeler, requests)
        known = [prompt for before in written for prompt in before.prompts]
        written.append(read(member(labeler).name, replies, settings, known))
    write_json(path.with_suffix(".json"), written)
    rows = [one.row for one in written]
    prompts = [prompt for one in written for prompt in one.prompts]
    names = ("model", "requests", "failed", "prompts", "refused", "most of them because")
    print_table(
        "Candidate prompts", names, rows, f"{len(prompts)} prompts that serve: read {path} before you train with it"
    )
    if len(prompts) < LEAST:
        raise TruingError(
            f"wordings: {len(prompts)} of the candidates can be used ({path.with_suffix('.json')} has all replies);"
            " ask a stronger model, or more often (wordings.requests)"
        )
    write_text(path, yaml.safe_dump({"fields": [*settings.fields], "prompts": prompts}, allow_unicode=True, width=120))
    return path


def _writer(settings: SingleLabeler) -> Online:
    """One of whom nothing but texts is wanted."""
    found = online(settings, "wordings.models")
    return found.model_copy(update={"read": "samples"}) if isinstance(found, EndpointLabeler) else found


def asked(settings: Wordings, seed: int) -> list[str]:
    """The requests to each model: zero-shot, and every second one few-shot with examples of its own.

    Raises:
        ConfigError: the examples cannot be read, or have other fields.
    """
    examples: list[str] = []
    if settings.examples is not None:
        bank = load_bank(PromptBank(path=settings.examples))
        if set(bank.fields) != set(settings.fields):
            raise ConfigError(
                f"wordings.examples: {settings.examples} has the fields {', '.join(bank.fields)} and wordings.fields are"
                f" {', '.join(settings.fields)}; give examples of the same task"
            )
        examples = [*bank.train, *bank.test]
    found: list[str] = []
    for n in range(settings.requests):
        if n % 2 and examples:
            ranked = sorted(examples, key=lambda one: derived_seed(seed, "shots", n, one))
            found.append(few_shot_request(settings.task, settings.fields, settings.prompts, ranked[: settings.shots]))
        else:
            found.append(zero_shot_request(settings.task, settings.fields, settings.prompts))
    return found


def read(model: str, replies: list[str | Failed | NotAsked], settings: Wordings, known: list[str]) -> Written:
    """What can be used of a model's replies; `known` prompts are not taken twice."""
    texts = [reply for reply in replies if isinstance(reply, str)]
    written = Written(model, texts, len(replies) - len(texts))
    for text in texts:
        for one in parse_candidates(text, [*settings.fields], [*known, *written.prompts]):
            if isinstance(one, Refused):
                written.refused.append(one)
            else:
                written.prompts.append(one)
    return written


def _replies(
    context: Context, settings: Wordings, labeler: Online, requests: list[str]
) -> list[str | Failed | NotAsked]:
    make = partial(open_labeler, labeler, spent(context.run.path, member(labeler).id))
    group = ActorGroup.stateless("wordings", 1, make, labeler_needs(labeler, context.study.cluster)).ready()
    try:
        return group.first(Labeler.write, requests, settings.max_tokens, settings.temperature)
    finally:
        group.close()
