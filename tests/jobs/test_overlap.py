import pytest

from jobs.overlap import MeanRouge, mean_rouge


def test_the_mean_is_over_right_answers_that_have_words() -> None:
    # "b x" of "a b x": 2 of 2 and 2 of 3, F1 = .8; "killed" is stemmed: 1; the failed answer is 0. Mean .6.
    right = {"a": "a b x", "b": "kill", "c": "a river", "d": "今天下雨"}
    found = mean_rouge({"a": "b x", "b": "Killed!", "d": "今天下雨"}, right, seed=0)
    assert found.rouge_l is not None
    assert (found.rouge_l.value, found.rouge_l.n, found.undefined) == (pytest.approx(0.6), 3, 1)


def test_an_empty_answer_shares_nothing() -> None:
    found = mean_rouge({"a": ""}, {"a": "a b"}, seed=0)
    assert found.rouge_l is not None
    assert (found.rouge_l.value, found.undefined) == (0.0, 0)


def test_without_a_word_to_compare_there_is_no_figure() -> None:
    assert mean_rouge({"a": "雨", "b": "?"}, {"a": "雨", "b": "..."}, seed=0) == MeanRouge(None, undefined=2)
