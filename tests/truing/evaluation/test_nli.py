import math
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vector
from truing.evaluation.diversity import per_input
from truing.evaluation.nli import nli_diversity, ordered_pairs, released_nli_diversity, soft_nli_diversity

MNLI = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
CONTRADICTS, NEUTRAL, ENTAILS = [0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.05, 0.05, 0.9]


def test_reproduces_the_released_code() -> None:
    case = vector("kirk_nli_table_top1")
    rows = [[one["probs"][label] for label in MNLI.values()] for one in case["input"]["nli_probs_per_text"]]
    expected, tolerance = case["expected"], case["tolerance"]
    assert len(rows) == len(ordered_pairs(len(case["input"]["outputs"])))
    assert nli_diversity(rows, MNLI) == pytest.approx(expected["mean_r_(paper_scale)"], abs=tolerance)
    assert released_nli_diversity(rows, MNLI) == pytest.approx(expected["released_code_value"], abs=tolerance)
    # top_k = 3 of the released code is 1 - mean(p(C) - p(E))
    released_top_3 = 1 - soft_nli_diversity(rows, MNLI)
    assert released_top_3 == pytest.approx(expected["released_code_value_top_k3"], abs=tolerance)


def test_by_hand() -> None:
    # One pair. Top labels: contradiction .9, entailment .9: .9 - .9 = 0. Contradiction and neutral: .9 + 0.
    assert nli_diversity([CONTRADICTS, ENTAILS], MNLI) == pytest.approx(0.0)
    assert nli_diversity([CONTRADICTS, NEUTRAL], MNLI) == pytest.approx(0.9)
    # Soft, with p(C) - p(E): (.9 - .05) + (.3 - .2) = .95, where the top label alone says .9.
    assert soft_nli_diversity([CONTRADICTS, [0.3, 0.5, 0.2]], MNLI) == pytest.approx(0.95)


def test_contradiction_is_diverse_and_the_released_value_says_the_opposite() -> None:
    entailing, contradicting = [ENTAILS] * 6, [CONTRADICTS] * 6
    assert nli_diversity(entailing, MNLI) == pytest.approx(-1.8)
    assert nli_diversity(contradicting, MNLI) == pytest.approx(1.8)
    assert released_nli_diversity(entailing, MNLI) == pytest.approx(2.8)
    assert released_nli_diversity(contradicting, MNLI) == pytest.approx(-0.8)


@given(st.permutations(range(3)), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_the_order_of_labels_is_read_from_the_model(order: list[int], n: int, seed: int) -> None:
    rows = np.random.default_rng(seed).dirichlet([1, 1, 1], size=n * (n - 1))
    renamed = {str(new): MNLI[old].title() for new, old in enumerate(order)}
    assert nli_diversity(rows[:, order], renamed) == pytest.approx(nli_diversity(rows, MNLI))
    assert soft_nli_diversity(rows[:, order], renamed) == pytest.approx(soft_nli_diversity(rows, MNLI))


@given(st.integers(2, 5), st.integers(0, 2**32 - 1))
def test_it_is_the_mean_over_unordered_pairs(n: int, seed: int) -> None:
    rows = np.random.default_rng(seed).dirichlet([1, 1, 1], size=n * (n - 1))
    signed = [float(row.max()) * (1, 0, -1)[int(row.argmax())] for row in rows]
    s = dict(zip(ordered_pairs(n), signed, strict=True))
    by_pairs = fmean(s[i, j] + s[j, i] for i, j in combinations(range(n), 2))
    assert nli_diversity(rows, MNLI) == pytest.approx(by_pairs)


def test_every_direction_is_listed_once_beside_its_reverse() -> None:
    assert ordered_pairs(3) == [(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]
    assert ordered_pairs(1) == ordered_pairs(0) == []


def test_of_equally_likely_labels_the_first_column_counts() -> None:
    assert nli_diversity([[0.4, 0.2, 0.4]] * 2, MNLI) == pytest.approx(0.8)


def test_less_than_a_pair_is_undefined_and_counted() -> None:
    assert math.isnan(nli_diversity([], MNLI))
    assert math.isnan(soft_nli_diversity(np.empty((0, 3)), MNLI))
    assert math.isnan(released_nli_diversity([], MNLI))
    figures = per_input(lambda rows: nli_diversity(rows, MNLI), [[CONTRADICTS] * 2, []])
    assert (figures.mean, figures.skipped) == (pytest.approx(1.8), 1)


@pytest.mark.parametrize(
    "labels",
    [
        {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"},
        {0: "entailment", 1: "not_entailment"},
        {1: "contradiction", 2: "neutral", 3: "entailment"},
        {0: "neutral", 1: "neutral", 2: "entailment"},
    ],
)
def test_labels_that_are_not_the_three_are_refused(labels: dict[int, str]) -> None:
    with pytest.raises(ValueError, match="name columns 0, 1, 2 contradiction, neutral and entailment"):
        nli_diversity([CONTRADICTS] * 2, labels)


@pytest.mark.parametrize("row", [[math.nan, 0.5, 0.5], [2.0, -1.0, 0.0], [3.1, 0.2, -2.0], [0.1, 0.1, 0.1]])
def test_failed_pairs_and_logits_are_refused(row: list[float]) -> None:
    with pytest.raises(ValueError, match="1 of 2 rows are no probabilities"):
        nli_diversity([CONTRADICTS, row], MNLI)


@pytest.mark.parametrize("rows", [[CONTRADICTS], [[0.5, 0.5]] * 2, [0.9, 0.05, 0.05]])
def test_a_missing_direction_or_class_is_refused(rows: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="both directions of every pair"):
        nli_diversity(rows, MNLI)
