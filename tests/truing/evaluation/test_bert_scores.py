import math

import numpy as np
import pytest

from truing.evaluation.bert_scores import F1, TokenEmbedding, bert_scores
from truing.evaluation.figure import Figure, Score
from truing.evaluation.output_scores import Output
from truing.evaluation.policy_figures import policy_figures

HALF = 1 / math.sqrt(2)
E1, E2, BOTH = [1.0, 0.0], [0.0, 2.0], [1.0, 1.0]
CLS, SEP = 100, 101


def text(*tokens: tuple[int, list[float]]) -> TokenEmbedding:
    """Tokens (id, vector) between a [CLS] and a [SEP], which point where nothing else does."""
    every = [(CLS, [-1.0, 0.0]), *tokens, (SEP, [0.0, -1.0])]
    weights = np.array([0, *[1] * len(tokens), 0], np.float32)
    return TokenEmbedding(np.array([row for _, row in every], np.float32), tuple(key for key, _ in every), weights)


EMBEDDED = {
    "one two": text((1, E1), (2, E2)),
    "one both": text((1, E1), (3, BOTH)),
    "two": text((2, E2)),
    "": text(),
}


def output(answer: str | None, *references: str, item: str = "p") -> Output:
    return Output("a", item, answer, references)


def only(score: list[Score]) -> tuple[float | None, str]:
    ((value, reason),) = [(one.value, one.reason) for one in score]
    return value, reason


def figure(scores: list[Score]) -> Figure:
    (found,) = policy_figures(scores, {F1: ""}, data="d", shift="id", against={}, seed=0)
    return found


def test_by_hand() -> None:
    # Answer e1, e1 + e2 against e1, e2: best cosines 1, 1/sqrt 2 | 1, 1/sqrt 2.
    (found,) = bert_scores([output("one both", "one two")], EMBEDDED, data="d")
    assert found.value == pytest.approx((1 + HALF) / 2)
    assert found == Score("a", "d", "", "p", "", F1, found.value, "")
    # "two" against e1, e2: precision 1, recall (0 + 1)/2, F1 = 2/3.
    assert only(bert_scores([output("two", "one two")], EMBEDDED, data="d"))[0] == pytest.approx(2 / 3)


def test_the_reference_that_fits_best_counts() -> None:
    found = bert_scores([output("two", "one both", "one two", "two")], EMBEDDED, data="d")
    assert only(found) == (pytest.approx(1), "")
    # One that is blank or was not embedded is no reference.
    found = bert_scores([output("two", "", "lost", "one two", " ")], EMBEDDED, data="d")
    assert only(found)[0] == pytest.approx(2 / 3)


def test_idf_counts_the_references_of_all_items() -> None:
    # References: "one two" of p, "one both" of q: M = 2. Token 1 is in both: log(3/3) = 0; tokens 2 and 3 in one: log(3/2).
    # So the one token of the answer and the one of the reference that weigh anything are compared: 1/sqrt 2 each.
    some = [output("one both", "one two"), output("one two", "one both", item="q"), output(None, "one two")]
    values = [score.value for score in bert_scores(some, EMBEDDED, data="d", idf=True)]
    assert values == [pytest.approx(HALF), pytest.approx(HALF), None]


def test_idf_weighs_a_rare_token_more_and_counts_an_items_reference_once() -> None:
    # p's reference stands beside each of its outputs, of both policies, and is one. M = 3. Tokens 1 and 2 are in two
    # references: log(4/3); token 3 in one: log(4/2).
    some = [
        output("one both", "one two", "one two"),
        output("two", "one two"),
        Output("b", "p", "two", ("one two",)),
        output(None, "one both", item="q"),
        output(None, "two", item="r"),
    ]
    common, rare = math.log(4 / 3), math.log(4 / 2)
    precision, recall = (common * 1 + rare * HALF) / (common + rare), (common * 1 + common * HALF) / (2 * common)
    found = bert_scores(some, EMBEDDED, data="d", idf=True)[0]
    assert found.value == pytest.approx(2 * precision * recall / (precision + recall))


def test_what_has_no_score_says_why() -> None:
    cases = [
        (output(None, "two"), "no output"),
        (output("two"), "no reference"),
        (output("two", "  "), "no reference"),
        (output("", "two"), "empty output"),
        (output(" \n", "two"), "empty output"),
        (output("lost", "two"), "not embedded"),
        (output("two", "lost"), "reference not embedded"),
    ]
    scores = bert_scores([case for case, _ in cases], EMBEDDED, data="d")
    assert [(score.value, score.reason) for score in scores] == [(None, reason) for _, reason in cases]
    found = figure([*scores, *bert_scores([output("two", "two", item="q")], EMBEDDED, data="d")])
    assert (found.value, found.n, found.missing) == (pytest.approx(1), 1, 7)
    assert found.note.startswith("1 no output; 2 no reference; 2 empty output")


def test_a_text_without_tokens_of_weight_is_undefined() -> None:
    # A text that the tokenizer leaves nothing of, such as control characters.
    embedded = {**EMBEDDED, "\x7f": text()}
    assert only(bert_scores([output("\x7f", "two")], embedded, data="d")) == (None, "no token of weight")
    assert only(bert_scores([output("two", "\x7f")], embedded, data="d")) == (None, "no token of weight")
    # Of a single reference every token is in all of them: log(2/2) = 0.
    assert only(bert_scores([output("two", "two")], EMBEDDED, data="d", idf=True)) == (None, "no token of weight")
    assert only(bert_scores([output("lost", "gone")], EMBEDDED, data="d", idf=True)) == (None, "not embedded")


def test_precision_and_recall_that_cancel_out_are_undefined() -> None:
    bare = {key: TokenEmbedding(np.array([row], np.float32), (1,), np.ones(1, np.float32)) for key, row in
            {"there": [1.0, 0.0], "back": [-1.0, 0.0]}.items()}  # fmt: skip
    assert only(bert_scores([output("there", "back")], bare, data="d")) == (None, "precision and recall cancel out")
    assert only(bert_scores([output("there", "back", "there")], bare, data="d")) == (1, "")


def test_duplicates_other_scripts_and_long_texts_are_texts() -> None:
    long, chinese = "x " * 50_000, "你好世界"
    embedded = {long: text(*[(1, E1)] * 3000), chinese: text((2, E2))}
    some = [output(long, long), output(long, long), output(chinese, long, item="q"), output(chinese, chinese, item="r")]
    scores = bert_scores(some, embedded, data="d")
    assert [score.value for score in scores] == pytest.approx([1, 1, 0, 1])
    # Two outputs of p are one item.
    assert (figure(scores).value, figure(scores).n) == (pytest.approx(2 / 3), 3)
    assert bert_scores([], embedded, data="d", idf=True) == []


def test_an_embedding_has_one_of_each_for_every_token() -> None:
    with pytest.raises(ValueError, match="1 vectors, 2 ids and 1 weights: give one of each"):
        TokenEmbedding(np.ones((1, 2), np.float32), (1, 2), np.ones(1, np.float32))
