"""Preferences by prompt: the responses to one prompt, and what was said of two of them at a time."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from truing.records import Row


@dataclass(frozen=True, slots=True)
class Judged:
    """`better` and `worse` name responses by position; P(better is better) in [½, 1], a weight, a margin in rewards."""

    better: int
    worse: int
    p: float
    weight: float = 1.0
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Comparisons:
    """One prompt with K responses and the comparisons among them, which are one item of a batch.

    Comparisons of one prompt are not independent: spread over a batch they make a reward model overfit within one epoch
    (Ouyang et al., arXiv 2203.02155, §3.5).
    """

    prompt: str
    responses: tuple[str, ...]
    judged: tuple[Judged, ...]

    @property
    def weight(self) -> float:
        """Sum of the comparisons' weights."""
        return sum(one.weight for one in self.judged)


def flattened(comparisons: Iterable[Comparisons]) -> list[Judged]:
    """All comparisons of some prompts, their responses numbered through in the order of the prompts."""
    found: list[Judged] = []
    first = 0
    for one in comparisons:
        found += [replace(j, better=first + j.better, worse=first + j.worse) for j in one.judged]
        first += len(one.responses)
    return found


@dataclass(frozen=True, slots=True)
class Source:
    """How the labels of one source are taken: their weight, and the temperature of their soft labels.

    σ(logit(p) / temperature): 1 leaves a label as it is, 0 makes it hard, more than 1 softer.
    """

    weight: float = 1.0
    temperature: float = 1.0


def tempered(p: float, temperature: float) -> float:
    """σ(logit(p) / temperature); 0 rounds (½ stays ½)."""
    if temperature == 1 or p in (0.0, 0.5, 1.0):
        return p
    if temperature == 0:
        return float(p > 0.5)
    # σ(x) = (1 + tanh(x/2)) / 2, which has no overflow
    return (1 + math.tanh(math.log(p / (1 - p)) / (2 * temperature))) / 2


def by_prompt(rows: Iterable[Row], sources: Mapping[str, Source], margin: float) -> list[Comparisons]:
    """Rows of the preference set in groups of one prompt, in the order in which prompts first appear.

    `margin`: rewards a unit of the row's strength (Touvron et al., arXiv 2307.09288, eq. 2); rows without one have none.
    """
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["prompt"], []).append(row)
    return [_comparisons(prompt, some, sources, margin) for prompt, some in grouped.items()]


def _comparisons(prompt: str, rows: list[Row], sources: Mapping[str, Source], margin: float) -> Comparisons:
    numbers: dict[str, int] = {}
    judged: list[Judged] = []
    for row in rows:
        better, worse = (numbers.setdefault(row[side], len(numbers)) for side in ("chosen", "rejected"))
        source = sources.get(row["source"], Source())
        p = tempered(row["p_chosen"], source.temperature)
        judged.append(Judged(better, worse, p, row["weight"] * source.weight, margin * (row["strength"] or 0.0)))
    return Comparisons(prompt, tuple(numbers), tuple(judged))
