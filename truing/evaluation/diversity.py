"""Diversity of a set of outputs (Kirk et al., arXiv 2310.06452): higher is more diverse.

A metric takes the K outputs of a set and returns a float. `per_input` applies it to the outputs of each prompt,
`across_inputs` to the first output of every prompt: a policy can keep the one and lose the other.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Output = TypeVar("Output")
Outputs = TypeVar("Outputs")

VOCABULARY = 50257
"""GPT-2's vocabulary: V of EAD for every n and every model, so that figures compare."""
ORDERS = range(1, 6)
"""n of the n-grams that `ead` and `distinct` average over."""


def words(text: str) -> list[str]:
    """Words as the paper's code cuts them: "." and newlines deleted (not replaced), split at single spaces.

    Case, other punctuation and tabs are kept: "3.14" is "314", and "beta\\ngamma" is one word.
    """
    return [word for word in text.replace(".", "").replace("\n", "").split(" ") if word]


def ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """All runs of n consecutive words of one output; none where it is shorter. Raises ValueError for n < 1."""
    if n < 1:
        raise ValueError(f"n = {n}: an n-gram has at least one word.")
    tokens = words(text)
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def distinct_n(outputs: Sequence[str], n: int) -> float:
    """Distinct n-grams over all n-grams of the pooled outputs, in [0, 1]; 0.0 where there are none (Li et al. 2016)."""
    pooled = _pooled(outputs, n)
    return len(set(pooled)) / len(pooled) if pooled else 0.0


def ead_n(outputs: Sequence[str], n: int) -> float:
    """Expectation-adjusted distinct n-grams: N / (V (1 - ((V-1)/V)^C)) for N distinct of C pooled n-grams.

    Liu et al., arXiv 2202.13587. 0.0 where there are no n-grams. Above 1 where most n-grams are distinct and C nears V,
    which is the same for every n: 1.58 for C = V distinct ones. Long outputs thus gain by their length alone.
    """
    pooled = _pooled(outputs, n)
    if not pooled:
        return 0.0
    expected = -VOCABULARY * math.expm1(len(pooled) * math.log1p(-1 / VOCABULARY))
    return len(set(pooled)) / expected


def distinct(outputs: Sequence[str]) -> float:
    """Mean of `distinct_n` over n = 1..5; an n without n-grams counts as 0."""
    return fmean(distinct_n(outputs, n) for n in ORDERS)


def ead(outputs: Sequence[str]) -> float:
    """Mean of `ead_n` over n = 1..5; an n without n-grams (outputs shorter than n words) counts as 0.

    Policies of different length compare only with `distinct` beside it, or on outputs cut to the same number of words.
    """
    return fmean(ead_n(outputs, n) for n in ORDERS)


def ngram_cosine_diversity(outputs: Sequence[str], n: int = 3) -> float:
    """1 - mean pairwise cosine of n-gram counts, in [0, 1]; NaN for fewer than two outputs.

    Outputs without a common n-gram are at distance 1, and so are two that have none at all, identical or not.
    """
    summed: defaultdict[tuple[str, ...], float] = defaultdict(float)
    n_directions = 0
    for output in outputs:
        counts = Counter(ngrams(output, n))
        length = math.hypot(*counts.values())
        n_directions += bool(counts)
        for gram, count in counts.items():
            summed[gram] += count / length
    squared_sum = math.fsum(weight * weight for weight in summed.values())
    return _one_minus_mean_cosine(squared_sum, n_directions, len(outputs))


def embedding_diversity(embeddings: FloatArray | Sequence[FloatArray]) -> float:
    """1 - mean pairwise cosine of `embeddings` [outputs, dimensions], in [0, 2]; NaN for fewer than two rows.

    The paper's Sentence-BERT diversity, given the embeddings. A row of zeros has cosine 0 to every other row.
    Raises ValueError where `embeddings` is not a matrix of finite numbers.
    """
    if len(embeddings) < 2:
        return math.nan
    matrix = np.asarray(embeddings, dtype=np.float64)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise ValueError(f"expected finite embeddings [outputs, dimensions], got shape {matrix.shape} or NaN in it.")
    lengths = np.linalg.norm(matrix, axis=1)
    directions = matrix[lengths > 0] / lengths[lengths > 0, None]
    summed = directions.sum(axis=0)
    return _one_minus_mean_cosine(float(summed @ summed), len(directions), len(matrix))


@dataclass(frozen=True)
class PerInput:
    """A metric over inputs: mean and population standard deviation (ddof = 0) of the `values` that are defined.

    `values` follows the order of the inputs; `skipped` counts inputs whose value is NaN (one output has no pair).
    """

    mean: float
    std: float
    values: tuple[float, ...]
    skipped: int


def per_input(metric: Callable[[Outputs], float], outputs_by_input: Sequence[Outputs]) -> PerInput:
    """`metric` of each input's own outputs, then mean and spread over inputs: the paper's per-input diversity.

    Raises ValueError where no input has a defined value.
    """
    values = [metric(outputs) for outputs in outputs_by_input]
    defined = tuple(value for value in values if not math.isnan(value))
    if not defined:
        raise ValueError(
            f"diversity is undefined on all {len(values)} inputs: sample two or more outputs for each input."
        )
    return PerInput(float(np.mean(defined)), float(np.std(defined)), defined, len(values) - len(defined))


def across_inputs(metric: Callable[[Sequence[Output]], float], outputs_by_input: Sequence[Sequence[Output]]) -> float:
    """`metric` once, on the set of every input's first output: the paper's across-input diversity.

    Raises ValueError where an input has no output.
    """
    empty = sum(len(outputs) == 0 for outputs in outputs_by_input)
    if empty:
        raise ValueError(f"{empty} of {len(outputs_by_input)} inputs have no output: drop them, and report how many.")
    return metric([outputs[0] for outputs in outputs_by_input])


def _pooled(outputs: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return [gram for output in outputs for gram in ngrams(output, n)]


def _one_minus_mean_cosine(squared_sum: float, n_directions: int, n: int) -> float:
    """1 - mean of u_i.u_j over the n(n-1)/2 pairs, given |sum_i u_i|^2 = sum_i |u_i|^2 + 2 sum_{i<j} u_i.u_j.

    `n_directions` of the n vectors u have length 1, the others 0. One sum instead of all pairs.
    """
    return 1 - (squared_sum - n_directions) / (n * (n - 1)) if n > 1 else math.nan
