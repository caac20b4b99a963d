import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tests.vectors import vector
from truing.evaluation.diversity import embedding_diversity
from truing.evaluation.embedding_scores import embedding_scores, embedding_without_each
from truing.evaluation.figure import Figure, Score
from truing.evaluation.output_scores import Output
from truing.evaluation.policy_figures import LEFT_OUT, policy_figures

PER, ACROSS = "SBERT per input", "SBERT across inputs"
# East, north, and between them: cosines 0, 1/sqrt 2, 1/sqrt 2.
VECTORS = {"east": [2.0, 0.0], "north": [0.0, 1.0], "between": [1.0, 1.0], "west": [-3.0, 0.0], "nowhere": [0.0, 0.0]}
HALF = 1 / math.sqrt(2)


def outputs(policy: str, texts: dict[str, list[str | None]]) -> list[Output]:
    return [Output(policy, item, text) for item, some in texts.items() for text in some]


def values(scores: list[Score], metric: str, policy: str = "a") -> dict[str, float | None]:
    return {score.item: score.value for score in scores if (score.policy, score.metric) == (policy, metric)}


def figures(scores: list[Score], metric: str, against: dict[str, str] | None = None) -> dict[str, Figure]:
    found = policy_figures(scores, {metric: ""}, data="d", shift="id", against=against or {}, seed=0)
    return {figure.policy: figure for figure in found}


def test_across_inputs_by_hand() -> None:
    case = vector("sbert_2d")
    rows = dict(zip("xyz", case["input"]["embeddings"], strict=True))
    scores = embedding_scores(outputs("a", {"p": ["x"], "q": ["y"], "r": ["z"]}), rows, data="d")
    assert values(scores, ACROSS) == {"": pytest.approx(case["expected"], abs=case["tolerance"])}
    # Without x: y and z; without y: x and z; without z: x and y.
    assert values(scores, ACROSS + LEFT_OUT) == pytest.approx({"p": 1 - HALF, "q": 1 - HALF, "r": 1})
    assert {(s.policy, s.data, s.variant, s.against) for s in scores} == {("a", "d", "", "")}
    assert not values(scores, PER)
    found = figures(scores, ACROSS)["a"]
    # Their mean is 1 - 2/3 h: squares h^2/9 + h^2/9 + 4 h^2/9 = 2/3 h^2 = 1/3; SE^2 = 2/3 x 1/3; t_2 = 4.30265.
    assert (found.n, found.missing, found.note) == (3, 0, "")
    assert found.high == pytest.approx(found.value + 4.30265 * math.sqrt(2 / 9), abs=1e-4)


def test_per_input_by_hand() -> None:
    some = outputs(
        "a", {"p": ["east", "north", "between"], "q": ["east", "west"], "r": ["east", "east"], "s": ["north"]}
    )
    scores = embedding_scores(some, VECTORS, data="d")
    expected = {"p": 1 - 2 / 3 * HALF, "q": 2.0, "r": 0.0, "s": None}
    assert values(scores, PER) == pytest.approx(expected)
    found = figures(scores, PER)["a"]
    assert (found.n, found.missing, found.note) == (3, 1, "1 with a single output")
    # Firsts: east, east, east, north: 3 of 6 pairs at distance 1.
    assert values(scores, ACROSS)[""] == pytest.approx(0.5)


def test_outputs_that_are_not_there_are_in_no_set_and_counted() -> None:
    some = outputs("a", {"p": [None, "east"], "q": ["north", "west"], "r": [None], "s": ["west"]})
    scores = embedding_scores(some, VECTORS, data="d")
    assert values(scores, PER) == {"p": None, "q": 1, "r": None, "s": None}
    # east, north, west: distances 1, 2, 1.
    assert values(scores, ACROSS) == {"": pytest.approx(4 / 3)}
    assert values(scores, ACROSS + LEFT_OUT) == pytest.approx({"r": None, "p": 1, "q": 2, "s": 1})
    found = figures(scores, ACROSS)["a"]
    assert (found.n, found.missing) == (3, 1)


def test_what_was_not_embedded_is_missing() -> None:
    some = outputs("a", {"p": ["east", "lost", "west"], "q": ["lost", "north"], "r": ["north", "east"], "s": ["west"]})
    scores = embedding_scores(some, VECTORS, data="d")
    assert values(scores, PER) == {"p": None, "q": None, "r": 1, "s": None}
    assert figures(scores, PER)["a"].note == "2 with an output not embedded; 1 with a single output"
    # east, north, west without q.
    found = figures(scores, ACROSS)["a"]
    assert (found.value, found.n, found.missing) == (pytest.approx(4 / 3), 3, 1)
    assert found.note == "1 of 4 outputs not embedded"
    none = embedding_scores(some, {}, data="d")
    assert figures(none, ACROSS)["a"].note == "too few outputs; 4 of 4 outputs not embedded"
    assert not values(none, ACROSS + LEFT_OUT)


def test_policies_are_apart_and_differ_by_prompt() -> None:
    one = outputs("a", {"p": ["east"], "q": ["east"], "r": ["east"]})
    two = outputs("b", {"p": ["east"], "q": ["north"], "r": ["west"]})
    scores = embedding_scores([*one, *two], VECTORS, data="d")
    assert values(scores, ACROSS) == {"": pytest.approx(0)}
    assert values(scores, ACROSS, "b") == {"": pytest.approx(4 / 3)}
    gap = figures(scores, ACROSS, {"b": "a"})["b − a"]
    assert (gap.value, gap.n) == (pytest.approx(4 / 3), 3)
    assert gap.low is not None


def test_odd_texts_are_embedded_as_they_are() -> None:
    texts = ["", "你好世界", "x " * 50_000, "你好世界"]
    known = dict(zip(texts[:3], ([1.0, 0.0], [0.0, 1.0], [0.0, 2.0]), strict=True))
    scores = embedding_scores(outputs("a", {str(i): [text] for i, text in enumerate(texts)}), known, data="d")
    found = figures(scores, ACROSS)["a"]
    # The empty one is at distance 1 from three, which are alike: 3 of 6 pairs.
    assert (found.value, found.n, found.note) == (pytest.approx(0.5), 4, "1 of 4 outputs empty")
    # A vector of zeros has cosine 0 to every other.
    nowhere = embedding_scores(outputs("a", {"p": ["nowhere"], "q": ["nowhere"], "r": ["east"]}), VECTORS, data="d")
    assert values(nowhere, ACROSS) == {"": 1}


def test_too_few_outputs_have_no_diversity() -> None:
    for some in ({"p": ["east"]}, {"p": [None]}, {"p": [None], "q": ["east"]}):
        scores = embedding_scores(outputs("a", some), VECTORS, data="d")
        assert [(s.metric, s.value, s.reason) for s in scores] == [(ACROSS, None, "too few outputs")]
    pair = embedding_scores(outputs("a", {"p": ["east"], "q": ["west"]}), VECTORS, data="d")
    assert values(pair, ACROSS) == {"": 2}
    assert values(pair, ACROSS + LEFT_OUT) == {"p": None, "q": None}
    assert figures(pair, ACROSS)["a"].low is None
    assert embedding_scores([], VECTORS, data="d") == []


@pytest.mark.parametrize(
    ("vector_", "message"),
    [([1.0, 2.0, 3.0], "vectors have 2 to 3 dimensions"), ([math.nan, 0.0], "finite embeddings")],
)
def test_vectors_that_do_not_fit_are_refused(vector_: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        embedding_scores(outputs("a", {"p": ["east"], "q": ["odd"]}), {**VECTORS, "odd": vector_}, data="d")


@given(arrays(np.float64, st.tuples(st.integers(1, 7), st.just(3)), elements=st.integers(-3, 3).map(float)))
def test_the_short_cut_is_the_long_way(matrix: NDArray[np.float64]) -> None:
    expected = [embedding_diversity(np.delete(matrix, i, axis=0)) for i in range(len(matrix))]
    assert embedding_without_each(matrix) == pytest.approx(expected, nan_ok=True)
