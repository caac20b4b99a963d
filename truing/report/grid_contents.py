"""What a page holds of a grid: policies, data sets, the figures of every cell, samples, what each policy cost."""

from collections.abc import Mapping
from dataclasses import dataclass

from truing.evaluation.figure import Figure

REFERENCE = "reference"
"""What the data's own reference texts are called among policies."""


@dataclass(frozen=True)
class GridPolicy:
    """A policy of the grid. `kind`: model, best_of, recorded or endpoint.

    `best_of`: n and the policy that the n outputs come from, None for other kinds. `seconds`: spent on its outputs, in all
    runs; None where they cost nothing here. `outputs` and `tokens`: how many it wrote.
    """

    name: str
    kind: str
    best_of: tuple[int, str] | None
    seconds: float | None
    outputs: int
    tokens: int


@dataclass(frozen=True)
class GridData:
    """A data set: `shift` is "id" where policies were trained on such prompts, else the name of the shift."""

    name: str
    shift: str
    prompts: int


@dataclass(frozen=True)
class WordingAccuracies:
    """Accuracy of one policy on one data set by wording, shares, in the order of the wordings. `n`: items of each."""

    policy: str
    data: str
    metric: str
    wordings: tuple[str, ...]
    accuracies: tuple[float, ...]
    n: int


@dataclass(frozen=True)
class GridSample:
    """One prompt of a data set at one temperature, with each policy's first output and what was measured of it.

    `scores`: by policy and metric. `reference` is None where the data have none; `temperature` as in figures.
    """

    data: str
    shift: str
    temperature: float | None
    variant: str
    prompt: str
    reference: str | None
    outputs: Mapping[str, str]
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Alarm:
    """Something that looks like reward hacking or collapse: where, and the sentence that says so with its figures."""

    policy: str
    data: str
    kind: str
    sentence: str


@dataclass(frozen=True)
class Grid:
    """All of a grid. `baseline`: the policy that win rates, KL and differences are against, "" where there is none.

    Figures have `data`, `shift`, `temperature` and `variant` (a wording, "" where there is one alone). A metric that begins
    with "gap: " is that metric in distribution minus the same on `data`. `completions`: K of the per-input metrics.
    """

    policies: tuple[GridPolicy, ...]
    data: tuple[GridData, ...]
    temperatures: tuple[float | None, ...]
    completions: int
    baseline: str
    figures: tuple[Figure, ...]
    wordings: tuple[WordingAccuracies, ...] = ()
    samples: tuple[GridSample, ...] = ()
    alarms: tuple[Alarm, ...] = ()
