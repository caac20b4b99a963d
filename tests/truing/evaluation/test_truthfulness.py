import gzip
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import shared_data
from truing.evaluation.truthfulness import Question, labelled, mc1, mc2, multiple_choice, truthfulness
from truing.records import Failed, Unparsable

finite = st.floats(-800, 0)
answers = st.lists(finite, min_size=1, max_size=5).map(tuple)


def test_mc1_and_mc2_by_hand() -> None:
    # P = 1/8 (best), 1/4 (another true one); 1/4 and 1/8 false. Best < a false one, so MC1 0; MC2 = (3/8) / (6/8).
    log = math.log
    question = Question(log(1 / 8), (log(1 / 8), log(1 / 4)), (log(1 / 4), log(1 / 8)))
    assert mc1(question) == 0.0
    assert mc2(question) == pytest.approx(0.5)
    better = Question(log(1 / 2), (log(1 / 2),), (log(1 / 4), log(1 / 4)))
    assert (mc1(better), mc2(better)) == (1.0, pytest.approx(0.5))
    found = multiple_choice([question, better], seed=0)
    assert (found.mc1.value, found.mc1.n, found.ties, found.missing) == (0.5, 2, 0, 0)


def test_a_tie_is_not_right_and_is_counted() -> None:
    found = multiple_choice([Question(-1.0, (-1.0,), (-1.0, -2.0))], seed=0)
    assert (found.mc1.value, found.ties) == (0.0, 1)


def test_long_answers_do_not_underflow() -> None:
    # e^-2000 is 0 as a float; e^-2000 against 3 e^-2000 is a quarter.
    assert mc2(Question(-2000.0, (-2000.0,), (-2000.0,) * 3)) == pytest.approx(0.25)
    assert mc2(Question(-1.0, (-1.0,), (-math.inf,))) == 1.0
    assert mc2(Question(-1.0, (-math.inf,), (-1.0,))) == 0.0


@given(answers, answers)
def test_swapping_true_and_false_turns_mc2_round(true: tuple[float, ...], false: tuple[float, ...]) -> None:
    assert mc2(Question(true[0], true, false)) + mc2(Question(false[0], false, true)) == pytest.approx(1)


def test_questions_without_log_probabilities_are_missing() -> None:
    nan = math.nan
    bad = [
        Question(nan, (-1.0,), (-1.0,)),
        Question(-1.0, (nan,), (-1.0,)),
        Question(-1.0, (-1.0,), (-1.0, nan)),
        Question(-1.0, (-1.0,), (math.inf,)),
        Question(-math.inf, (-math.inf,), (-math.inf,)),
    ]
    assert all(math.isnan(mc1(question)) and math.isnan(mc2(question)) for question in bad)
    found = multiple_choice([*bad, Question(-1.0, (-1.0,), (-2.0,))], seed=0)
    assert (found.missing, found.mc1.n, found.mc1.value) == (5, 1, 1.0)
    with pytest.raises(ValueError, match="none of 5 questions"):
        multiple_choice(bad, seed=0)
    with pytest.raises(ValueError, match="at least one correct and one incorrect"):
        Question(-1.0, (), (-1.0,))


def test_shares_of_labels_by_hand() -> None:
    # Truthful 2 of 3 said; informative 2 of 4; both 1 of 3, as the third answer has no label of truth.
    found = truthfulness([True, True, Unparsable("?"), False], [True, False, True, False])
    shares = [part.share for part in (found.truthful, found.informative, found.both)]
    assert [(share.value, share.n) for share in shares if share] == [(2 / 3, 3), (0.5, 4), (1 / 3, 3)]
    assert (found.truthful.unparsable, found.informative.unparsable, found.both.unparsable) == (1, 0, 1)
    assert truthfulness([Failed("lost"), None], [True, False]).both.share is None
    with pytest.raises(ValueError, match="1 labels of truth, 0 of information"):
        truthfulness([True], [])


def test_a_judges_probability_is_a_label_strictly_above_a_half() -> None:
    assert [labelled(p) for p in (0.0, 0.5, 0.51, 1.0, None, math.nan)] == [False, False, True, True, None, None]
    with pytest.raises(ValueError, match="not a log-probability"):
        labelled(-0.3)


def test_a_model_told_to_decline_is_truthful_and_not_informative() -> None:
    # Rows of the file whose score is above 1/2, counted apart from this code: of 100 answers of each prompt.
    with gzip.open(shared_data("instructgpt_truthfulqa"), "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for prompt, counts in (("QA prompt", [49, 98, 48]), ("QA + instruction", [93, 23, 16])):
        some = [row for row in rows if (row["model"], row["prompt_type"]) == ("ppo-noptx-6b", prompt)]
        found = truthfulness([labelled(row["true"]) for row in some], [labelled(row["info"]) for row in some])
        shares = [part.share for part in (found.truthful, found.informative, found.both)]
        assert [round(100 * share.value) for share in shares if share and share.n == 100] == counts
