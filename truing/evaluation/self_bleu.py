"""Self-BLEU (Zhu et al., arXiv 1802.01886; Llama 2, arXiv 2307.09288, §5.1): LOWER is more diverse.

BLEU of each output against all others of its set, then the mean. Llama 2 gives no BLEU variant: two are offered, and on
texts that share little they differ twofold. Never compare one with the other, nor sets of different K: it rises with K.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any


@dataclass(frozen=True, slots=True)
class SelfBleu:
    """`value` over the `k` outputs that are not blank; NaN for k < 2. `empty` blank ones are in no figure."""

    value: float
    k: int
    empty: int


def self_bleu_sacrebleu(outputs: Sequence[str]) -> SelfBleu:
    """Self-BLEU in [0, 100]: sacrebleu's sentence BLEU, 13a tokens, exponential smoothing, effective order.

    Identical outputs give 100 at any length. Text without spaces (Chinese) is one token.
    """
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(tokenize="13a", smooth_method="exp", effective_order=True)
    return _self_bleu(outputs, lambda output, others: min(100.0, bleu.sentence_score(output, others).score))


def self_bleu_nltk(outputs: Sequence[str]) -> SelfBleu:
    """Self-BLEU in [0, 1]: NLTK's sentence BLEU over whitespace tokens, smoothing method 1 (epsilon = 0.1).

    An output of fewer than four words has no 4-gram, which counts as one that is not found: identical outputs of two
    words give .316, not 1.
    """
    import nltk.translate.bleu_score as module  # pyright: ignore[reportMissingTypeStubs]

    nltk_bleu: Any = module
    smoothing = nltk_bleu.SmoothingFunction().method1

    def bleu(output: str, others: list[str]) -> float:
        references = [other.split() for other in others]
        return float(nltk_bleu.sentence_bleu(references, output.split(), smoothing_function=smoothing))

    return _self_bleu(outputs, bleu)


def _self_bleu(outputs: Sequence[str], bleu: Callable[[str, list[str]], float]) -> SelfBleu:
    """A blank output has no BLEU; as a reference it would only shorten the shortest one."""
    filled = [output for output in outputs if output.strip()]
    scores = [bleu(output, filled[:i] + filled[i + 1 :]) for i, output in enumerate(filled)] if len(filled) > 1 else []
    return SelfBleu(fmean(scores) if scores else math.nan, len(filled), len(outputs) - len(filled))
