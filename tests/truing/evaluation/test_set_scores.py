from collections.abc import Mapping

from truing.evaluation.output_scores import Output
from truing.evaluation.set_scores import WholeSet, count_empty, counted, first_texts, noted, set_scores, texts_by_policy

OUTPUTS = [
    Output("a", "p", None),
    Output("a", "p", "one"),
    Output("a", "p", "one"),
    Output("b", "p", "two"),
    Output("a", "q", None),
    Output("a", "r", "three"),
]


def test_outputs_that_are_there_by_policy_and_item() -> None:
    found = texts_by_policy(OUTPUTS)
    assert found == {"a": {"p": ["one", "one"], "q": [], "r": ["three"]}, "b": {"p": ["two"]}}
    assert first_texts(found["a"]) == {"p": "one", "r": "three"}


def test_rows_of_each_input_and_of_the_set_with_those_left_out() -> None:
    def of_set(firsts: Mapping[str, str]) -> WholeSet:
        lengths = {item: (float(len(text)), "") for item, text in firsts.items()}
        return WholeSet(float(len(firsts)), "a note", lengths if len(firsts) > 1 else {})

    scores = set_scores(OUTPUTS, "M", lambda texts: (float(len(texts)), ""), of_set, data="d")
    found = [(s.policy, s.item, s.metric, s.value, s.reason) for s in scores]
    assert found == [
        ("a", "p", "M per input", 2, ""),
        ("a", "q", "M per input", None, "no output"),
        ("a", "r", "M per input", None, "with a single output"),
        ("a", "", "M across inputs", 2, "a note"),
        ("a", "q", "M across inputs, left out", None, "no output"),
        ("a", "p", "M across inputs, left out", 3, ""),
        ("a", "r", "M across inputs, left out", 5, ""),
        ("b", "", "M across inputs", 1, "a note"),
    ]


def test_notes_count_what_there_is_and_leave_out_what_there_is_not() -> None:
    assert noted(counted(0, 3, "lost"), counted(2, 3, "odd"), count_empty(["", " \n", "x"])) == (
        "2 of 3 odd; 2 of 3 outputs empty"
    )
    assert noted(count_empty(["x"]), count_empty([])) == ""
