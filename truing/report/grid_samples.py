"""A grid's samples as the page shows them: outputs side by side, what was measured of each, and what to filter by."""

from collections.abc import Sequence
from dataclasses import dataclass

from truing.report.grid_contents import Grid, GridSample
from truing.report.grid_figures import REWARD, WIN, ordered, shift_name, temperature_name
from truing.report.notation import decimal

SHOWN = 4
"""Measurements that stand beside an output."""
AS_IT_IS = "as the data have it"
"""The wording of prompts that have no other."""


@dataclass(frozen=True)
class Answer:
    """What one policy answered, None where it has not; `scores` as written."""

    policy: str
    output: str | None
    scores: str


@dataclass(frozen=True)
class SampleCard:
    """One prompt: `tags` by what they can be filtered by; `spread` is how far the policies' scores are apart, None unknown."""

    prompt: str
    reference: str | None
    tags: dict[str, str]
    shift: str
    spread: float | None
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Choice:
    """One filter: its key among the tags, its label and its values."""

    key: str
    label: str
    values: tuple[str, ...]


def sample_cards(grid: Grid) -> list[SampleCard]:
    """The samples in their order, with the policies in that of the grid."""
    shifts = {data.name: shift_name(data.shift) for data in grid.data}
    policies = [policy.name for policy in grid.policies]
    return [
        SampleCard(
            prompt=sample.prompt,
            reference=sample.reference,
            tags={
                "data": sample.data,
                "temperature": temperature_name(sample.temperature),
                "wording": f"wording {sample.variant}" if sample.variant else AS_IT_IS,
            },
            shift=shifts.get(sample.data, shift_name(sample.shift)),
            spread=spread(sample),
            answers=tuple(_answers(sample, policies)),
        )
        for sample in grid.samples
    ]


def choices(cards: Sequence[SampleCard]) -> list[Choice]:
    """The filters by which the samples differ."""
    labels = {"data": "Data", "temperature": "Temperature", "wording": "Wording"}
    found = [Choice(key, label, tuple(dict.fromkeys(c.tags[key] for c in cards))) for key, label in labels.items()]
    return [choice for choice in found if len(choice.values) > 1]


def spread(sample: GridSample) -> float | None:
    """How far policies are apart on one prompt: largest minus smallest reward, else win; None of fewer than two."""
    for metric in (REWARD, WIN, "win"):
        values = [scores[metric] for scores in sample.scores.values() if metric in scores]
        if len(values) > 1:
            return max(values) - min(values)
    return None


def _answers(sample: GridSample, order: Sequence[str]) -> list[Answer]:
    names = dict.fromkeys((*(name for name in order if name in sample.outputs), *sample.outputs))
    found: list[Answer] = []
    for name in names:
        scores = sample.scores.get(name, {})
        written = [f"{metric} {decimal(scores[metric])}" for metric in ordered(scores)[:SHOWN]]
        found.append(Answer(name, sample.outputs.get(name), " · ".join(written)))
    return found
