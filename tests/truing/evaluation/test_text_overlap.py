import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge import Rouge as PypiRouge
from rouge_score.rouge_scorer import RougeScorer

from tests.vectors import vector
from truing.evaluation.text_overlap import Overlap, Rouge, rouge, rouge_pypi, unicode_words

texts = st.text(alphabet="aab cd.\n", max_size=30)


def triple(overlap: Overlap | None) -> list[float]:
    assert overlap is not None
    return [overlap.precision, overlap.recall, overlap.f]


def rouge_l(answer: str, references: list[str]) -> float:
    found = rouge(answer, references, stemmer=True).rouge_l
    assert found is not None
    return found.f


def test_the_longest_common_subsequence_by_hand() -> None:
    # "police killed the gunman" against "police kill the gunman" (Lin 2004, §3.1): the stemmer makes killed kill: all four.
    assert rouge_l("police killed the gunman", ["police kill the gunman"]) == 1.0
    # Against "the gunman kill police": "the gunman" is the longest in order, 2 of 4 both ways.
    assert rouge_l("the gunman kill police", ["police killed the gunman"]) == 0.5


def test_precision_and_recall_are_of_different_lengths() -> None:
    # a b c d e f against a c e: LCS 3; precision 3/6, recall 3/3; F1 = 2·½·1/(½ + 1) = 2/3
    assert rouge_l("a b c d e f", ["a c e"]) == pytest.approx(2 / 3)
    assert rouge_l("a c e", ["a b c d e f"]) == pytest.approx(2 / 3)


def test_the_order_counts_and_gaps_do_not() -> None:
    # x b a of a b x: LCS is 1 (any one word), so 1/3; b x of a b x: 2 of 2 and 2 of 3: F1 = 2·1·(2/3)/(5/3) = 0.8
    assert rouge_l("x b a", ["a b x"]) == pytest.approx(1 / 3)
    assert rouge_l("b x", ["a b x"]) == pytest.approx(0.8)


def test_case_and_punctuation_do_not_count() -> None:
    assert rouge_l("The GUNMAN, dead!", ["the gunman dead"]) == 1.0


def test_the_reference_that_fits_best_counts() -> None:
    assert rouge_l("a b c", ["x y z", "a b c", "a"]) == 1.0


def test_nothing_in_common_is_0_and_an_empty_answer_too() -> None:
    assert rouge_l("a b", ["c d"]) == 0.0
    assert rouge_l("", ["c d"]) == 0.0
    assert rouge_l("...", ["c d"]) == 0.0


# --- rouge-score -----------------------------------------------------------------------------------


def test_rouge_reproduces_the_package() -> None:
    case = vector("txt_rouge_score_stem")
    found = rouge(case["input"]["pred"], [case["input"]["ref"]], stemmer=True)
    figures = {
        "rouge1": found.rouge_1,
        "rouge2": found.rouge_2,
        "rougeL": found.rouge_l,
        "rougeLsum": found.rouge_lsum,
    }
    for name, expected in case["expected"].items():
        assert triple(figures[name]) == pytest.approx(expected, abs=case["tolerance"]), name


@given(texts, texts, st.booleans())
def test_rouge_is_rouge_score_wherever_that_is_defined(answer: str, reference: str, stemmer: bool) -> None:
    types = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    theirs = RougeScorer(types, use_stemmer=stemmer).score(reference, answer)
    found = rouge(answer, [reference], stemmer=stemmer)
    n_words = len(reference.replace(".", " ").split())
    for name, ours in zip(types, (found.rouge_1, found.rouge_2, found.rouge_l, found.rouge_lsum), strict=True):
        if n_words < (2 if name == "rouge2" else 1):
            assert ours is None
        else:
            expected = [theirs[name].precision, theirs[name].recall, theirs[name].fmeasure]
            assert triple(ours) == pytest.approx(expected, abs=1e-12)


def test_counts_are_clipped_by_the_reference() -> None:
    # "the" three times against once: 1 of 3, 1 of 2; F = 2 * 1/3 * 1/2 / (5/6) = .4. No pair of words is shared.
    found = rouge("the the the", ["the cat"])
    assert triple(found.rouge_1) == pytest.approx([1 / 3, 1 / 2, 0.4])
    assert triple(found.rouge_2) == [0.0, 0.0, 0.0]


def test_the_stemmer_is_a_choice() -> None:
    assert triple(rouge("killed", ["kill"], stemmer=True).rouge_1) == [1.0, 1.0, 1.0]
    assert triple(rouge("killed", ["kill"]).rouge_1) == [0.0, 0.0, 0.0]


def test_lines_may_change_places_for_lsum_and_not_for_l() -> None:
    # abc def against def abc: in order 3 of 6; line by line all six.
    found = rouge("d e f\na b c", ["a b c\nd e f"])
    assert triple(found.rouge_l) == pytest.approx([0.5, 0.5, 0.5])
    assert triple(found.rouge_lsum) == pytest.approx([1.0, 1.0, 1.0])


def test_each_type_chooses_its_reference() -> None:
    # b a: both words of the first reference, in the wrong order; one pair "b a" of the second one, of four words.
    found = rouge("b a", ["a b", "x y b a"])
    assert triple(found.rouge_1) == [1.0, 1.0, 1.0]
    # pairs x y, y b, b a: recall 1/3, precision 1: F = 2/3 / (4/3) = 1/2
    assert triple(found.rouge_2) == pytest.approx([1.0, 1 / 3, 0.5])


def test_an_empty_answer_is_0_and_a_reference_without_words_undefined() -> None:
    nothing = Overlap(0.0, 0.0, 0.0)
    assert rouge("", ["a b"]) == rouge("...", ["a b"]) == Rouge(nothing, nothing, nothing, nothing)
    assert rouge("", [""]) == rouge("a b", ["..."]) == Rouge(None, None, None, None)
    assert triple(rouge("a b", ["...", "a b"]).rouge_1) == [1.0, 1.0, 1.0]
    one_word = rouge("yes", ["yes"])
    assert triple(one_word.rouge_1) == [1.0, 1.0, 1.0]
    assert one_word.rouge_2 is None


def test_chinese_has_no_english_words_and_needs_other_ones() -> None:
    assert rouge("今天下雨", ["今天下雨"]) == Rouge(None, None, None, None)
    # Characters: 3 of 4; pairs 今天 天下 shared, 2 of 3.
    found = rouge("今天下雪", ["今天下雨"], tokenize=unicode_words)
    assert triple(found.rouge_1) == triple(found.rouge_l) == pytest.approx([0.75] * 3)
    assert triple(found.rouge_2) == pytest.approx([2 / 3] * 3)


def test_words_of_any_script() -> None:
    assert unicode_words("Ça va? 3.14 C'est l'été") == ["ça", "va", "3", "14", "c", "est", "l", "été"]
    assert unicode_words("今天 rain，カタ") == ["今", "天", "rain", "カ", "タ"]
    assert unicode_words("नमस्ते दुनिया") == ["नमस्ते", "दुनिया"]  # vowel signs stay in their word
    assert unicode_words(unicodedata.normalize("NFD", "été")) == ["été"]
    assert unicode_words("... \n") == []


def test_combining_characters_split_english_words() -> None:
    # "cafe" + accent is "cafe" to rouge-score, "caf" + é is "caf": the same text to a reader, nothing in common.
    composed, combining = "caf\u00e9", "cafe\u0301"
    assert triple(rouge(combining, [composed]).rouge_1) == [0.0, 0.0, 0.0]
    assert triple(rouge(combining, [composed], tokenize=unicode_words).rouge_1) == [1.0, 1.0, 1.0]


def test_two_texts_of_100_000_characters() -> None:
    # 17,000 words: the answer is the reference without every second word: LCS 8,500, precision 1, recall 1/2, F 2/3.
    words = [f"w{i % 9000:04}" for i in range(17_000)]
    reference, answer = " ".join(words), " ".join(words[::2])
    assert len(reference) > 100_000
    found = rouge(answer, [reference])
    assert triple(found.rouge_1) == triple(found.rouge_l) == triple(found.rouge_lsum) == pytest.approx([1, 0.5, 2 / 3])
    # Of several lines, the union of common subsequences is too much work, and is not computed.
    assert rouge(answer, [reference.replace("w0007 ", "w0007\n")]).rouge_lsum is None


def test_an_impossible_choice_and_no_reference_are_refused() -> None:
    with pytest.raises(ValueError, match="stem in `tokenize`"):
        rouge("a", ["a"], stemmer=True, tokenize=unicode_words)
    for one in (rouge, rouge_pypi):
        with pytest.raises(ValueError, match="at least one reference"):
            one("a", [])


# --- rouge -----------------------------------------------------------------------------------------


def test_rouge_pypi_reproduces_the_package() -> None:
    case = vector("txt_rouge_pypi")
    found = rouge_pypi(case["input"]["pred"], [case["input"]["ref"]])
    assert found is not None
    figures = {"rouge-1": found.rouge_1, "rouge-2": found.rouge_2, "rouge-l": found.rouge_l}
    for name, expected in case["expected"].items():
        assert triple(figures[name]) == pytest.approx([expected[k] for k in "prf"], abs=1e-9), name


@given(texts, texts)
def test_rouge_pypi_is_the_package_or_undefined(answer: str, reference: str) -> None:
    found = rouge_pypi(answer, [reference])
    if not answer.replace(".", "").split() or not reference.replace(".", "").split():
        assert found is None
    else:
        assert found is not None
        theirs = PypiRouge().get_scores(answer, reference)[0]
        for name, ours in (("rouge-1", found.rouge_1), ("rouge-2", found.rouge_2), ("rouge-l", found.rouge_l)):
            assert triple(ours) == [theirs[name][k] for k in "prf"]


def test_rouge_pypi_counts_distinct_words_and_their_case() -> None:
    # {the, The} against {the}: 1 of 2 and 1 of 1; the repetition does not count. F = 2 * .5 / (1.5 + 1e-8)
    found = rouge_pypi("the the The", ["the"])
    assert found is not None
    assert triple(found.rouge_1) == pytest.approx([0.5, 1.0, 1 / 1.50000001])


@pytest.mark.parametrize("blank", ["", "...", " . \n"])
def test_rouge_pypi_of_a_blank_text_is_undefined(blank: str) -> None:
    assert rouge_pypi(blank, ["a b"]) is None
    assert rouge_pypi("a b", [blank]) is None
    found = rouge_pypi("a b", [blank, "a b"])
    assert found is not None
    assert found.rouge_1.recall == 1.0


def test_rouge_pypi_of_texts_that_the_package_does_not_bear() -> None:
    # A sentence of 400 words against itself would recurse 800 deep; of 17,000 words it would take the memory too.
    for n in (400, 17_000):
        text = " ".join(f"w{i % 9000:04}" for i in range(n))
        found = rouge_pypi(text, [text])
        assert found is not None
        assert found.rouge_l is None
        assert found.rouge_1.precision == found.rouge_2.recall == 1.0
    # 100,000 characters in sentences of five words against a short reference are borne.
    long = " ".join(f"w{i % 9000:04}" + ("." if i % 5 == 4 else "") for i in range(17_000))
    found = rouge_pypi(long, ["w0000 w0001 x"])
    assert found is not None
    assert found.rouge_l is not None
    assert found.rouge_l.recall == pytest.approx(2 / 3)
