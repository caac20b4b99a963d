"""What a study would do and need, without doing it: stages, memory of each role by stage, layout, bottleneck."""

import os
from collections.abc import Mapping
from dataclasses import replace

import psutil
import yaml

from jobs.arms import check_arms
from jobs.askings import AskedSet
from jobs.cluster.demands import demands
from jobs.context import Context
from jobs.grid.grid import data_sets
from jobs.memory import DRIVER, Need, Shape, engine_need, learner_need, scorer_need
from jobs.models import model_folder
from jobs.progress import console, print_table
from jobs.work import heaviest
from truing.config.grid import Grid, StudyPolicies
from truing.config.labeling import EngineLabeler
from truing.config.load import ways
from truing.config.policy import Grpo, Policy, Ppo, Reinforce
from truing.config.rewards import AiScorePart, CombinedPart, RewardModelPart
from truing.config.study import Study
from truing.config.supervised import Wordings
from truing.errors import ShortOfResources

TRAINERS = ("reward model", "DPO reference", "DPO", "rejection sampling", "rejection scoring", "rejection", "policy")
"""Stages in which arms may differ."""


def show_config(study: Study) -> None:
    """The resolved configuration, then the plan."""
    text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True).rstrip()
    console.print(text, markup=False)
    console.print()
    show_plan(study)


def show_plan(study: Study) -> None:
    """What each stage would do, what each role asks of the cluster, what of memory, and which role takes longest.

    Raises:
        ShortOfResources: a stage needs more memory than this machine has; names the number to change.
    """
    context = Context.of(study)
    check_arms(study)
    done = ways(study)
    print_table("Plan", ("stage", "what"), _stages(context), f"results go to {context.run.path}")
    roles = [
        (one.key, one.count, one.cpus, one.gpus, study.cluster.nodes.get(one.node, "any"))
        for way in done.values()
        for one in demands(way)
    ]
    print_table("Roles", ("key", "actors", "CPUs each", "GPUs each", "nodes"), list(dict.fromkeys(roles)))
    needs = _needs(context, done)
    if needs is None:
        console.print(
            "  memory: the model is a Hub name that is not on this machine; give a folder to have it estimated"
        )
        return
    rows = [
        (stage, one.key, one.count, "GPU" if one.gpu else "host", one.each, _parts(one))
        for stage, some in needs.items()
        for one in some
    ]
    print_table("Memory, GB", ("stage", "role", "actors", "where", "each", "of it"), rows)
    peaks = {stage: DRIVER + sum(one.total for one in some if not one.gpu) for stage, some in needs.items()}
    for name, way in done.items():
        for line in heaviest(way):
            console.print(f"  {_at(name, line)}")
    there = psutil.virtual_memory().total / 1e9
    if not peaks:
        return
    stage = max(peaks, key=lambda name: peaks[name])
    together = "take turns on the CPUs" if study.cluster.colocate else "have CPUs of their own"
    console.print(
        f"  layout: one node of {os.cpu_count()} CPUs and {there:.0f} GB; roles of a stage {together} and share its memory"
    )
    if peaks[stage] > there:
        largest = max((one for one in needs[stage] if not one.gpu), key=lambda one: one.total)
        raise ShortOfResources(
            f"{stage}: needs about {peaks[stage]:.1f} GB and this machine has {there:.1f} ({peaks[stage] - there:.1f} short);"
            f" {largest.key} takes {largest.total:.1f} of it: lower {largest.lower}"
        )
    console.print(f"  peak: about {peaks[stage]:.1f} GB of {there:.1f}, in stage {stage}")


def _at(way: str, what: str) -> str:
    return f"{way}: {what}" if way else what


def _needs(context: Context, done: Mapping[str, Study]) -> dict[str, list[Need]] | None:
    """Memory of the roles that are alive at the same time, by stage, of all that is done."""
    found: dict[str, list[Need]] = {}
    for name, way in done.items():
        needs = stage_needs(replace(context, study=way))
        if needs is None:
            return None
        found |= {_at(name, stage): some for stage, some in needs.items() if not name or stage in TRAINERS}
    return found


def _parts(need: Need) -> str:
    return ", ".join(f"{name} {gb:.2f}" for name, gb in need.parts.items())


def stage_needs(context: Context) -> dict[str, list[Need]] | None:
    """Memory of the roles that are alive at the same time, by stage; None where the model's shape cannot be known."""
    study = context.study
    shape = Shape.of(context.base_folder)
    if shape is None:
        return None
    found: dict[str, list[Need]] = _from_data(study, shape)
    if study.sample and study.label.pairs is None:
        found["sample"] = [engine_need("sample.engine", shape, study.sample.engine)]
    if study.sample or study.label.pairs or study.agreement:
        found["label"] = _labelers("labeler", study.labeler)
    if study.rejection:
        found["rejection sampling"] = [engine_need("rejection.engine", shape, study.rejection.engine)]
        found["rejection scoring"] = [scorer_need("rejection.scorer", shape, study.rejection.scorer)]
        found["rejection"] = [learner_need("rejection.learner", shape, study.rejection.learner)]
    if study.policy:
        found["policy"] = _policy(study, study.policy, shape)
    if study.evaluate and study.evaluate.grid:
        found["evaluate"] = [engine_need("evaluate.grid.engine", shape, study.evaluate.grid.engine)]
    return {stage: some for stage, some in found.items() if some}


def _from_data(study: Study, shape: Shape) -> dict[str, list[Need]]:
    """Stages that learn from stored data."""
    found: dict[str, list[Need]] = {}
    if study.sft:
        found["SFT"] = [learner_need("sft.learner", shape, study.sft.learner)]
        if study.sft.generate:
            found["SFT answers"] = [engine_need("sft.generate.engine", shape, study.sft.generate.engine)]
    if study.reward_model:
        found["reward model"] = [learner_need("reward_model.learner", shape, study.reward_model.learner)]
    if study.dpo:
        found["DPO reference"] = [scorer_need("dpo.reference", shape, study.dpo.reference)]
        found["DPO"] = [learner_need("dpo.learner", shape, study.dpo.learner)]
    return found


def _labelers(key: str, labeler: object) -> list[Need]:
    if not isinstance(labeler, EngineLabeler):
        return []
    shape = Shape.of(model_folder(labeler.model.path))
    return [engine_need(f"{key}.engine", shape, labeler.engine)] if shape else []


def _policy(study: Study, policy: Policy, shape: Shape) -> list[Need]:
    """Everything that is alive while a policy is trained."""
    needs = [
        engine_need("policy.engine", shape, policy.engine),
        scorer_need("policy.reference", shape, policy.reference),
        learner_need("policy.learner", shape, policy.learner),
    ]
    if isinstance(policy.algorithm, Ppo | Reinforce):
        needs.append(learner_need("policy.algorithm.critic", shape, policy.algorithm.critic))
    for i, part in enumerate(policy.rewards):
        key = f"policy.rewards.{i}"
        if isinstance(part, RewardModelPart | CombinedPart):
            models = 2 if isinstance(part, CombinedPart) else 1
            needs.append(scorer_need(f"{key}.scorer", shape, part.scorer, models))
        if isinstance(part, AiScorePart):
            needs += _labelers(f"{key}.labeler" if part.labeler else "labeler", part.labeler or study.labeler)
    return needs


def _stages(context: Context) -> list[tuple[str, str]]:
    study = context.study
    rows: list[tuple[str, str]] = []
    if study.rounds > 1:
        rows.append(("rounds", f"{study.rounds} times all that follows, but for SFT once"))
    rows += _wordings(study.wordings)
    if study.sft:
        rows.append(("SFT", f"{len(context.material.training)} demonstrations in batches of {study.sft.batch}"))
    pairs = context.unmarked.pairs if context.unmarked else 0
    if study.sample is not None and context.unmarked is None:
        drawn = len(context.training) * study.sample.completions
        pairs = len(context.training) * (study.sample.completions // 2)
        rows.append(("sample", f"{drawn} completions of {len(context.training)} prompts"))
    if study.sample is not None or context.unmarked is not None:
        asked = f"{pairs} pairs and {context.survey.pairs} marked pairs, both orders"
        rows.append(("label", f"{asked}, by {', '.join(member.name for member in context.members)}"))
    rows += [row for one in context.asked_sets for row in _agreement(one)]
    for name, way in ways(study).items():
        rows += [(_at(name, stage), what) for stage, what in _trainers(context, way)]
    if study.evaluate and study.evaluate.grid:
        rows.append(("evaluate", _grid_line(context, study.evaluate.grid)))
    return rows


def _trainers(context: Context, study: Study) -> list[tuple[str, str]]:
    """What is trained after the labels, the reward model first."""
    rows = [
        (name, f"{section.epochs} epochs, {section.batch} prompts an update")
        for name, section in (("reward model", study.reward_model), ("DPO", study.dpo))
        if section
    ]
    if study.rejection:
        rows.append(("rejection", f"best of {study.rejection.samples} for {len(context.training)} prompts"))
    if study.policy:
        rows.append(("policy", _policy_line(study.policy)))
    return rows


def _grid_line(context: Context, grid: Grid) -> str:
    """How large a grid is, with what its data hold."""
    sets = data_sets(context, grid)
    names = ["the study's own" if isinstance(one, StudyPolicies) else one.name for one in grid.policies]
    asked = ", ".join(f"{one.name} {len(one.questions)}" for one in sets)
    return (
        f"policies ({', '.join(names)}) x questions ({asked}) x {len(grid.temperatures)} temperatures x K = {grid.completions},"
        f" {len(grid.metrics)} kinds of metrics"
    )


def _wordings(wanted: Wordings | None) -> list[tuple[str, str]]:
    if wanted is None:
        return []
    return [
        ("wordings", f"{wanted.requests} requests for {wanted.prompts} prompts to each of {len(wanted.models)} models")
    ]


def _policy_line(policy: Policy) -> str:
    algorithm = policy.algorithm
    per_step = f"{policy.prompts} prompts x {algorithm.completions}"
    line = f"{algorithm.kind}: {policy.steps} steps of {per_step} completions"
    if isinstance(algorithm, Ppo | Grpo):
        line += f", {algorithm.epochs} x {algorithm.minibatches} updates a step"
    return line


def _agreement(one: AskedSet) -> list[tuple[str, str]]:
    """A set and each way of asking about it, with its templates."""
    pairs, ways = one.survey.pairs, len(one.askings)
    asked = f"{one.name}: {pairs} pairs x {ways} ways of asking = {pairs * ways} questions, both orders"
    names = ["+".join(sorted({t.name for t in asking.templates.values()})) for asking in one.askings.values()]
    return [
        ("agreement", asked),
        *(("", f"{name}: {asking.name}") for name, asking in zip(names, one.askings.values(), strict=True)),
    ]
