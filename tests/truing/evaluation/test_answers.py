import gzip
import json
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import shared_data
from truing.evaluation.answers import DIGITS, answer_accuracy, final_value, gold_value
from truing.records import Failed, Unparsable


def rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(shared_data(name), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("16 - 3 - 4 = <<16-3-4=9>>9 eggs\n#### 18", 18),
        ("The answer is $1,234.50.", Fraction("1234.5")),
        ("The answer is 16 - 7 = 9 eggs, of 12.", 9),
        ("The answer is 3 + 4 = 7.", 7),
        ("The answer is 5. So 2+2=4", 5),
        ("**The answer is 5.** Check: 2+2=4", 5),
        ("The answer is 5 apples. So 2+2=4", 5),
        ("The answer is 6, since 2*2=4", 6),
        ("The answer is 2 + 3 = 5; and 2+2=4", 5),
        ("The answer is 5! Check: 2+2=4", 5),
        ("The answer is 5!/(2!3!) = 10", 10),
        ("The answer is $1,000.", 1000),
        ("The answer is 2.5 * 1,000 = 2,500.00, as 1+1=2", 2500),
        ("The answer is gcd(12, 18) = 6", 6),
        ("The answer is 1 + 2 + ... + 10 = 55.", 55),
        ("The answer is 5 ft. = 60 in.", 60),
        ("so \\boxed{2 + 3 = 5, as 2+2=4}", 5),
        ("The answer is\n\n42 boxes", 42),
        ("**Final answer:** \\$5 a day, from 7 days", 5),
        ("The answer is 7. Wait: the answer is 8, of 100.", 8),
        ("The answer is not clear, but 12 it may be", 12),
        ("so $\\boxed{3\\,000}$ in 5 days", 3000),
        ("\\boxed{1\\frac{1}{2}}", Fraction(3, 2)),
        ("x = -\\dfrac{1}{2}", Fraction(-1, 2)),
        ("it is 3/4 of 1 1/2", Fraction(3, 2)),
        ("a loss of -$3.50", Fraction("-3.5")),
        ("a loss of −4", -4),
        ("16-3", 3),  # a minus between two numbers is no sign
        ("interest of 25%", 25),
        ("about .5", Fraction(1, 2)),
        ("12,000,000 of 1,00,000", 100000),  # Indian commas
        ("1, 2, 3", 3),
        ("1/2.5", Fraction("2.5")),
        ("#### Step 3\nso 5 remain", 5),  # a heading of markdown
        ("答案是18。", 18),
        ("الجواب ١٨", 18),
        ("A: 26", 26),
    ],
)
def test_the_answer_of_a_solution(text: str, value: Fraction) -> None:
    assert final_value(text) == value


@pytest.mark.parametrize("text", ["", " \n", "no idea", "five", "nan", "1/0", "9" * (DIGITS + 1), "3" * 100_000])
def test_a_solution_without_a_number_is_kept_as_it_is(text: str) -> None:
    assert final_value(text) == Unparsable(text)


@pytest.mark.parametrize("unit", ["#### ", "the answer is ", "1 ", "\\boxed{", "-", "1,000,", "= 3/"])
def test_a_hundred_thousand_characters_are_read(unit: str) -> None:
    text = (unit * 100_000)[:99_000] + "\nThe answer is 7"
    assert final_value(text) == 7


def test_gold_values() -> None:
    assert gold_value("a #### 1\n#### 2,125") == 2125
    for bad in ("18", "#### none", ""):
        with pytest.raises(ValueError, match='write it as "#### 42"'):
            gold_value(bad)


@given(st.integers(-(10**9), 10**9), st.integers(0, 3))
def test_a_number_is_read_back_however_it_is_written(number: int, decimals: int) -> None:
    for text in (f"{number}", f"{number:,}", f"{number:,.{decimals}f}.", f"the answer is ${number:,}"):
        assert final_value(text) == number


def test_accuracy_with_its_counts_by_hand() -> None:
    # Six rows: one failed. Of five answers two are right (2/5), of the three with a number 2/3; two have none, one empty.
    solutions = ["#### 1", "so 2.0", "3", "", "no idea", Failed("lost")]
    found = answer_accuracy(solutions, [Fraction(n) for n in (1, 2, 4, 0, 5, 6)], seed=0)
    assert found.accuracy is not None
    assert found.accuracy_read is not None
    assert (found.accuracy.value, found.accuracy.n) == (0.4, 5)
    assert (found.accuracy_read.value, found.accuracy_read.n) == (2 / 3, 3)
    assert (found.unparsable, found.empty, found.failed) == (2, 1, 1)


def test_nothing_answered_is_no_accuracy() -> None:
    found = answer_accuracy([Failed("lost"), Failed("lost")], [Fraction(1)] * 2, seed=0)
    assert (found.accuracy, found.accuracy_read, found.failed) == (None, None, 2)
    with pytest.raises(ValueError, match="2 solutions to 1 gold values"):
        answer_accuracy(["1", "2"], [Fraction(1)], seed=0)


def test_every_gold_answer_of_gsm8k_is_read_as_its_model_file_has_it() -> None:
    # The two files write the same gold answers with and without commas, after "####" and after "A:".
    gold = {row["question"]: gold_value(row["answer"]) for row in rows("gsm8k_test")}
    other = {row["question"]: final_value(row["ground_truth"]) for row in rows("gsm8k_model_solutions")}
    assert len(gold) == 1000
    assert all(other[question] == value for question, value in gold.items())


def test_agreement_with_the_correctness_recorded_for_gsm8k_solutions() -> None:
    pairs = [
        (final_value(solution["solution"]), final_value(row["ground_truth"]), solution["is_correct"])
        for row in rows("gsm8k_model_solutions")
        for solution in row["solutions"].values()
    ]
    agree = sum((value == gold) == correct for value, gold, correct in pairs)
    # 1,319 questions, four models. One solution ends in a decimal of more than `DIGITS` digits, cut off.
    assert (agree, len(pairs)) == (5276, 5276)
    assert sum(correct for _, _, correct in pairs) == 2001
    assert sum(isinstance(value, Unparsable) for value, _, _ in pairs) == 1
