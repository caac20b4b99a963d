"""BERTScore of outputs against their references (Zhang et al., arXiv 1904.09675), from token embeddings that the caller has.

Not rescaled. Encoder, layer and idf change the numbers: name them beside the figure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truing.evaluation.bertscore import Idf, greedy_match
from truing.evaluation.bertscore import idf as idf_of
from truing.evaluation.figure import Score
from truing.evaluation.output_scores import NO_OUTPUT, NO_REFERENCE, Output

F1 = "BERTScore F1"
EMPTY, NOT_EMBEDDED, CANCELLED = "empty output", "not embedded", "precision and recall cancel out"
NO_WEIGHT = "no token of weight"

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TokenEmbedding:
    """A text as an encoder reads it. Raises ValueError where the three differ in length."""

    vectors: NDArray[np.float32]
    """[tokens, dimensions]"""
    tokens: tuple[int, ...]
    """Their ids, which idf counts."""
    weights: NDArray[np.float32]
    """[tokens]: 0 for special tokens such as [CLS], 1 for the text's own."""

    def __post_init__(self) -> None:
        if not len(self.vectors) == len(self.tokens) == len(self.weights):
            sizes = f"{len(self.vectors)} vectors, {len(self.tokens)} ids and {len(self.weights)} weights"
            raise ValueError(f"{sizes}: give one of each for every token.")


def bert_scores(
    outputs: Iterable[Output], embedded: Mapping[str, TokenEmbedding], *, data: str, idf: bool = False
) -> list[Score]:
    """'BERTScore F1' of each output, against the reference that fits best; in [-1, 1].

    `embedded`: outputs and references by their text; an output that is absent there was not embedded, and so it says. An
    empty output has no tokens to compare and no value. `idf`: tokens weigh log((M + 1) / (df + 1)) over the M references of
    all items, each counted once an item. Blank references are none.
    """
    every = list(outputs)
    table = reference_idf(every, embedded) if idf else None
    found: list[Score] = []
    for output in every:
        value, reason = _best(output, embedded, table)
        found.append(Score(output.policy, data, "", output.item, "", F1, value, reason))
    return found


def reference_idf(outputs: Sequence[Output], embedded: Mapping[str, TokenEmbedding]) -> Idf | None:
    """The idf table of the outputs' references; None where none is embedded. Special tokens weigh 0 whatever it says of them."""
    references = dict.fromkeys((o.item, reference) for o in outputs for reference in o.references if reference.strip())
    documents = [embedded[text].tokens for _, text in references if text in embedded]
    return idf_of(documents) if documents else None


def _best(output: Output, embedded: Mapping[str, TokenEmbedding], table: Idf | None) -> tuple[float | None, str]:
    if output.text is None:
        return None, NO_OUTPUT
    references = [reference for reference in output.references if reference.strip()]
    if not references:
        return None, NO_REFERENCE
    if not output.text.strip():
        return None, EMPTY
    if output.text not in embedded:
        return None, NOT_EMBEDDED
    known = [reference for reference in references if reference in embedded]
    if not known:
        return None, f"reference {NOT_EMBEDDED}"
    answer = embedded[output.text]
    scores = [_score(answer, embedded[reference], table) for reference in known]
    defined = [score for score in scores if score is not None and not math.isnan(score)]
    if defined:
        return max(defined), ""
    return None, NO_WEIGHT if all(score is None for score in scores) else CANCELLED


def _score(answer: TokenEmbedding, reference: TokenEmbedding, table: Idf | None) -> float | None:
    """F1; None where a text has no token of weight, NaN where precision and recall cancel out."""
    found = greedy_match(
        answer.vectors.astype(np.float64),
        reference.vectors.astype(np.float64),
        answer_weights=_weights(answer, table),
        reference_weights=_weights(reference, table),
    )
    return None if math.isnan(found.precision) else found.f


def _weights(text: TokenEmbedding, table: Idf | None) -> FloatArray:
    own = text.weights.astype(np.float64)
    return own if table is None else own * table.weights(text.tokens)
