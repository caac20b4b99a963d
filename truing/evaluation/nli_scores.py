"""Diversity scores from a natural language inference model's reading of pairs of outputs (Kirk et al., arXiv 2310.06452).

The model is asked elsewhere: `wanted_pairs` says what, `nli_scores` takes its answers. n outputs of a set are n(n-1)
questions: K outputs of each of N prompts cost N K(K-1), and the first outputs of all N cost N(N-1), which for the paper's
N = 500 is 249,500. Across inputs is therefore over `most` prompts, drawn by the content hash of the item: the same ones
whenever, wherever and of whichever policy it is asked, as long as it has answered them.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from truing.evaluation.figure import Score
from truing.evaluation.nli import nli_diversity, ordered_pairs
from truing.evaluation.output_scores import Output
from truing.evaluation.set_scores import (
    TOO_FEW,
    WITHOUT_IT,
    Found,
    WholeSet,
    count_empty,
    counted,
    first_texts,
    noted,
    set_scores,
    texts_by_policy,
)
from truing.records import content_id

NAME = "NLI"
MOST = 24
"""Prompts across which a set is compared: 552 questions."""
UNJUDGED = "none of its pairs was judged"

Pair = tuple[str, str]
"""Premise and hypothesis."""
Probabilities = Mapping[Pair, Sequence[float]]
"""P(label) [3] of each pair; one that was not judged is absent."""
Labels = Mapping[int, str] | Mapping[str, str]
"""A model's `id2label`."""


def drawn(items: Iterable[str], most: int) -> list[str]:
    """`most` of the items, those of the least content hash, in the order in which they were given; all where there are fewer.

    Raises ValueError for most < 2: a set has a pair at least.
    """
    if most < 2:
        raise ValueError(f"most = {most}: diversity across inputs takes two prompts or more.")
    every = list(dict.fromkeys(items))
    kept = set(sorted(every, key=lambda item: (content_id(NAME, item), item))[:most])
    return [item for item in every if item in kept]


def wanted_pairs(outputs: Iterable[Output], *, most: int = MOST) -> list[Pair]:
    """The distinct pairs that `nli_scores` of the same outputs reads, each in both directions. Raises as `drawn`."""
    pairs: dict[Pair, None] = {}
    for by_item in texts_by_policy(outputs).values():
        firsts = first_texts(by_item)
        for texts in (*by_item.values(), [firsts[item] for item in drawn(firsts, most)]):
            pairs |= dict.fromkeys((texts[i], texts[j]) for i, j in ordered_pairs(len(texts)))
    return list(pairs)


def nli_scores(
    outputs: Iterable[Output], probabilities: Probabilities, id2label: Labels, *, data: str, most: int = MOST
) -> list[Score]:
    """`nli_diversity` in [-2, 2] of each prompt's outputs, 'NLI per input', and of first outputs, 'NLI across inputs'.

    A prompt of which a pair was not judged has no value per input. Across inputs is the mean over the pairs that were, and
    its note counts the others; an output without any such pair is missing. The note says so where not all prompts are in it.
    Raises ValueError for probabilities and labels that `nli_diversity` refuses, or as `drawn`.
    """
    of_input = partial(_of_input, probabilities=probabilities, id2label=id2label)
    of_set = partial(_of_set, probabilities=probabilities, id2label=id2label, most=most)
    return set_scores(outputs, NAME, of_input, of_set, data=data)


def _of_input(texts: Sequence[str], probabilities: Probabilities, id2label: Labels) -> Found:
    pairs = [(texts[i], texts[j]) for i, j in ordered_pairs(len(texts))]
    rows = [probabilities[pair] for pair in pairs if pair in probabilities]
    if len(rows) < len(pairs):
        return None, "with a pair not judged"
    return nli_diversity(rows, id2label), ""


def _of_set(firsts: Mapping[str, str], probabilities: Probabilities, id2label: Labels, most: int) -> WholeSet:
    """With r the score of a pair: the mean of r, and without output i (sum r - sum_j r(i, j)) / (pairs - pairs of i)."""
    items = drawn(firsts, most)
    n = len(items)
    if n < 2:
        return WholeSet(None, TOO_FEW, {})
    scores = np.full((n, n), np.nan)
    for i, j in ordered_pairs(n):
        one, two = firsts[items[i]], firsts[items[j]]
        if i < j and (one, two) in probabilities and (two, one) in probabilities:
            rows = [probabilities[one, two], probabilities[two, one]]
            scores[i, j] = scores[j, i] = nli_diversity(rows, id2label)
    sums, pairs = np.nansum(scores, axis=1), np.isfinite(scores).sum(axis=1)
    whole, judged = float(sums.sum()) / 2, int(pairs.sum()) // 2
    every = n * (n - 1) // 2
    if not judged:
        return WholeSet(None, f"none of its {every} pairs was judged", {})
    left: dict[str, Found] = {}
    for item, own, own_pairs in zip(items, sums.tolist(), pairs.tolist(), strict=True):
        if not own_pairs:
            left[item] = None, UNJUDGED
        elif own_pairs == judged:
            left[item] = None, WITHOUT_IT
        else:
            left[item] = (whole - own) / (judged - own_pairs), ""
    draw = f"{n} of {len(firsts)} prompts, drawn by their hash" if n < len(firsts) else ""
    unjudged = counted(every - judged, every, "pairs not judged")
    return WholeSet(whole / judged, noted(draw, unjudged, count_empty(firsts[item] for item in items)), left)
