import math

import pytest
from sacrebleu.metrics import BLEU

from tests.vectors import vector
from truing.algorithms.statistics import Interval
from truing.evaluation.bleu import corpus_bleu, sentence_bleu, sentence_chrf

ANSWERS = ["the cat sat on a mat", "it rains in Spain", "a b c d e"]
REFERENCES = [["the cat sat on the mat"], ["it rains in Spain today", "rain in Spain"], ["a b c d f"]]


def test_sentence_bleu_reproduces_the_vector() -> None:
    case = vector("txt_bleu_sent")
    found = sentence_bleu(case["input"]["pred"], [case["input"]["ref"]])
    assert found == pytest.approx(case["expected"], abs=case["tolerance"])


def test_sentence_bleu_by_hand() -> None:
    # a b c d e of a b c d f: p = 4/5, 3/4, 2/3, 1/2; equal lengths: (.8 * .75 * .6667 * .5)^(1/4) = .2^(1/4)
    assert sentence_bleu("a b c d e", ["a b c d f"]) == pytest.approx(100 * 0.2**0.25)
    # All four n-grams of a b c d are found, and it is one word short: exp(1 - 5/4).
    assert sentence_bleu("a b c d", ["a b c d f"]) == pytest.approx(100 * math.exp(-0.25))


def test_corpus_bleu_pools_counts_and_is_no_mean_of_sentences() -> None:
    found = corpus_bleu(ANSWERS, REFERENCES)
    # Found of all n-grams of the three answers, n = 1: 5 + 4 + 4 of 6 + 4 + 5; n = 2: 3 + 3 + 3 of 5 + 3 + 4;
    # n = 3: 2 + 2 + 2 of 4 + 2 + 3; n = 4: 1 + 1 + 1 of 3 + 1 + 2. Lengths 15; closest references 6 + 3 + 5 = 14, for
    # of five and three words the shorter one is taken.
    expected = 100 * (13 / 15 * 9 / 12 * 6 / 9 * 3 / 6) ** 0.25
    assert found.interval is not None
    assert found.interval.value == pytest.approx(expected)
    sentences = [sentence_bleu(a, r) for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    assert found.interval.value != pytest.approx(sum(sentences) / 3, abs=0.1)
    assert found.interval.n == 3
    # A resample of one answer three times has that answer's BLEU.
    assert found.interval.low == pytest.approx(sentences[0])
    assert found.interval.high == pytest.approx(sentences[1])
    assert "tok:13a|smooth:exp" in found.signature
    assert "nrefs:var" in found.signature


def test_corpus_bleu_is_sacrebleu_s() -> None:
    singles = [some[0] for some in REFERENCES]
    found = corpus_bleu(ANSWERS, [[one] for one in singles])
    assert found.interval is not None
    assert found.interval.value == pytest.approx(BLEU().corpus_score(ANSWERS, [singles]).score)
    assert found.signature.startswith("nrefs:1|")


def test_the_seed_decides_the_interval() -> None:
    # Answers of many qualities: other resamples have other quantiles.
    answers = [" ".join("abcdefghij"[:n]) for n in range(4, 10)] * 3
    references = [["a b c d e f g h i j"]] * 18
    assert corpus_bleu(answers, references, seed=1) == corpus_bleu(answers, references, seed=1)
    assert corpus_bleu(answers, references, seed=1) != corpus_bleu(answers, references, seed=2)


def test_a_corpus_without_four_tokens_in_a_row_has_no_bleu() -> None:
    assert corpus_bleu(["yes", "a b c"], [["yes"], ["a b c"]]).interval is None
    assert corpus_bleu(["", ""], [["a"], ["b"]]).interval is None
    # By effective order a sentence has one.
    assert sentence_bleu("yes", ["yes"]) == 100.0


def test_empty_answers_count_and_are_counted() -> None:
    found = corpus_bleu(["a b c d", ""], [["a b c d"], ["a b c d"]])
    # Everything is found; 4 tokens for 8: exp(1 - 8/4)
    assert found.interval is not None
    assert (found.interval.value, found.empty) == (pytest.approx(100 * math.exp(-1)), 1)
    assert sentence_bleu("", ["a b"]) == sentence_chrf("", ["a b"]) == 0.0


def test_blank_references_are_undefined_or_left_out() -> None:
    assert math.isnan(sentence_bleu("a", [""]))
    assert math.isnan(sentence_bleu("", [" "]))
    assert math.isnan(sentence_chrf("a", ["\n"]))
    assert sentence_bleu("a b", ["", "a b"]) == 100.0
    with pytest.raises(ValueError, match="1 of 2 answers have blank references only"):
        corpus_bleu(["a", "b"], [["a"], ["", " "]])


def test_input_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="0 answers with 0 lists"):
        corpus_bleu([], [])
    with pytest.raises(ValueError, match="1 answers with 2 lists"):
        corpus_bleu(["a"], [["a"], ["b"]])
    for score in (sentence_bleu, sentence_chrf):
        with pytest.raises(ValueError, match="at least one reference"):
            score("a", [])


def test_chrf_by_hand() -> None:
    # "ab" of "abc": of 1-grams 2/2 and 2/3, of 2-grams 1/1 and 1/2; the reference has a 3-gram and the answer none, so
    # n = 3 is left out. P = 1, R = (2/3 + 1/2)/2 = 7/12; F2 = 5PR/(4P + R) = (35/12)/(55/12) = 7/11
    assert sentence_chrf("ab", ["abc"]) == pytest.approx(100 * 7 / 11)
    assert sentence_chrf("a b", ["ab"]) == pytest.approx(100)  # spaces are left out


def test_chinese_is_one_13a_token() -> None:
    assert sentence_bleu("今天下雪", ["今天下雨"]) == 0.0
    # Characters: p = 3/4, 2/3, 1/2, and 1/(2 * 1) by smoothing: .125^(1/4)
    for tokenize in ("zh", "char"):
        assert sentence_bleu("今天下雪", ["今天下雨"], tokenize=tokenize) == pytest.approx(100 * 0.125**0.25)
    assert sentence_chrf("今天下雪", ["今天下雨"]) > 0


def test_combining_characters_are_other_characters() -> None:
    assert sentence_bleu("cafe\u0301", ["caf\u00e9"]) == 0.0
    assert 0 < sentence_chrf("cafe\u0301", ["caf\u00e9"]) < 100


def test_answers_of_100_000_characters() -> None:
    text = " ".join(str(i % 977) for i in range(25_800))
    assert len(text) > 100_000
    assert sentence_bleu(text, [text]) == 100.0
    assert sentence_chrf(text, [text]) == pytest.approx(100)
    assert corpus_bleu([text], [[text]]).interval == Interval(100.0, 100.0, 100.0, 1)
