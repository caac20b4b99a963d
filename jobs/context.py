"""What every stage works with: the study, its run folder, the models it names, its prompts."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from actors.group import Needs
from jobs.cluster import connect
from jobs.models import fingerprint, model_folder
from jobs.store import RunFolder
from truing.config.roles import Engine
from truing.config.study import Study
from truing.data.loaders import load_marked, load_prompts, split_holdout
from truing.labeling.templates import Template, load_template, template_for
from truing.records import Prompt, Row, content_id


@dataclass(frozen=True)
class Context:
    """One study being worked on."""

    study: Study
    run: RunFolder

    @classmethod
    def of(cls, study: Study) -> "Context":
        """Check what can be checked before anything is started: models, prompts, pairs, templates.

        Raises:
            ConfigError: the first thing that is wrong.
        """
        context = cls(study, RunFolder(Path(study.storage) / study.name))
        _ = context.start_folder, context.judge_folder, context.training, context.marked, context.templates
        return context

    @cached_property
    def start_folder(self) -> str:
        """The start policy."""
        return model_folder(self.study.model.path)

    @cached_property
    def judge_folder(self) -> str:
        """The labeler's model."""
        return model_folder(self.study.label.model.path)

    @cached_property
    def start_id(self) -> str:
        """Identity of the start policy's weights."""
        return fingerprint(self.start_folder, self.study.model.revision)

    @cached_property
    def judge_id(self) -> str:
        """Identity of the judge: its weights, and the context that a question must fit."""
        model = self.study.label.model
        return content_id(fingerprint(self.judge_folder, model.revision), model.context)

    @cached_property
    def prompts(self) -> list[Prompt]:
        """Every prompt."""
        return load_prompts(self.study.prompts.path)

    @cached_property
    def training(self) -> list[Prompt]:
        """In-distribution prompts to train on."""
        return split_holdout(self.prompts, self.study.prompts.holdout)[0]

    @cached_property
    def marked(self) -> list[Row]:
        """Pairs whose better response people marked."""
        return load_marked(self.study.label.marked.path)

    @cached_property
    def templates(self) -> dict[str, Template]:
        """Comparison template of each domain that occurs."""
        domains = sorted({p.domain for p in self.prompts} | {row["domain"] for row in self.marked})
        return {domain: load_template(template_for(self.study.label.templates, domain)) for domain in domains}

    @cached_property
    def evaluation(self) -> list[Prompt]:
        """Held-out and shifted prompts, so many of each split; which ones depends on their ids alone."""
        assert self.study.evaluate is not None
        held = split_holdout(self.prompts, self.study.prompts.holdout)[1]
        shifted = [p for p in self.prompts if p.split != "id"]
        chosen: list[Prompt] = []
        for split in sorted({p.split for p in held + shifted}):
            ranked = sorted((p for p in held + shifted if p.split == split), key=lambda p: content_id("evaluate", p.id))
            chosen += ranked[: self.study.evaluate.prompts_per_split]
        return chosen

    def needs(self, engine: Engine) -> Needs:
        """What one engine of an offline pass asks of the cluster."""
        from trainers.roles import engine_needs

        cluster = self.study.cluster
        return engine_needs(engine, cluster, cluster.restarts)

    def pool(self, engine: Engine) -> tuple[int, int]:
        """Least and most engines of an offline pass."""
        return engine.count, max(engine.count, engine.max_count or engine.count)

    def connect(self) -> None:
        """Connect to Ray, if it is not done yet."""
        connect(self.study)

    def save_config(self) -> None:
        """Write the resolved configuration beside the results."""
        self.run.prepare()
        text = yaml.safe_dump(self.study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        (self.run.path / "study.yaml").write_text(text, encoding="utf-8")

    def key(self, *parts: Any) -> str:
        """Identity of a stage's inputs."""
        return content_id(*parts)
