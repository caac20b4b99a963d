"""BERTScore (Zhang et al., arXiv 1904.09675): each token's likeness to the token of the other text that is most like it.

The embeddings are the caller's, and so is the weight 0 for [CLS] and [SEP]. Model, layer, idf and rescaling change the
numbers: name them beside the figure.
"""

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Rows = FloatArray | Sequence[Sequence[float]]

BLOCK = 1024
"""Tokens of the answer that are compared at a time: the cosines of 25,000 with 25,000 tokens would take 5 GB."""


@dataclass(frozen=True, slots=True)
class BertScore:
    """Cosines in [-1, 1], not rescaled. All NaN where a text has no token of weight; `f` where the two cancel out."""

    precision: float
    recall: float
    f: float


@dataclass(frozen=True, slots=True)
class Idf:
    """Inverse document frequencies: log((documents + 1) / (df + 1)), of a token no document has with df = 0."""

    documents: int
    frequencies: Mapping[Hashable, int]

    def weights(self, tokens: Sequence[Hashable]) -> FloatArray:
        """Weight of each token, in nats; one that every document has weighs 0."""
        df = np.array([self.frequencies.get(token, 0) for token in tokens], dtype=np.float64)
        return np.log((self.documents + 1) / (df + 1))


def idf(references: Sequence[Sequence[Hashable]]) -> Idf:
    """The table of the references, each given as its tokens: in how many of them each token is (§3, with plus-one
    smoothing). Raises ValueError where there is no reference.
    """
    if not references:
        raise ValueError("idf weights come from references: give one at least, or no weights at all.")
    return Idf(len(references), Counter(token for reference in references for token in set(reference)))


def greedy_match(
    answer: Rows, reference: Rows, *, answer_weights: Sequence[float] | FloatArray | None = None,
    reference_weights: Sequence[float] | FloatArray | None = None,
) -> BertScore:  # fmt: skip
    """Precision sum_i w_i max_j cos(a_i, r_j) / sum_i w_i over tokens of the answer, recall likewise over the reference's.

    `answer` and `reference` are token embeddings [tokens, dimensions] of any length; a vector of zeros has cosine 0.
    Weights, one a token (1 where None), count a token down; a token of weight 0 can still be another's match, as in the
    paper's code. Raises ValueError where embeddings are not finite or differ in dimensions, or weights do not fit.
    """
    directions = [_directions(rows) for rows in (answer, reference)]
    weights = [
        _weights(given, len(rows)) for given, rows in zip((answer_weights, reference_weights), directions, strict=True)
    ]
    if not all(weight.sum() > 0 for weight in weights):
        return BertScore(math.nan, math.nan, math.nan)
    if directions[0].shape[1] != directions[1].shape[1]:
        raise ValueError("answer and reference differ in dimensions: embed both with the same model and layer.")
    best = _best_cosines(*directions)
    precision, recall = (float(np.average(cosines, weights=w)) for cosines, w in zip(best, weights, strict=True))
    return BertScore(precision, recall, _harmonic(precision, recall))


def _harmonic(precision: float, recall: float) -> float:
    if precision == recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else math.nan


def _best_cosines(answer: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    of_answer = np.empty(len(answer))
    of_reference = np.full(len(reference), -np.inf)
    for start in range(0, len(answer), BLOCK):
        cosines = answer[start : start + BLOCK] @ reference.T
        of_answer[start : start + BLOCK] = cosines.max(axis=1)
        of_reference = np.maximum(of_reference, cosines.max(axis=0))
    return of_answer, of_reference


def _directions(rows: Rows) -> FloatArray:
    matrix = np.asarray(rows, dtype=np.float64)
    if not len(matrix):
        return np.empty((0, 0))
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise ValueError(f"expected finite embeddings [tokens, dimensions], got shape {matrix.shape} or NaN in it.")
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.divide(matrix, lengths, out=np.zeros_like(matrix), where=lengths > 0)


def _weights(given: Sequence[float] | FloatArray | None, tokens: int) -> FloatArray:
    weights = np.ones(tokens) if given is None else np.asarray(given, dtype=np.float64)
    if weights.shape != (tokens,) or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(f"weights of shape {weights.shape} for {tokens} tokens: give each token a finite weight >= 0.")
    return weights
