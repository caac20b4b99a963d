"""Supervised fine-tuning: where demonstrations come from, FLAN's mixture of tasks, PAFT's bank of prompts."""

from collections import Counter
from typing import Annotated

from pydantic import Field, model_validator

from truing.config.base import Section
from truing.config.labeling import SingleLabeler
from truing.config.roles import Positive, Share

TEMPLATES = 10
"""Most templates of one task (Wei et al., arXiv 2109.01652, §2.1)."""


def flan_neighbours() -> dict[str, tuple[str, ...]]:
    """FLAN's forbidden neighbours (arXiv 2109.01652, §2.2, note 2), under the cluster names of its repository."""
    return {
        "entailment": ("paraphrase",),
        "read_comp_and_common_sense": ("reading_comprehension", "common_sense"),
    }


class Template(Section):
    """One wording of a task. A plain text is a template without an answer of its own."""

    prompt: Annotated[str, Field(min_length=1)]
    """Text with {column} fields. {A}, {B}, … are the row's choices, {options} is FLAN's list of them."""
    answer: str = ""
    """Answer of a wording that turns the task around ("{text}" to "Write a review that is {answer}."); empty takes the
    example's answer."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: object) -> object:
        return {"prompt": given} if isinstance(given, str) else given


class Examples(Section):
    """One source of demonstrations."""

    path: str
    """JSON Lines, JSON or Parquet (plain or gzipped), a folder, or `org/name:split` on the Hub."""
    prompt: Annotated[str, Field(min_length=1)] = "prompt"
    """Column of the prompt (text, or messages), or a template with {column} fields; {a.b.0} reaches into a column.
    It shows all of the question, also where a mixture or a bank asks in other words: by it rows are told apart."""
    answer: str = ""
    """Column or template of the answer. Empty: the column `answer`; where there are `choices`, "{choice}", the right one's
    text. "{letter}" there answers A, B, … instead."""
    choices: str | tuple[str, ...] = ()
    """Column that holds the list of choices, or the choices themselves: texts, or templates such as "{sol1}"."""
    label: str = "label"
    """Column that says which choice is right. Read only where there are `choices`."""
    labels: str | tuple[str, ...] = ()
    """What the label column says for each choice, in their order, or the column that lists it. Empty: the choice's number
    from 0, true or false for the second or first, its letter, or its text."""
    templates: Annotated[tuple[Template, ...], Field(max_length=TEMPLATES)] = ()
    """Wordings of this task in a mixture; empty takes the mixture's file of templates, else `prompt`."""
    only: dict[str, str] = Field(default_factory=dict)
    """Use only the rows that have this text in this column, for a file that holds several sets."""
    limit: Positive | None = None
    """Use so many, those whose ids hash lowest: the same ones wherever and whenever."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Factor of this source's rate in a mixture."""
    task: str = "default"
    """Name of the task; of the sources of one mixture each has its own."""
    cluster: str = "default"
    """Group of like tasks, which a mixture holds out together."""

    @model_validator(mode="after")
    def _choices_and_labels(self) -> "Examples":
        if isinstance(self.choices, tuple) and len(self.choices) == 1:
            raise ValueError("choices has a single entry: give two or more, or the name of the column that lists them")
        if self.labels and not self.choices:
            raise ValueError("labels is given without choices: give choices too, in the order of the labels")
        fixed = isinstance(self.choices, tuple) and isinstance(self.labels, tuple)
        if fixed and self.labels and len(self.labels) != len(self.choices):
            raise ValueError(
                f"labels has {len(self.labels)} entries for {len(self.choices)} choices: give one for each"
            )
        if isinstance(self.labels, tuple) and len(set(self.labels)) < len(self.labels):
            raise ValueError("labels has an entry twice: each label names one choice")
        return self


class FewShot(Section):
    """Exemplars in front of a prompt (arXiv 2109.01652, §4.4)."""

    exemplars: Annotated[int, Field(gt=0, le=16)] = 4
    """k: solved examples of the same task, in the same wording, before the question. FLAN draws at most 16."""
    share: Share = 0.5
    """Share of the training demonstrations that get exemplars; the others are zero-shot."""
    characters: Positive = 3000
    """Longest prompt with exemplars; those that do not fit are left out (FLAN allows 960 tokens)."""


class Mixture(Section):
    """Instruction tuning on a mixture of tasks in clusters (FLAN, Wei et al., arXiv 2109.01652)."""

    sources: Annotated[tuple[Examples, ...], Field(min_length=1)]
    """The tasks, each with its `task` and `cluster`."""
    templates: str = ""
    """YAML file of task -> up to ten templates, such as `configs/prompts/flan.yaml`."""
    cap: Positive = 3000
    """Examples beyond so many give a task no more weight: rate ∝ weight · min(n, cap)."""
    size: Positive | None = None
    """Demonstrations of one pass; absent takes Σ min(n, cap)."""
    few_shot: FewShot | None = None
    """Absent trains zero-shot."""
    validation: Share = 0.0
    """Share of each trained task's examples kept out of training and out of the exemplars, chosen by hash."""
    held_out: tuple[str, ...] = ()
    """Clusters that are evaluated and never trained on."""
    neighbours: dict[str, tuple[str, ...]] = Field(default_factory=flan_neighbours)
    """Clusters too near to each other: while one is held out, the other is not trained on. Said once, it holds both ways."""

    @model_validator(mode="after")
    def _clusters(self) -> "Mixture":
        doubled = [task for task, n in Counter(source.task for source in self.sources).items() if n > 1]
        if doubled:
            raise ValueError(f"sources names task {doubled[0]!r} twice: give each source its own task")
        clusters = sorted({source.cluster for source in self.sources})
        if unknown := sorted(set(self.held_out) - set(clusters)):
            raise ValueError(f"held_out: no source is in cluster {unknown[0]!r}; use one of {', '.join(clusters)}")
        named = {name for one, others in self.neighbours.items() for name in (one, *others)}
        # The usual ones name FLAN's clusters, of which a mixture may have few.
        if self.neighbours != flan_neighbours() and (unknown := sorted(named - set(clusters))):
            raise ValueError(f"neighbours: no source is in cluster {unknown[0]!r}; use one of {', '.join(clusters)}")
        if set(clusters) <= self.excluded:
            raise ValueError("held_out and its neighbours are all the clusters there are: add a source to train on")
        return self

    @property
    def excluded(self) -> frozenset[str]:
        """Clusters that are not trained on: those held out, and the neighbours of each."""
        near = {other for one, others in self.neighbours.items() if one in self.held_out for other in others}
        near |= {one for one, others in self.neighbours.items() if set(others) & set(self.held_out)}
        return frozenset(self.held_out) | near


class Wordings(Section):
    """Candidate prompts of one task, written by several models, zero-shot and few-shot (PAFT, arXiv 2502.12859, §3.1)."""

    task: Annotated[str, Field(min_length=1)]
    """What is to be done, in a sentence."""
    fields: Annotated[dict[str, str], Field(min_length=1)]
    """The gaps of a prompt, and what stands in each."""
    models: Annotated[tuple[SingleLabeler, ...], Field(min_length=1)]
    """Who writes: engines and endpoints."""
    requests: Positive = 4
    """Requests to each model; every second one shows examples, where there are some."""
    prompts: Positive = 10
    """Prompts that one request asks for."""
    examples: str | None = None
    """YAML file of prompts that people wrote, such as `configs/prompts/paft_piqa.yaml`, with the same fields."""
    shots: Positive = 4
    """Examples in one request."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Softmax temperature of a reply."""
    max_tokens: Positive = 1024
    """Longest reply."""


class PromptBank(Section):
    """Prompt-agnostic fine-tuning: a bank of wordings of one task (PAFT, Wei et al., arXiv 2502.12859)."""

    path: str
    """YAML file with `fields` and `prompts`, such as `configs/prompts/paft_piqa.yaml`."""
    test_one_in: Annotated[int, Field(ge=2)] = 9
    """One prompt in so many is a test prompt, never trained on: 9 is the paper's 8:1."""
    limit: Positive | None = None
    """Training prompts that are used, those whose hashes are lowest; 1 is fine-tuning with a fixed prompt."""
    every: Positive = 4
    """K: examples between two draws of a prompt."""
    epochs: Positive = 3
    """T: passes over the examples."""
    top: Share = 0.7
    """Accuracy from which an unseen prompt counts as a good one: the share of those is reported."""
