"""Overlap of an answer with reference answers."""

from collections.abc import Sequence
from functools import cache
from typing import Any


@cache
def _scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # pyright: ignore[reportMissingTypeStubs]

    return RougeScorer(["rougeL"], use_stemmer=True)


def rouge_l(answer: str, references: Sequence[str]) -> float:
    """ROUGE-L F1 (Lin 2004) with Porter's stemmer, in [0, 1], against the reference that it fits best.

    Raises ValueError where there is no reference.
    """
    if not references:
        raise ValueError("ROUGE-L compares with at least one reference answer")
    return max(float(_scorer().score(reference, answer)["rougeL"].fmeasure) for reference in references)
