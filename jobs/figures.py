"""From stored answers to the figures of an evaluation. No model is needed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from truing.algorithms.best_of_n import kl_best_of_n
from truing.algorithms.statistics import bootstrap_mean
from truing.evaluation.diversity import across_inputs, ead, embedding_diversity, per_input
from truing.records import Prompt, Row
from truing.report.contents import SPLITS, Estimate, PolicyResult, Split


@dataclass(frozen=True)
class Measured:
    """Everything that was found.

    `outputs`: rows by policy and prompt id. `parts`: reward parts by output id. `wins`: 1, ½ or 0 against the start
    policy, by policy and prompt id. `kl`: nats by output id. `vectors`: embeddings by text. `best_of`: n of best-of-n.
    """

    prompts: Sequence[Prompt]
    outputs: Mapping[str, Mapping[str, Sequence[Row]]]
    parts: Mapping[str, Mapping[str, float]]
    wins: Mapping[str, Mapping[str, Sequence[float]]]
    kl: Mapping[str, float]
    vectors: Mapping[str, Sequence[float]]
    best_of: int
    seed: int


def results(measured: Measured) -> list[PolicyResult]:
    """One result a policy and split. Intervals resample prompts: outputs of one prompt are not independent."""
    found: list[PolicyResult] = []
    for policy in measured.outputs:
        for split in SPLITS:
            prompts = [p.id for p in measured.prompts if p.split == split and measured.outputs[policy].get(p.id)]
            if prompts:
                found.append(_result(measured, policy, split, prompts))
    return found


def _result(measured: Measured, policy: str, split: Split, prompts: Sequence[str]) -> PolicyResult:
    groups = [list(measured.outputs[policy][key]) for key in prompts]
    texts = [[row["text"] for row in group] for group in groups]
    vectors = [[np.array(measured.vectors[text]) for text in group] for group in texts]

    def over_prompts(values: Sequence[Sequence[float]]) -> Estimate | None:
        return estimate([float(np.mean(group)) for group in values if len(group)], measured.seed)

    def part(name: str) -> Estimate | None:
        scores = [
            [measured.parts[row["id"]][name] for row in group if name in measured.parts[row["id"]]] for group in groups
        ]
        return over_prompts(scores)

    names = sorted({name for group in groups for row in group for name in measured.parts[row["id"]]} - {"total"})
    wins = [measured.wins[policy].get(key, []) for key in prompts] if policy in measured.wins else []
    kl = over_prompts([[measured.kl[row["id"]] for row in group if row["id"] in measured.kl] for group in groups])
    if policy.startswith("best of"):
        bound = kl_best_of_n(measured.best_of)
        kl = Estimate(bound, bound, bound, len(prompts))
    return PolicyResult(
        policy=policy,
        split=split,
        n_prompts=len(prompts),
        k=max(len(group) for group in groups),
        win_rate=over_prompts(wins),
        reward=part("total") or Estimate(float("nan"), None, None, 0),
        parts={name: cast("Estimate", part(name)) for name in names},
        kl=kl,
        length=cast("Estimate", over_prompts([[float(len(row["tokens"])) for row in group] for group in groups])),
        ead_per_input=estimate([v for v in per_input(ead, texts).values if v == v], measured.seed),
        ead_across=single(across_inputs(ead, texts), len(prompts)),
        sbert_per_input=estimate([v for v in per_input(embedding_diversity, vectors).values if v == v], measured.seed),
        sbert_across=single(across_inputs(embedding_diversity, vectors), len(prompts)),
    )


def estimate(values: Sequence[float], seed: int) -> Estimate | None:
    """Mean with a 95 % bootstrap interval; nothing for no values."""
    if not values:
        return None
    found = bootstrap_mean(values, seed=seed)
    return Estimate(found.value, found.low, found.high, found.n)


def single(value: float, n: int) -> Estimate | None:
    """A figure of the whole set, which has no interval; nothing where it is not defined."""
    return None if value != value else Estimate(value, None, None, n)
