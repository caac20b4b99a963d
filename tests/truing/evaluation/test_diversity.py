import gzip
import json
import math
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.shared import shared_data
from tests.vectors import vector
from truing.evaluation.diversity import (
    across_inputs,
    distinct,
    distinct_n,
    ead,
    ead_n,
    embedding_diversity,
    ngram_cosine_diversity,
    ngrams,
    per_input,
    words,
)

FloatArray = NDArray[np.float64]
Metric = Callable[[Sequence[str]], float]

outputs = st.lists(st.text(alphabet="ab .\n", max_size=30), min_size=2, max_size=6)
METRICS = [distinct, ead, ngram_cosine_diversity]


@pytest.mark.parametrize("name", ["going", "identical3", "single", "case", "punct", "tab", "empty"])
def test_ngram_metrics_reproduce_the_released_code(name: str) -> None:
    case = vector(f"kirk_ead_{name}")
    texts, expected, tolerance = case["input"], case["expected"], case["tolerance"]
    assert [distinct_n(texts, n) for n in range(1, 6)] == pytest.approx(expected["distinct_by_n"], abs=tolerance)
    assert [ead_n(texts, n) for n in range(1, 6)] == pytest.approx(expected["ead_by_n"], abs=tolerance)
    assert distinct(texts) == pytest.approx(expected["distinct_avg"], abs=tolerance)
    assert ead(texts) == pytest.approx(expected["ead"], abs=tolerance)
    cosine = expected["ngram_cosine_div_n3"]
    cosine = math.nan if cosine is None else cosine
    assert ngram_cosine_diversity(texts) == pytest.approx(cosine, abs=tolerance, nan_ok=True)


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (distinct, "averaged_distinct_ngrams"),
        (ead, "ead_averaged_distinct_ngrams"),
        (ngram_cosine_diversity, "cosine_similarity_2d_diversity"),
    ],
)
def test_sets_reproduce_the_released_code(metric: Metric, name: str) -> None:
    case = vector("kirk_sets_3x3")
    sets, expected, tolerance = case["input"], case["expected"], case["tolerance"]
    figures = per_input(metric, sets)
    assert figures.mean == pytest.approx(expected[f"mean_per_input_{name}"], abs=tolerance)
    assert figures.std == pytest.approx(expected[f"std_per_input_{name}"], abs=tolerance)
    assert across_inputs(metric, sets) == pytest.approx(expected[f"overall_single_output_{name}"], abs=tolerance)
    pooled = [text for texts in sets for text in texts]
    assert metric(pooled) == pytest.approx(expected[f"overall_{name}"], abs=tolerance)


def test_words_are_cut_as_the_released_code_cuts_them() -> None:
    assert words("Hello, world!  e.g. 3.14") == ["Hello,", "world!", "eg", "314"]
    assert words("beta\ngamma a\tb") == ["betagamma", "a\tb"]
    assert words(" . \n") == []


def test_ngrams_stay_within_an_output() -> None:
    assert ngrams("a b c", 2) == [("a", "b"), ("b", "c")]
    assert ngrams("a b", 3) == []
    with pytest.raises(ValueError, match="at least one word"):
        ngrams("a b", 0)


def test_ead_corrects_where_the_count_nears_the_vocabulary() -> None:
    # V = 50257 words drawn, all distinct: expected distinct = V (1 - (1 - 1/V)^V) = V (1 - 1/e), so EAD = 1/(1 - 1/e).
    text = " ".join(str(i) for i in range(50257))
    assert distinct_n([text], 1) == 1.0
    assert ead_n([text], 1) == pytest.approx(1 / (1 - 1 / math.e), rel=1e-4)


@pytest.mark.parametrize("metric", METRICS)
@given(texts=outputs, data=st.data())
def test_order_of_outputs_does_not_matter(metric: Metric, texts: list[str], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(texts))
    assert metric(shuffled) == pytest.approx(metric(texts), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_identical_outputs_are_the_least_diverse(metric: Metric) -> None:
    text = "one two three four five six"
    same, others = [text] * 3, [text, "one two three four seven eight", "nine ten eleven twelve one two"]
    assert metric(same) < metric([text, text, others[2]]) < metric(others)


@given(st.text(alphabet="abc ", min_size=0, max_size=40).filter(lambda text: len(words(text)) >= 3), st.integers(2, 5))
def test_ngram_cosine_of_identical_outputs_is_zero(text: str, k: int) -> None:
    assert ngram_cosine_diversity([text] * k) == pytest.approx(0.0, abs=1e-12)


def test_ngram_cosine_by_hand() -> None:
    # 1-grams a,b | a,c | d: cosines 1/2, 0, 0, so 1 - (1/2)/3 = 5/6. Without any 3-gram, even twins are at distance 1.
    assert ngram_cosine_diversity(["a b", "a c", "d"], n=1) == pytest.approx(5 / 6)
    assert ngram_cosine_diversity(["a b", "a b"]) == 1.0


def test_embedding_diversity_reproduces_the_vector() -> None:
    # cosines 0, 1/sqrt 2, 1/sqrt 2: 1 - sqrt(2)/3
    case = vector("sbert_2d")
    assert embedding_diversity(np.array(case["input"]["embeddings"], dtype=float)) == pytest.approx(
        case["expected"], abs=case["tolerance"]
    )


@given(
    arrays(np.float64, st.tuples(st.integers(2, 6), st.just(3)), elements=st.floats(-10, 10).map(lambda x: round(x, 3)))
)
def test_embedding_diversity_is_one_minus_the_mean_over_pairs(embeddings: FloatArray) -> None:
    def cosine(a: FloatArray, b: FloatArray) -> float:
        lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
        return float(a @ b) / lengths if lengths else 0.0

    by_pairs = 1 - fmean(cosine(a, b) for a, b in combinations(embeddings, 2))
    assert embedding_diversity(embeddings) == pytest.approx(by_pairs, abs=1e-9)


def test_embedding_diversity_of_less_than_a_pair_is_undefined() -> None:
    assert math.isnan(embedding_diversity(np.ones((1, 3))))
    assert math.isnan(embedding_diversity([]))
    with pytest.raises(ValueError, match="finite embeddings"):
        embedding_diversity(np.array([[1.0, math.nan], [0.0, 1.0]]))


def test_inputs_without_a_pair_are_skipped_and_counted() -> None:
    twins, strangers, alone = np.array([[1.0, 0.0]] * 2), np.eye(2), np.ones((1, 2))
    figures = per_input(embedding_diversity, [twins, alone, strangers])
    # values 0 and 1: mean 1/2, population standard deviation 1/2 (ddof = 1 would give .707)
    assert figures.values == pytest.approx((0.0, 1.0))
    assert (figures.mean, figures.std, figures.skipped) == pytest.approx((0.5, 0.5, 1))
    # first rows (1,0), (1,1), (1,0): cosines 1/sqrt 2, 1, 1/sqrt 2
    assert across_inputs(embedding_diversity, [list(twins), list(alone), list(strangers)]) == pytest.approx(
        1 - (1 + math.sqrt(2)) / 3
    )


def test_sets_without_a_figure_are_errors() -> None:
    with pytest.raises(ValueError, match="undefined on all 2 inputs"):
        per_input(ngram_cosine_diversity, [["a"], ["b"]])
    with pytest.raises(ValueError, match="1 of 2 inputs have no output"):
        across_inputs(ead, [["a"], []])


# --- what degenerate sets are given ----------------------------------------------------------------


def test_one_output_has_no_pair_and_its_own_ngrams() -> None:
    # 1 of 1 for n = 1..3, no 4- or 5-gram: 3/5
    assert distinct(["a b c"]) == pytest.approx(3 / 5)
    assert math.isnan(ngram_cosine_diversity(["a b c"]))
    assert math.isnan(ngram_cosine_diversity([]))
    assert distinct([]) == ead([]) == 0.0


def test_an_empty_output_adds_no_ngram_and_is_far_from_everything() -> None:
    assert distinct(["a b c", ""]) == distinct(["a b c"])
    # Of three pairs the twins' alone has cosine 1.
    assert ngram_cosine_diversity(["a b c", "a b c", ""]) == pytest.approx(2 / 3)


def test_chinese_without_spaces_is_one_word() -> None:
    # Twins: 1 of 2 words for n = 1 and nothing above: .5/5. Without a 3-gram even they are at distance 1: n-gram
    # metrics of such text say nothing, embeddings do.
    assert words("今天下雨了。") == ["今天下雨了。"]
    assert distinct(["今天下雨了"] * 2) == pytest.approx(0.1)
    assert ngram_cosine_diversity(["今天下雨了"] * 2) == 1.0


def test_combining_characters_make_another_word() -> None:
    assert distinct_n(["caf\u00e9", "cafe\u0301"], 1) == 1.0


def test_outputs_of_100_000_characters() -> None:
    # 25,000 words, 500 of them distinct, in a cycle: 500 distinct n-grams of 25,000 - n + 1.
    text = " ".join(str(100 + i % 500) for i in range(25_000))
    assert len(text) == 99_999
    assert distinct_n([text], 5) == pytest.approx(500 / 24_996)
    assert ngram_cosine_diversity([text] * 3) == pytest.approx(0.0, abs=1e-9)


def test_ead_gains_by_length_where_distinct_loses() -> None:
    # Real outputs to 252 instructions, three times longer after RLHF: EAD calls them more diverse, and distinct-n less;
    # cut to their first 30 words, both say less.
    with gzip.open(shared_data("alpacafarm_sft_rlhf"), "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    before, after = [row["output_sft"] for row in rows], [row["output_rlhf"] for row in rows]
    assert ead(after) > ead(before)
    assert distinct(after) < distinct(before)
    cut = [[" ".join(words(text)[:30]) for text in texts] for texts in (before, after)]
    assert ead(cut[1]) < ead(cut[0])
    assert distinct(cut[1]) < distinct(cut[0])
