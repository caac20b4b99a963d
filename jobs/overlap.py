"""Answers to held-out demonstrations by the model before and after supervised fine-tuning, against the right ones."""

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.context import Context
from jobs.material import Material
from jobs.models import fingerprint
from jobs.sample import complete, requests
from truing.algorithms.statistics import Interval, bootstrap_mean
from truing.config.training import Generate
from truing.evaluation.text_overlap import rouge
from truing.records import Prompt


@dataclass(frozen=True, slots=True)
class MeanRouge:
    """Mean ROUGE-L of answers; None where it is `undefined` for all, their right answer having no word of a-z or 0-9."""

    rouge_l: Interval | None
    undefined: int


def overlap(
    context: Context, settings: Generate, material: Material, folders: Mapping[str, str]
) -> dict[str, dict[str, MeanRouge]]:
    """ROUGE-L by test, then by the name of the model in `folders`; tests with choices are left out."""
    seed = context.study.seed
    found: dict[str, dict[str, MeanRouge]] = {}
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
            texts = {row["prompt_id"]: row["text"] for row in done}
            found.setdefault(test, {})[name] = mean_rouge(texts, right, seed=seed)
    return found


def mean_rouge(texts: Mapping[str, str], right: Mapping[str, str], *, seed: int) -> MeanRouge:
    """ROUGE-L F1 with Porter's stemmer, of answers and right ones by the same keys; mean over the right ones.

    An answer that failed (an empty one too) shares nothing with the right one.
    """
    each = [rouge(texts.get(key, ""), [answer], stemmer=True).rouge_l for key, answer in right.items()]
    scores = [one.f for one in each if one is not None]
    return MeanRouge(bootstrap_mean(scores, seed=seed) if scores else None, undefined=len(each) - len(scores))
