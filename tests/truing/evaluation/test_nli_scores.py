import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vector
from truing.evaluation.figure import Figure, Score
from truing.evaluation.nli import nli_diversity, ordered_pairs
from truing.evaluation.nli_scores import MOST, NAME, Pair, drawn, nli_scores, wanted_pairs
from truing.evaluation.output_scores import Output
from truing.evaluation.policy_figures import LEFT_OUT, policy_figures
from truing.records import content_id

MNLI = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
CONTRADICTS, NEUTRAL, ENTAILS = [0.9, 0.05, 0.05], [0.2, 0.6, 0.2], [0.05, 0.05, 0.9]
PER, ACROSS = "NLI per input", "NLI across inputs"


def outputs(policy: str, texts: dict[str, list[str | None]]) -> list[Output]:
    return [Output(policy, item, text) for item, some in texts.items() for text in some]


def asked(some: list[Output], answer: dict[frozenset[str], list[float]], most: int = MOST) -> dict[Pair, list[float]]:
    """What a model would say that thinks the same of both directions; neutral of a text and itself."""
    return {pair: answer.get(frozenset(pair), NEUTRAL) for pair in wanted_pairs(some, most=most)}


def values(scores: list[Score], metric: str) -> dict[str, float | None]:
    return {score.item: score.value for score in scores if score.metric == metric}


def reasons(scores: list[Score], metric: str) -> dict[str, str]:
    return {score.item: score.reason for score in scores if score.metric == metric}


def figure(scores: list[Score], metric: str) -> Figure:
    (found,) = policy_figures(scores, {metric: ""}, data="d", shift="id", against={}, seed=0)
    return found


THREE = outputs("a", {"p": ["x"], "q": ["y"], "r": ["z"]})
# x and y contradict each other, 2 x .9; x and z entail each other, -2 x .9; y and z are neutral, 0.
OPINION = {frozenset("xy"): CONTRADICTS, frozenset("xz"): ENTAILS}


def test_across_inputs_by_hand() -> None:
    assert wanted_pairs(THREE) == [("x", "y"), ("y", "x"), ("x", "z"), ("z", "x"), ("y", "z"), ("z", "y")]
    scores = nli_scores(THREE, asked(THREE, OPINION), MNLI, data="d")
    # (1.8 - 1.8 + 0) / 3 = 0; without x the pair y, z is left, 0; without y: x, z; without z: x, y.
    assert values(scores, ACROSS) == {"": pytest.approx(0)}
    assert values(scores, ACROSS + LEFT_OUT) == pytest.approx({"p": 0, "q": -1.8, "r": 1.8})
    assert reasons(scores, ACROSS) == {"": ""}
    assert {(s.policy, s.data, s.variant, s.against) for s in scores} == {("a", "d", "", "")}
    # A single output of each prompt says nothing of diversity per input.
    assert not values(scores, PER)
    found = figure(scores, ACROSS)
    # sqrt(2/3 x 2 x 1.8^2), times t_2 = 4.30265.
    assert (found.value, found.n, found.missing) == (pytest.approx(0), 3, 0)
    assert found.high == pytest.approx(4.30265 * math.sqrt(2 / 3 * 2 * 1.8**2), abs=1e-4)


def test_per_input_reproduces_the_papers_table() -> None:
    case = vector("kirk_nli_table_top1")
    rows = [[one["probs"][label] for label in MNLI.values()] for one in case["input"]["nli_probs_per_text"]]
    texts = case["input"]["outputs"]
    probabilities = {(texts[i], texts[j]): row for (i, j), row in zip(ordered_pairs(3), rows, strict=True)}
    scores = nli_scores(outputs("a", {"p": texts}), probabilities, MNLI, data="d")
    expected = case["expected"]["mean_r_(paper_scale)"]
    assert values(scores, PER) == {"p": pytest.approx(expected, abs=case["tolerance"])}
    # One prompt has no other to be compared with.
    assert (values(scores, ACROSS), reasons(scores, ACROSS)) == ({"": None}, {"": "too few outputs"})
    assert not values(scores, ACROSS + LEFT_OUT)


def test_prompts_without_several_outputs_are_counted() -> None:
    some = outputs("a", {"p": ["x", "y", None], "q": ["z"], "r": [None, None], "s": ["x", "x"]})
    scores = nli_scores(some, asked(some, OPINION), MNLI, data="d")
    assert values(scores, PER) == {"p": pytest.approx(1.8), "q": None, "r": None, "s": 0}
    found = figure(scores, PER)
    assert (found.value, found.n, found.missing) == (pytest.approx(0.9), 2, 2)
    assert found.note == "1 with a single output; 1 no output"
    # Across: x, z, x. x and z entail each other twice, x and its twin are neutral; without the lone z nothing else is left.
    assert values(scores, ACROSS) == {"": pytest.approx(-1.8 * 2 / 3)}
    assert values(scores, ACROSS + LEFT_OUT) == pytest.approx({"r": None, "p": -1.8, "q": 0, "s": -1.8})
    assert (figure(scores, ACROSS).n, figure(scores, ACROSS).missing) == (3, 1)


def test_twins_are_asked_once() -> None:
    some = outputs("a", {"p": ["x", "x"], "q": ["x", "x"]})
    assert wanted_pairs(some) == [("x", "x")]
    scores = nli_scores([*some, *outputs("b", {"p": ["x", "x"]})], {("x", "x"): ENTAILS}, MNLI, data="d")
    assert [s.value for s in scores if s.metric == PER] == [-1.8] * 3


def test_a_pair_that_failed_is_counted_and_no_answer() -> None:
    some = outputs("a", {"p": ["x", "w"], "q": ["y", "w"], "r": ["z", "w"]})
    probabilities = asked(some, OPINION)
    del probabilities["x", "w"], probabilities["y", "x"]
    scores = nli_scores(some, probabilities, MNLI, data="d")
    assert values(scores, PER) == {"p": None, "q": 0, "r": 0}
    assert reasons(scores, PER)["p"] == "with a pair not judged"
    # Across: the pair x, y has one direction alone. (-1.8 + 0) / 2; without z no pair is left that was judged.
    assert values(scores, ACROSS) == {"": pytest.approx(-0.9)}
    assert reasons(scores, ACROSS) == {"": "1 of 3 pairs not judged"}
    assert values(scores, ACROSS + LEFT_OUT) == pytest.approx({"p": 0, "q": -1.8, "r": None})
    assert reasons(scores, ACROSS + LEFT_OUT)["r"] == "undefined without it"


def test_an_output_of_which_no_pair_was_judged_is_missing() -> None:
    four = [*THREE, *outputs("a", {"s": ["w"]})]
    probabilities = {pair: row for pair, row in asked(four, OPINION).items() if "w" not in pair}
    scores = nli_scores(four, probabilities, MNLI, data="d")
    assert values(scores, ACROSS + LEFT_OUT) == pytest.approx({"p": 0, "q": -1.8, "r": 1.8, "s": None})
    found = figure(scores, ACROSS)
    assert (found.n, found.missing, found.note) == (3, 1, "3 of 6 pairs not judged")
    none = nli_scores(four, {}, MNLI, data="d")
    assert reasons(none, ACROSS) == {"": "none of its 6 pairs was judged"}


def test_few_of_many_prompts_are_drawn_by_their_hash_and_the_note_says_so() -> None:
    many = outputs("a", {f"item {i}": [f"text {i}"] for i in range(40)})
    pairs = wanted_pairs(many, most=5)
    assert len(pairs) == 20
    least = sorted((f"item {i}" for i in range(40)), key=lambda item: content_id(NAME, item))[:5]
    assert {text for pair in pairs for text in pair} == {item.replace("item", "text") for item in least}
    # Neither the order of the prompts nor another policy changes the draw.
    assert set(wanted_pairs(many[::-1], most=5)) == set(pairs)
    other = [Output("b", one.item, f"{one.text} of b") for one in many]
    assert len(wanted_pairs([*many, *other], most=5)) == 40
    scores = nli_scores(many, dict.fromkeys(pairs, CONTRADICTS), MNLI, data="d", most=5)
    found = figure(scores, ACROSS)
    assert (found.value, found.n, found.missing) == (pytest.approx(1.8), 5, 0)
    assert found.note == "5 of 40 prompts, drawn by their hash"
    assert len(wanted_pairs(many)) == MOST * (MOST - 1)
    with pytest.raises(ValueError, match="most = 1: diversity across inputs takes two prompts"):
        wanted_pairs(many, most=1)


def test_a_prompt_that_was_not_answered_is_not_drawn() -> None:
    items = [f"item {i}" for i in range(6)]
    order = drawn(items, 6)
    assert order == items
    first = drawn(items, 2)
    some = outputs("a", {item: [None if item == first[0] else item] for item in items})
    texts = {text for pair in wanted_pairs(some, most=2) for text in pair}
    assert first[0] not in texts
    assert first[1] in texts
    assert len(texts) == 2


def test_odd_texts_are_read_as_they_are() -> None:
    texts = ["", " \n", "你好世界", "x " * 50_000, "你好世界"]
    some = outputs("a", {str(i): [text] for i, text in enumerate(texts)})
    # Ten pairs of four texts: twelve questions of different ones, and one of a text and its twin.
    assert set(wanted_pairs(some)) == {(a, b) for a, b in product(set(texts), repeat=2) if a != b} | {(texts[2],) * 2}
    scores = nli_scores(some, dict.fromkeys(wanted_pairs(some), CONTRADICTS), MNLI, data="d")
    assert figure(scores, ACROSS).value == pytest.approx(1.8)
    assert figure(scores, ACROSS).note == "2 of 5 outputs empty"
    nothing = nli_scores(outputs("a", {"p": [None]}), {}, MNLI, data="d")
    assert [(s.metric, s.value, s.reason) for s in nothing] == [(ACROSS, None, "too few outputs")]
    assert nli_scores([], {}, MNLI, data="d") == wanted_pairs([]) == []


def test_labels_of_another_task_are_refused() -> None:
    with pytest.raises(ValueError, match="name columns 0, 1, 2 contradiction, neutral and entailment"):
        nli_scores(THREE, asked(THREE, OPINION), {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}, data="d")


@given(st.integers(3, 6), st.integers(0, 2**32 - 1))
def test_the_short_cut_is_the_long_way(n: int, seed: int) -> None:
    texts = [f"t{i}" for i in range(n)]
    rows = iter(np.random.default_rng(seed).dirichlet([1, 1, 1], size=n * (n - 1)).tolist())
    some = outputs("a", {text: [text] for text in texts})
    probabilities = {pair: next(rows) for pair in wanted_pairs(some)}

    def plainly(kept: list[str]) -> float:
        return nli_diversity([probabilities[kept[i], kept[j]] for i, j in ordered_pairs(len(kept))], MNLI)

    scores = nli_scores(some, probabilities, MNLI, data="d")
    assert values(scores, ACROSS)[""] == pytest.approx(plainly(texts))
    expected = {text: plainly([other for other in texts if other != text]) for text in texts}
    assert values(scores, ACROSS + LEFT_OUT) == pytest.approx(expected)
