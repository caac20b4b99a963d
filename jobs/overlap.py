"""Answers to held-out demonstrations by the model before and after supervised fine-tuning, against the right ones."""

from collections.abc import Mapping

from jobs.context import Context
from jobs.material import Material
from jobs.models import fingerprint
from jobs.sample import complete, requests
from truing.algorithms.statistics import Interval, bootstrap_mean
from truing.config.training import Generate
from truing.evaluation.text_overlap import rouge_l
from truing.records import Prompt


def overlap(
    context: Context, settings: Generate, material: Material, folders: Mapping[str, str]
) -> dict[str, dict[str, Interval]]:
    """ROUGE-L by test, then by the name of the model in `folders`; tests with choices are left out."""
    seed = context.study.seed
    found: dict[str, dict[str, Interval]] = {}
    for test, some in material.tests.items():
        asked = [one for one in some[: settings.answers] if not one.choices]
        if not asked:
            continue
        prompts = [Prompt(one.id, one.prompt, one.task, "id") for one in asked]
        right = {one.id: one.answer for one in asked}
        for name, folder in folders.items():
            rows = requests(prompts, 1, fingerprint(folder), settings.sampling, context.study.model, seed, "sft")
            done = complete(
                context,
                f"answering, {name}",
                f"sft/answers-{name}",
                folder,
                rows,
                settings.engine,
                settings.sampling,
                "sft",
            )
            # An answer that failed (an empty one too) shares nothing with the right one.
            texts = {row["prompt_id"]: row["text"] for row in done}
            scores = [rouge_l(texts.get(key, ""), [answer]) for key, answer in right.items()]
            found.setdefault(test, {})[name] = bootstrap_mean(scores, seed=seed)
    return found
