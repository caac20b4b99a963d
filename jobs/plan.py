"""What a study would do, without doing it: the resolved configuration and the plan."""

import yaml

from jobs.askings import AskedSet
from jobs.cluster import demands
from jobs.context import Context
from jobs.progress import console, print_table
from truing.config.policy import Ppo
from truing.config.study import Study


def show_plan(study: Study) -> None:
    """Print the resolved configuration, what each stage would do, and what each role asks of the cluster."""
    context = Context.of(study)
    console.print(
        yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True).rstrip(), markup=False
    )
    rows: list[tuple[str, str]] = []
    pairs = context.unmarked.pairs if context.unmarked else 0
    if study.sample is not None and context.unmarked is None:
        drawn = len(context.training) * study.sample.completions
        pairs = len(context.training) * (study.sample.completions // 2)
        rows.append(("sample", f"{drawn} completions of {len(context.training)} prompts"))
    if study.sample is not None or context.unmarked is not None:
        asked = f"{pairs} pairs and {context.survey.pairs} marked pairs, both orders"
        rows.append(("label", f"{asked}, by {', '.join(member.name for member in context.members)}"))
    rows += [row for one in context.asked_sets for row in _agreement(one)]
    if study.reward_model:
        rows.append(
            ("reward model", f"{study.reward_model.epochs} epochs, batches of {study.reward_model.batch} pairs")
        )
    if study.policy:
        policy = study.policy
        extra = (
            f", {policy.algorithm.epochs} x {policy.algorithm.minibatches} updates a step"
            if isinstance(policy.algorithm, Ppo)
            else ""
        )
        per_step = f"{policy.prompts} prompts x {policy.algorithm.completions}"
        rows.append(("policy", f"{policy.algorithm.kind}: {policy.steps} steps of {per_step} completions{extra}"))
    if study.evaluate:
        settings = study.evaluate
        rows.append(
            (
                "evaluate",
                f"{len(context.evaluation)} prompts, {settings.completions} completions, best of {settings.best_of}",
            )
        )
    console.print()
    print_table("Plan", ("stage", "what"), rows, f"results go to {context.run.path}")
    print_table("Roles", ("key", "actors", "CPUs each", "GPUs each"), demands(study))


def _agreement(one: AskedSet) -> list[tuple[str, str]]:
    """A set and each way of asking about it, with its templates."""
    pairs, ways = one.survey.pairs, len(one.askings)
    asked = f"{one.name}: {pairs} pairs x {ways} ways of asking = {pairs * ways} questions, both orders"
    names = ["+".join(sorted({t.name for t in asking.templates.values()})) for asking in one.askings.values()]
    return [
        ("agreement", asked),
        *(("", f"{name}: {asking.name}") for name, asking in zip(names, one.askings.values(), strict=True)),
    ]
