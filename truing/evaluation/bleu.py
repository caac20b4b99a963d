"""BLEU (Papineni et al. 2002) and chrF (Popović 2015) of answers against reference answers, by sacrebleu, in [0, 100]."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap_where_defined

Tokens = Literal["13a", "intl", "zh", "char", "none"]
"""How sacrebleu cuts words. "13a" leaves text without spaces whole: "zh" for Chinese, "char" for any script."""

ORDER = 4
"""Longest n-gram of BLEU."""


@dataclass(frozen=True, slots=True)
class CorpusBleu:
    """`interval` over answers, or None where no answer has four tokens: BLEU is then undefined, and sacrebleu says 0.

    `empty` answers are among its n: they shorten the corpus. `signature` is sacrebleu's, to be given with the figure.
    """

    interval: Interval | None
    empty: int
    signature: str


def sentence_bleu(answer: str, references: Sequence[str], *, tokenize: Tokens = "13a") -> float:
    """BLEU of one answer, exponential smoothing, effective order: n-grams longer than the answer are not counted.

    0.0 for an empty answer; NaN where all references are blank. The mean of sentences is not the BLEU of the corpus.
    Raises ValueError where there is no reference.
    """
    from sacrebleu.metrics.bleu import BLEU

    filled = _filled(references)
    if not filled:
        return math.nan
    return min(100.0, BLEU(tokenize=tokenize, effective_order=True).sentence_score(answer, filled).score)


def sentence_chrf(answer: str, references: Sequence[str]) -> float:
    """chrF2 of one answer: F with recall weighted double, over 1- to 6-grams of characters, spaces left out.

    Needs no words, so it serves every script. 0.0 for an empty answer; NaN where all references are blank.
    Raises ValueError where there is no reference.
    """
    from sacrebleu.metrics.chrf import CHRF

    filled = _filled(references)
    return CHRF().sentence_score(answer, filled).score if filled else math.nan


def corpus_bleu(
    answers: Sequence[str], references: Sequence[Sequence[str]], *, tokenize: Tokens = "13a", seed: int = 0
) -> CorpusBleu:
    """BLEU of all answers as one corpus (no mean of sentences), exponential smoothing, with its bootstrap interval.

    `references[i]` are those of answer i, any number of them; blank ones are left out. Resampled are answers.
    Raises ValueError where there are no answers, lengths differ, or an answer has no reference that is not blank.
    """
    from sacrebleu.metrics.bleu import BLEU

    if not answers or len(answers) != len(references):
        raise ValueError(f"{len(answers)} answers with {len(references)} lists of references: give one list an answer.")
    filled = [_filled(some) for some in references]
    bare = sum(not some for some in filled)
    if bare:
        raise ValueError(
            f"{bare} of {len(answers)} answers have blank references only: drop them, and report how many."
        )
    corpus = BLEU(tokenize=tokenize)
    corpus.corpus_score(answers, list(zip_longest(*filled)))  # for the signature, which knows the number of references
    interval = bootstrap_where_defined(_bleu, *_statistics(answers, filled, tokenize), seed=seed)
    return CorpusBleu(interval, sum(not answer.strip() for answer in answers), str(corpus.get_signature()))


def _statistics(answers: Sequence[str], references: list[list[str]], tokenize: Tokens) -> NDArray[np.float64]:
    """[2 + 2 ORDER, answers]: length, length of the closest reference, n-grams found, n-grams in all."""
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(tokenize=tokenize, effective_order=True)
    scores = [bleu.sentence_score(answer, some) for answer, some in zip(answers, references, strict=True)]
    return np.array([[s.sys_len, s.ref_len, *s.counts, *s.totals] for s in scores], dtype=np.float64).T


def _bleu(*statistics: NDArray[np.float64]) -> float:
    from sacrebleu.metrics.bleu import BLEU

    length, reference_length, *counts = [int(column.sum()) for column in statistics]
    found, total = counts[:ORDER], counts[ORDER:]
    if not total[-1]:
        return math.nan
    bleu: Any = BLEU
    return min(100.0, float(bleu.compute_bleu(found, total, length, reference_length, smooth_method="exp").score))


def _filled(references: Sequence[str]) -> list[str]:
    if not references:
        raise ValueError("BLEU and chrF compare with at least one reference answer")
    return [reference for reference in references if reference.strip()]
