"""Instruction tuning on a mixture of tasks (FLAN: Wei et al., arXiv 2109.01652). The sections named are the paper's.

    mixed = load_mixture(settings, seed)
    mixed.training, mixed.validation, mixed.held_out["entailment"]

Loaded once, a task's examples are asked in one of its wordings, each time that they are drawn.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic import ValidationError

from truing.config.supervised import TEMPLATES, Examples, FewShot, Mixture, Template
from truing.data.demonstrations import Demonstration, ExamplesReport, load_demonstrations, split_held_out
from truing.data.wordings import fields_of, fill, read_yaml
from truing.errors import ConfigError
from truing.records import content_id, derived_seed


@dataclass(frozen=True, slots=True)
class Task:
    """One task of a mixture: its examples, as loaded, and the wordings that they are asked in."""

    examples: Sequence[Demonstration]
    templates: tuple[Template, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Mixed:
    """What a mixture gives: demonstrations to train on, others of the same tasks, and those of each held-out cluster.

    `reports`: what became of each source.
    """

    training: list[Demonstration]
    validation: list[Demonstration]
    held_out: dict[str, list[Demonstration]]
    reports: list[ExamplesReport]


def load_mixture(settings: Mixture, seed: int) -> Mixed:
    """One pass of a mixture, and what it is evaluated on: zero-shot, one wording an example, with the choices.

    A cluster that is held out or near to one that is, is not trained on (§2.2, `Mixture.excluded`). Exemplars come from
    training examples alone.

    Raises:
        ConfigError: as `load_demonstrations`, `load_templates` and `fill`.
    """
    file = load_templates(settings.templates) if settings.templates else {}
    trained: list[Task] = []
    validation: list[Demonstration] = []
    held_out: dict[str, list[Demonstration]] = {cluster: [] for cluster in settings.held_out}
    reports: list[ExamplesReport] = []
    for source in settings.sources:
        if source.cluster in settings.excluded and source.cluster not in settings.held_out:
            continue
        examples, report = load_demonstrations(source)
        reports.append(report)
        task = _task(source, examples, file.get(source.task, ()))
        if source.cluster in settings.held_out:
            held_out[source.cluster] += asked(task, seed)
        else:
            training, kept = split_held_out(task.examples, settings.validation)
            trained.append(replace(task, examples=training))
            validation += asked(replace(task, examples=kept), seed)
    training = mixture(trained, settings.cap, settings.size, settings.few_shot, seed)
    return Mixed(training, validation, held_out, reports)


def mixing_rates(counts: Sequence[int], weights: Sequence[float], cap: int) -> list[float]:
    """Examples-proportional mixing with a maximum (§2.4): rate_i = w_i · min(n_i, cap) / Σ_j w_j · min(n_j, cap).

    `counts`: examples of each task, n. `weights`: w, 1 in the paper. `cap`: 3000 in the paper.
    """
    shares = [weight * min(count, cap) for count, weight in zip(counts, weights, strict=True)]
    return [share / sum(shares) for share in shares]


def quotas(rates: Sequence[float], size: int) -> list[int]:
    """Demonstrations of each task: whole numbers that sum to `size`, each within 1 of rate · size (largest remainders)."""
    exact = [rate * size for rate in rates]
    whole = [int(share) for share in exact]
    by_remainder = sorted(range(len(rates)), key=lambda i: (whole[i] - exact[i], i))
    for i in by_remainder[: size - sum(whole)]:
        whole[i] += 1
    return whole


def mixture(
    tasks: Sequence[Task], cap: int, size: int | None, few_shot: FewShot | None, seed: int, epoch: int = 0
) -> list[Demonstration]:
    """The demonstrations of one pass, task by task; each epoch goes on through a task's examples where the last one ended.

    A task's examples come in an order of their hashes, all of them before one comes again; which wording one gets and
    which exemplars is drawn anew each time, from (seed, times that it came before, id). `size` None takes Σ min(n, cap).
    """
    counts = [len(task.examples) for task in tasks]
    rates = mixing_rates(counts, [task.weight for task in tasks], cap)
    total = sum(min(count, cap) for count in counts) if size is None else size
    return [
        demonstration
        for task, quota in zip(tasks, quotas(rates, total), strict=True)
        for demonstration in _drawn(task, epoch * quota, quota, few_shot, seed)
    ]


def asked(task: Task, seed: int) -> list[Demonstration]:
    """Every example once, zero-shot, in a wording drawn for it: the mean over them is that over templates (§3).

    Wordings that turn the task around are left out, so that the choices are those of the task.
    """
    wordings = [(number, one) for number, one in enumerate(task.templates) if not one.answer]
    if task.examples and not wordings:
        raise ConfigError(
            f"templates of {task.examples[0].task!r}: each has an answer of its own; give one without, to evaluate with"
        )
    found: list[Demonstration] = []
    for one in task.examples:
        number, template = wordings[derived_seed(seed, "asked", one.id) % len(wordings)]
        found.append(_finished(one, instruct(one, template), template, number))
    return found


def instruct(one: Demonstration, template: Template) -> str:
    """The prompt of an example in one wording (§2.1), with the options suffix where there are choices (§2.3).

    The suffix goes to the end, unless the wording has {options} or shows the choices as {A}, or turns the task around:
    that one has an answer of its own, and may show the example's as {answer}.
    """
    shows = {"options", "A"} & set(fields_of(template.prompt))
    suffix = "" if shows or template.answer or not one.choices else "\n\n{options}"
    fields = {**one.fields, "answer": one.answer} if template.answer else one.fields
    return fill(template.prompt + suffix, fields, f"task {one.task!r}, template {template.prompt[:40]!r}")


def with_exemplars(exemplars: Sequence[tuple[str, str]], prompt: str, characters: int) -> str:
    """instruct(x_1) ⊕ y_1 ⊕ … ⊕ instruct(x_k) ⊕ y_k ⊕ instruct(x) (§4.4), with as many exemplars as fit."""
    parts = [f"{asked}\n{answered}" for asked, answered in exemplars]
    while parts and len("\n\n".join([*parts, prompt])) > characters:
        parts.pop()
    return "\n\n".join([*parts, prompt])


def load_templates(path: str) -> dict[str, tuple[Template, ...]]:
    """Task -> its wordings, from a YAML file; at most ten a task (§2.1).

    Raises:
        ConfigError: the file cannot be read, or a task has no list of one to ten templates.
    """
    found: dict[str, tuple[Template, ...]] = {}
    for task, listed in read_yaml(path, "task: [templates]").items():
        items = cast("list[Any]", listed) if isinstance(listed, list) else []
        if not 1 <= len(items) <= TEMPLATES:
            raise ConfigError(f"{path}: task {task!r} has {len(items)} templates; give a list of 1 to {TEMPLATES}")
        try:
            found[task] = tuple(Template.model_validate(item) for item in items)
        except ValidationError:
            raise ConfigError(
                f"{path}: task {task!r} has a template that is neither text nor {{prompt, answer}}"
            ) from None
    return found


def _drawn(task: Task, start: int, count: int, few_shot: FewShot | None, seed: int) -> Iterator[Demonstration]:
    order = sorted(task.examples, key=lambda one: content_id(seed, "mixture", one.id))
    for position in range(start, start + count):
        turn, place = divmod(position, len(order))
        one = order[place]
        draw = random.Random(derived_seed(seed, "flan", turn, one.id))
        number = draw.randrange(len(task.templates))
        template = task.templates[number]
        prompt = instruct(one, template)
        if few_shot is not None and draw.random() < few_shot.share:
            others = draw.sample(range(len(order)), min(few_shot.exemplars + 1, len(order)))
            chosen = [order[i] for i in others if order[i].prompt != one.prompt][: few_shot.exemplars]
            shown = [(instruct(other, template), _answer(other, template)) for other in chosen]
            prompt = with_exemplars(shown, prompt, few_shot.characters)
        yield _finished(one, prompt, template, number, turn)


def _finished(one: Demonstration, prompt: str, template: Template, number: int, turn: int = 0) -> Demonstration:
    answer = _answer(one, template)
    choices = () if template.answer else one.choices
    fields: Mapping[str, Any] = {}
    key = content_id(one.id, prompt, answer, turn)
    return replace(one, id=key, prompt=prompt, answer=answer, choices=choices, template=number, fields=fields)


def _answer(one: Demonstration, template: Template) -> str:
    if not template.answer:
        return one.answer
    return fill(template.answer, one.fields, f"task {one.task!r}, answer of template {template.prompt[:40]!r}")


def _task(source: Examples, examples: Sequence[Demonstration], listed: tuple[Template, ...]) -> Task:
    """The task in the wordings that are given for it, else in the one in which its source is read."""
    if templates := source.templates or listed:
        return Task(examples, templates, source.weight)
    if fields_of(source.prompt):
        return Task(examples, (Template(prompt=source.prompt),), source.weight)
    whole = [replace(one, fields={**one.fields, "prompt": one.prompt}) for one in examples]
    return Task(whole, (Template(prompt="{prompt}"),), source.weight)
