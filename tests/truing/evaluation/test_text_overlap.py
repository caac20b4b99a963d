import pytest

from truing.evaluation.text_overlap import rouge_l


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


def test_no_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reference"):
        rouge_l("a", [])
