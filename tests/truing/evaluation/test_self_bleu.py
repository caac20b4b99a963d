import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors import vector
from truing.evaluation.self_bleu import SelfBleu, self_bleu_nltk, self_bleu_sacrebleu

VARIANTS = [self_bleu_sacrebleu, self_bleu_nltk]
SCALE = {self_bleu_sacrebleu: 100.0, self_bleu_nltk: 1.0}


def test_identical_outputs_reproduce_the_vector() -> None:
    case = vector("selfbleu_identical")
    sacre, nltk = self_bleu_sacrebleu(case["input"]), self_bleu_nltk(case["input"])
    assert sacre.value == pytest.approx(case["expected"]["sacre"], abs=case["tolerance"])
    assert nltk.value == pytest.approx(case["expected"]["nltk"], abs=case["tolerance"])
    assert sacre.k == nltk.k == 4


def test_nltk_by_hand() -> None:
    # a b c d against a b c e, both ways: p = 3/4, 2/3, 1/2, .1/1 (method 1); lengths equal, so no brevity penalty:
    # (.75 * .6667 * .5 * .1)^(1/4) = .025^(1/4) = .39764
    found = self_bleu_nltk(["a b c d", "a b c e"])
    assert found.value == pytest.approx(0.025**0.25)
    assert (found.k, found.empty) == (2, 0)


def test_sacrebleu_by_hand() -> None:
    # The same, but the first n without a match counts 1/(2 * total) = 1/2: (.75 * .6667 * .5 * .5)^(1/4) = .125^(1/4)
    found = self_bleu_sacrebleu(["a b c d", "a b c e"])
    assert found.value == pytest.approx(100 * 0.125**0.25)


def test_it_is_the_mean_over_hypotheses_against_all_others() -> None:
    # Two twins (100 each) and a stranger that shares nothing (0): 200/3.
    found = self_bleu_sacrebleu(["a b c d", "a b c d", "w x y z"])
    assert found.value == pytest.approx(200 / 3)


def test_it_rises_with_k() -> None:
    words = ["a", "b", "c", "d", "e", "f", "g", "h"]
    rng = random.Random(0)
    outputs = [" ".join(rng.choices(words, k=12)) for _ in range(16)]
    for variant in VARIANTS:
        assert variant(outputs[:4]).value < variant(outputs[:8]).value < variant(outputs).value


@pytest.mark.parametrize("variant", VARIANTS)
@given(outputs=st.lists(st.text(alphabet="ab cd.", max_size=20), min_size=2, max_size=5), rng=st.randoms())
@settings(max_examples=40)
def test_order_of_outputs_does_not_matter(variant, outputs: list[str], rng: random.Random) -> None:
    shuffled = outputs[:]
    rng.shuffle(shuffled)
    first, second = variant(outputs), variant(shuffled)
    assert (first.k, first.empty) == (second.k, second.empty)
    assert first.value == pytest.approx(second.value, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_blank_outputs_are_counted_and_in_no_figure(variant) -> None:
    text = "one two three four five"
    assert variant([text, "", text, " \n"]) == SelfBleu(pytest.approx(SCALE[variant]), 2, 2)
    for outputs, k, empty in (([], 0, 0), (["", ""], 0, 2), ([text], 1, 0), ([text, ""], 1, 1)):
        found = variant(outputs)
        assert math.isnan(found.value)
        assert (found.k, found.empty) == (k, empty)


def test_identical_short_outputs_are_100_for_sacrebleu_and_not_1_for_nltk() -> None:
    assert self_bleu_sacrebleu(["a b"] * 3).value == 100.0
    # 1- and 2-grams found, 3- and 4-grams of which there are none count .1/1 each: (1 * 1 * .1 * .1)^(1/4) = .31623
    assert self_bleu_nltk(["a b"] * 3).value == pytest.approx(0.1**0.5)


def test_chinese_without_spaces_is_one_token() -> None:
    # Three of four characters are shared, no token is.
    assert self_bleu_sacrebleu(["今天下雨", "今天下雪"]).value == 0.0
    assert self_bleu_sacrebleu(["今天下雨"] * 2).value == 100.0


def test_outputs_of_100_000_characters() -> None:
    text = " ".join(str(i % 977) for i in range(25_800))
    assert len(text) > 100_000
    assert self_bleu_sacrebleu([text] * 3) == SelfBleu(100.0, 3, 0)
    assert self_bleu_nltk([text] * 3) == SelfBleu(pytest.approx(1.0), 3, 0)
