import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.vectors import vector
from truing.evaluation import bertscore
from truing.evaluation.bertscore import greedy_match, idf

FloatArray = NDArray[np.float64]

tokens = arrays(
    np.float64, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-10, 10).map(lambda x: round(x, 3))
)


@pytest.mark.parametrize("weighting", ["uniform", "idf"])
def test_reproduces_bert_score(weighting: str) -> None:
    case = vector("bertscore_greedy")
    given_, weights = case["input"], case["input"][weighting]
    found = greedy_match(
        given_["hyp_emb"],
        given_["ref_emb"],
        answer_weights=weights["hyp_idf"],
        reference_weights=weights["ref_idf"],
    )
    assert [found.precision, found.recall, found.f] == pytest.approx(case["expected"][weighting], abs=case["tolerance"])


def test_by_hand() -> None:
    # Answer e1, e1 + e2; reference e1, e2: best cosines 1, 1/sqrt 2 | 1, 1/sqrt 2.
    half = 1 / math.sqrt(2)
    found = greedy_match([[3, 0], [1, 1]], [[1, 0], [0, 2]])
    assert (found.precision, found.recall, found.f) == pytest.approx([(1 + half) / 2] * 3)
    # The second token of the answer weighs three times the first: (1 + 3/sqrt 2)/4; recall is as it was.
    found = greedy_match([[3, 0], [1, 1]], [[1, 0], [0, 2]], answer_weights=[1, 3])
    assert (found.precision, found.recall) == pytest.approx(((1 + 3 * half) / 4, (1 + half) / 2))


def test_a_token_of_weight_0_can_be_matched() -> None:
    # The reference's e1 weighs nothing, and is still what the answer's e1 is matched with.
    found = greedy_match([[1, 0]], [[1, 0], [0, 1]], reference_weights=[0, 1])
    assert (found.precision, found.recall) == (1.0, 0.0)
    assert found.f == 0.0


@given(tokens, tokens)
def test_swapping_the_texts_swaps_precision_and_recall(a: FloatArray, b: FloatArray) -> None:
    there, back = greedy_match(a, b), greedy_match(b, a)
    assert there.precision == pytest.approx(back.recall)
    assert there.f == pytest.approx(back.f, nan_ok=True)


@given(tokens, st.floats(0.1, 10), st.randoms())
def test_a_text_matches_itself_in_any_order_and_length_of_vectors(a: FloatArray, scale: float, rng) -> None:
    a = a + np.array([11.0, 0.0, 0.0])  # no vector of zeros
    shuffled = list(a * scale)
    rng.shuffle(shuffled)
    found = greedy_match(a, np.array(shuffled))
    assert [found.precision, found.recall, found.f] == pytest.approx([1.0, 1.0, 1.0])


def test_texts_without_tokens_of_weight_are_undefined() -> None:
    for found in (
        greedy_match([], [[1, 0]]),
        greedy_match(np.empty((0, 2)), [[1, 0]]),
        greedy_match([[1, 0]], [[1, 0]], reference_weights=[0]),
    ):
        assert math.isnan(found.precision)
        assert math.isnan(found.recall)
        assert math.isnan(found.f)


def test_no_likeness_at_all() -> None:
    assert greedy_match([[1, 0]], [[0, 1]]).f == 0.0
    assert greedy_match([[0, 0]], [[1, 0]]).precision == 0.0
    opposite = greedy_match([[1, 0]], [[-1, 0]])
    assert (opposite.precision, opposite.recall) == (-1.0, -1.0)
    assert math.isnan(opposite.f)


@pytest.mark.parametrize(
    ("answer", "weights", "message"),
    [
        ([[math.nan, 0.0]], None, "finite embeddings"),
        ([1.0, 2.0], None, "finite embeddings"),
        ([[1.0, 0.0, 0.0]], None, "differ in dimensions"),
        ([[1.0, 0.0]], [1.0, 1.0], "for 1 tokens"),
        ([[1.0, 0.0]], [-1.0], "finite weight >= 0"),
        ([[1.0, 0.0]], [math.nan], "finite weight >= 0"),
    ],
)
def test_input_that_does_not_fit_is_refused(answer, weights, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        greedy_match(answer, [[1.0, 0.0]], answer_weights=weights)


def test_long_texts_are_compared_in_blocks() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2 * bertscore.BLOCK + 7, 8)), rng.normal(size=(1500, 8))
    cosines = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    found = greedy_match(a, b)
    assert found.precision == pytest.approx(cosines.max(axis=1).mean())
    assert found.recall == pytest.approx(cosines.max(axis=0).mean())


def test_the_idf_table_by_hand() -> None:
    # Three references: "a" is in all, "b" in two (twice in one of them), "c" in one, "d" in none.
    table = idf([["a", "b", "b"], ["a", "b"], ["a", "c"]])
    expected = [0.0, math.log(4 / 3), math.log(4 / 2), math.log(4 / 1)]
    assert table.weights(["a", "b", "c", "d"]) == pytest.approx(expected)
    assert table.documents == 3
    assert table.weights([]).shape == (0,)
    with pytest.raises(ValueError, match="give one at least"):
        idf([])
