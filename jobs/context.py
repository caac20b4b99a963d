"""What every stage works with: the study, its run folder, the models it names, its prompts."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from actors.exporting import RUN, run_name
from jobs.askings import AskedSet, asked_sets, askings, check_scores
from jobs.cluster.connect import address, connect
from jobs.grid.preflight import check_policies
from jobs.labelers import Member, members
from jobs.marks import Survey, check_marked, sources, survey, survey_unmarked
from jobs.material import Material, material
from jobs.models import fingerprint, model_folder
from jobs.reuse import check_reuse
from jobs.run_path import run_path
from jobs.store import RunFolder, write_text
from jobs.sweep import Pool
from trainers.roles import engine_needs
from trainers.trackers import check_trackers
from truing.config.grid import PromptSet, StudyPrompts
from truing.config.labeling import Cascade
from truing.config.roles import Engine
from truing.config.study import Study
from truing.data.answers import READING
from truing.data.loaders import load_prompts, split_holdout
from truing.errors import ConfigError
from truing.labeling.asking import Asking
from truing.records import Prompt, content_id


def run_folder(study: Study) -> Path:
    """The folder of the study's run, as its workers know it."""
    path = run_path(study)
    # A running cluster's workers begin in folders of their own, in which a relative path means another one.
    return path if address(study) is None else path.resolve()


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
        context = cls(study, RunFolder(run_folder(study)))
        check_marked(study)
        check_reuse(study.label.reuse)
        check_trackers(study.trackers)
        if study.evaluate and study.evaluate.grid:
            check_policies(study.evaluate.grid, context.run.path)
        for stage in (study.policy, study.rejection):
            check_scores(stage.rewards if stage else ())
        _ = (
            context.base_folder,
            context.start_id,
            context.members,
            context.training,
            context.askings,
            context.asked_sets,
        )
        return context

    @cached_property
    def base_folder(self) -> str:
        """The model that the study names."""
        return model_folder(self.study.model.path, self.study.model.revision)

    @property
    def start_folder(self) -> str:
        """The start policy: the model, or what supervised fine-tuning made of it.

        Raises:
            ConfigError: it is to be fine-tuned and is not yet.
        """
        if self.study.sft is None:
            return self.base_folder
        tuned = self.run.path / "sft" / "model"
        if not (tuned / "config.json").is_file():
            raise ConfigError(
                f"{tuned}: the start policy is not there yet; run `truing train` or `truing pipeline` first"
            )
        return str(tuned)

    @cached_property
    def start_id(self) -> str:
        """Identity of the start policy: its weights', or that of all that supervised fine-tuning makes them from."""
        if self.study.sft is None:
            return fingerprint(self.base_folder)
        return content_id("sft", self.sft_key)

    @cached_property
    def material(self) -> Material:
        """What supervised fine-tuning shows and tests."""
        assert self.study.sft is not None
        return material(self.study.sft, self.study.seed)

    @cached_property
    def sft_key(self) -> str:
        """Identity of everything that supervised fine-tuning depends on."""
        study = self.study
        assert study.sft is not None
        base = fingerprint(self.base_folder)
        return self.key(
            "sft", study.sft.model_dump(mode="json"), base, self.material.key, study.seed, study.model.context, READING
        )

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The single labelers that the study's labeler is made of."""
        return members(self.study.labeler)

    @cached_property
    def labeler_id(self) -> str:
        """Identity of the labeler as a whole."""
        settings = self.study.labeler
        how = [settings.kind, settings.unsure_below] if isinstance(settings, Cascade) else [settings.kind]
        return content_id(*how, *(member.id for member in self.members))

    @cached_property
    def prompts(self) -> list[Prompt]:
        """Every prompt."""
        return load_prompts(self.study.prompts.path)

    @cached_property
    def training(self) -> list[Prompt]:
        """In-distribution prompts to train on."""
        return split_holdout(self.prompts, self.study.prompts.holdout)[0]

    @cached_property
    def survey(self) -> Survey:
        """What people have marked, without its text."""
        return survey(sources(self.study.label.marked))

    @cached_property
    def unmarked(self) -> Survey | None:
        """What stands in the file of pairs to be labelled, where the study names one."""
        pairs = self.study.label.pairs
        return None if pairs is None else survey_unmarked(pairs)

    @cached_property
    def domains(self) -> tuple[str, ...]:
        """Every domain that the labeler is asked about."""
        one = self.study.evaluate
        data = one.grid.data if one and one.grid else ()
        own = any(isinstance(some, StudyPrompts) for some in data)
        known = {some.domain for some in data if isinstance(some, PromptSet)}
        if self.study.sample or self.study.policy or own:
            known |= {prompt.domain for prompt in self.prompts}
        return tuple(sorted(known | set(self.survey.domains) | set(self.unmarked.domains if self.unmarked else ())))

    @cached_property
    def askings(self) -> dict[str, Asking]:
        """How the labeler is asked for preferences: once for each criterion.

        Raises:
            ConfigError: a domain without a template, or a style or criterion that its template does not have.
        """
        label = self.study.label
        return askings([label.templates], [label.style], label.criteria, self.domains)

    @cached_property
    def asked_sets(self) -> tuple[AskedSet, ...]:
        """The sets of the agreement study, with the ways of asking about each."""
        return asked_sets(self.study)

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

    def engine_pool(self, engine: Engine, make: Callable[[], Any], answer: Any) -> Pool:
        """Engines of an offline pass."""
        cluster = self.study.cluster
        needs = engine_needs(engine, cluster, "rollout", cluster.restarts)
        return Pool(
            make, answer, needs, engine.count, max(engine.count, engine.max_count or engine.count), engine.batch
        )

    def connect(self) -> None:
        """Connect to Ray, if it is not done yet. Its processes will know for which run they work."""
        os.environ[RUN] = run_name(self.run.path)
        connect(self.study)

    def save_config(self) -> None:
        """Write the resolved configuration beside the results."""
        self.run.prepare()
        text = yaml.safe_dump(self.study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        write_text(self.run.path / "study.yaml", text)

    def key(self, *parts: Any) -> str:
        """Identity of a stage's inputs."""
        return content_id(*parts)
