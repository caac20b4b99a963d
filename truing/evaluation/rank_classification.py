"""Rank classification: the answer is the choice of highest likelihood (FLAN, Wei et al., arXiv 2109.01652, §2.3).

What the likelihood is divided by changes the answer, so every figure names it. The names are those of the
lm-evaluation-harness (Gao et al. 2021).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from truing.algorithms.statistics import Interval, bootstrap_mean

Normalisation = Literal["acc", "acc_norm", "acc_bytes", "acc_mutual_info"]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One item: its choices, ln P(choice | question) of each in nats, and the indices of those that are correct.

    `unconditional`: ln P(choice) without the question, for mutual information alone.
    """

    choices: tuple[str, ...]
    loglikelihoods: tuple[float, ...]
    correct: frozenset[int]
    unconditional: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.choices)
        if n == 0 or len(self.loglikelihoods) != n or len(self.unconditional or self.choices) != n:
            raise ValueError(f"an item of {n} choices needs a log-likelihood for each, and at least one choice.")
        if not self.correct or not self.correct <= set(range(n)):
            raise ValueError(f"correct choices {sorted(self.correct)} of {n}: name one or more, counted from 0.")


@dataclass(frozen=True, slots=True)
class RankAccuracy:
    """Accuracy under one `normalisation`, with its bootstrap interval and n items.

    `standard_error` is the sample deviation (ddof = 1) over sqrt n, NaN for one item. `ties` items have several choices
    of the highest score, of which the first counts. `missing` items have a score that is not a number, or none above
    -inf: they are in no other figure.
    """

    normalisation: Normalisation
    accuracy: Interval
    standard_error: float
    ties: int
    missing: int


def scores(item: Ranked, normalisation: Normalisation) -> list[float]:
    """What the choices are ranked by.

    acc: ln P(c | x). acc_norm: over the characters of c. acc_bytes: over its UTF-8 bytes. acc_mutual_info:
    ln P(c | x) - ln P(c). Characters and bytes are those of the choice, without the space before it.
    Raises ValueError for an empty choice under acc_norm or acc_bytes, or where acc_mutual_info has no ln P(c).
    """
    return SCORES[normalisation](item)


def pick(ranked: Sequence[float]) -> int | None:
    """Index of the highest score, of equal ones the first; None where one is not a number or none is above -inf."""
    if not ranked or any(math.isnan(score) or score == math.inf for score in ranked) or max(ranked) == -math.inf:
        return None
    return ranked.index(max(ranked))


def probabilities(loglikelihoods: Sequence[float]) -> list[float]:
    """Softmax over the choices: P(c | x) / sum P. All NaN where `pick` is None."""
    if pick(loglikelihoods) is None:
        return [math.nan] * len(loglikelihoods)
    shifted = np.exp(np.asarray(loglikelihoods, np.float64) - max(loglikelihoods))
    return (shifted / shifted.sum()).tolist()


def rank_accuracy(items: Sequence[Ranked], normalisation: Normalisation, *, seed: int) -> RankAccuracy:
    """Share of the items whose first highest choice is a correct one. `seed` is that of the bootstrap.

    Raises ValueError where no item can be ranked, and as `scores`.
    """
    ranked = [(item, scores(item, normalisation)) for item in items]
    picked = [(item, found, pick(found)) for item, found in ranked]
    defined = [(item, found, chosen) for item, found, chosen in picked if chosen is not None]
    if not defined:
        raise ValueError(f"none of {len(items)} items can be ranked by {normalisation}: there is no accuracy.")
    hits = np.array([float(chosen in item.correct) for item, _, chosen in defined])
    return RankAccuracy(
        normalisation,
        accuracy=bootstrap_mean(hits, seed=seed),
        standard_error=float(hits.std(ddof=1)) / math.sqrt(len(hits)) if len(hits) > 1 else math.nan,
        ties=sum(found.count(max(found)) > 1 for _, found, _ in defined),
        missing=len(items) - len(defined),
    )


def _likelihood(item: Ranked) -> list[float]:
    return list(item.loglikelihoods)


def _a_character(item: Ranked) -> list[float]:
    return _divided(item, [len(choice) for choice in item.choices])


def _a_byte(item: Ranked) -> list[float]:
    return _divided(item, [len(choice.encode()) for choice in item.choices])


def _mutual_information(item: Ranked) -> list[float]:
    if item.unconditional is None:
        raise ValueError("acc_mutual_info needs the log-likelihood of each choice without the question as well.")
    return [given - alone for given, alone in zip(item.loglikelihoods, item.unconditional, strict=True)]


def _divided(item: Ranked, lengths: Sequence[int]) -> list[float]:
    if 0 in lengths:
        raise ValueError(f"choice {lengths.index(0)} of {list(item.choices)} is empty: it has no length; use acc.")
    return [likelihood / length for likelihood, length in zip(item.loglikelihoods, lengths, strict=True)]


SCORES: Mapping[Normalisation, Callable[[Ranked], list[float]]] = MappingProxyType(
    {
        "acc": _likelihood,
        "acc_norm": _a_character,
        "acc_bytes": _a_byte,
        "acc_mutual_info": _mutual_information,
    }
)
