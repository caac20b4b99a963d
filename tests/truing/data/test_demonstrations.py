import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import shared_data
from truing.config.supervised import Examples
from truing.data.comparison import LeftOut
from truing.data.demonstrations import Demonstration, load_demonstrations, split_held_out, stream_demonstrations
from truing.errors import ConfigError

NLI = ("yes", "it is not possible to tell", "no")


def source(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Examples:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Examples(path=str(path), **settings)


def only(folder: Path, row: dict[str, Any], **settings: Any) -> Demonstration:
    ((found,), _) = load_demonstrations(source(folder, [row], **settings))
    return found


def reason(folder: Path, row: dict[str, Any], **settings: Any) -> str:
    (item,) = stream_demonstrations(source(folder, [row], **settings))
    assert isinstance(item, LeftOut)
    assert item.where.endswith("set.jsonl, row 1")
    return item.reason


def refusal(folder: Path, row: dict[str, Any], **settings: Any) -> str:
    with pytest.raises(ConfigError) as error:
        load_demonstrations(source(folder, [row], **settings))
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(str(folder / "set.jsonl"))


# --- open questions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "settings", "prompt", "answer"),
    [
        ({"prompt": "Why?", "answer": " so"}, {}, "Why?", " so"),
        ({"q": "Why?", "a": 4}, {"prompt": "q", "answer": "a"}, "Why?", "4"),
        ({"q": "Why?", "x": ""}, {"prompt": "{q}\n\n{x}", "answer": "Because {q}"}, "Why?", "Because Why?"),
        ({"prompt": "Why?", "tldrs": ["a", "b"]}, {"answer": "tldrs.1"}, "Why?", "b"),
    ],
)
def test_columns_and_templates(
    tmp_path: Path, row: dict[str, Any], settings: dict[str, str], prompt: str, answer: str
) -> None:
    found = only(tmp_path, row, **settings)
    assert (found.prompt, found.answer, found.choices, found.task) == (prompt, answer, (), "default")


def said(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def test_messages(tmp_path: Path) -> None:
    # What the assistant says last is the answer; without it, the answer has a column of its own.
    found = only(tmp_path, {"messages": said("Why?", "So.")}, prompt="messages")
    assert (found.prompt, found.answer) == ("Why?", "So.")
    found = only(tmp_path, {"messages": said("Why?", "So.", "How?", "Thus.")}, prompt="messages")
    assert (found.prompt, found.answer) == ("Human: Why?\n\nAssistant: So.\n\nHuman: How?", "Thus.")
    row = {"prompt": said("Why?"), "completion": [{"role": "assistant", "content": "So."}]}
    found = only(tmp_path, row, answer="completion")
    assert (found.prompt, found.answer) == ("Why?", "So.")


def test_rows_that_hold_none_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Why?", "answer": "so"},
        {"prompt": " ", "answer": "so"},
        {"prompt": "How?", "answer": None},
        {"prompt": "Why?", "answer": "so"},
        {"prompt": "Why?", "answer": "else"},
    ]
    found, report = load_demonstrations(source(tmp_path, rows, task="t"))
    assert [(one.prompt, one.answer) for one in found] == [("Why?", "so"), ("Why?", "else")]
    assert (report.task, report.rows, report.demonstrations) == ("t", 5, 2)
    assert report.left_out == {
        "the prompt is empty": 1,
        "the answer is empty": 1,
        "the same prompt and answer again": 1,
    }
    assert refusal(tmp_path, rows[1]) == (
        ": none of its 1 rows holds a demonstration: the prompt is empty (1);"
        " mend the rows, or say how they are read (prompt, answer, choices, label, only)"
    )


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"q": "Why?", "answer": "so"}, {}, "has no 'prompt' (it has q, answer); name a column that is there"),
        ({"prompt": "Why?"}, {}, "has no 'answer' (it has prompt)"),
        ({"prompt": [["Why?"]], "answer": "a"}, {}, "'prompt' holds neither text nor a number; name an item of it"),
        ({"prompt": [{"role": "judge"}], "answer": "a"}, {}, "'prompt' holds no conversation (message 1 is not"),
        ({"prompt": "Why?", "choices": "a b", "label": 0}, {"choices": "choices"}, "'choices' is not a list"),
    ],
)
def test_a_row_without_its_columns_is_named(
    tmp_path: Path, row: dict[str, Any], settings: dict[str, Any], message: str
) -> None:
    assert refusal(tmp_path, row, **settings).startswith(f", row 1: {message}")


# --- choices -------------------------------------------------------------------------------------


def test_choices_are_kept_as_they_would_be_answered(tmp_path: Path) -> None:
    row = {"goal": "cool", "sol1": "ice ", "sol2": "fire", "label": 1}
    settings: dict[str, Any] = {"prompt": "{goal}: {A} or {B}?\n{options}", "choices": ("{sol1}", "{sol2}")}
    found = only(tmp_path, row, **settings)
    assert (found.choices, found.answer) == (("ice", "fire"), "fire")
    assert found.prompt == "cool: ice or fire?\nOPTIONS:\n- ice\n- fire"
    found = only(tmp_path, row, **settings, answer="{letter}. {choice}")
    assert (found.choices, found.answer) == (("A. ice", "B. fire"), "B. fire")


@pytest.mark.parametrize(
    ("label", "settings", "answer"),
    [
        (2, {}, "c"),  # from 0
        ("2", {}, "c"),
        ("C", {}, "c"),
        ("c", {}, "c"),
        (True, {}, "b"),
        (False, {}, "a"),
        ("2", {"labels": ("1", "2", "3")}, "b"),  # from 1
        ("neutral", {"labels": ("entailment", "neutral", "contradiction")}, "b"),
    ],
)
def test_labels(tmp_path: Path, label: object, settings: dict[str, Any], answer: str) -> None:
    assert only(tmp_path, {"prompt": "?", "label": label}, choices=("a", "b", "c"), **settings).answer == answer


def test_choices_and_labels_of_the_row(tmp_path: Path) -> None:
    # AI2-ARC on the Hub: some rows count their choices from 1, and say so.
    row = {"prompt": "?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "1"}
    settings: dict[str, Any] = {"choices": "choices.text", "label": "answerKey"}
    assert only(tmp_path, row, **settings, labels="choices.label").answer == "x"
    assert only(tmp_path, row, **settings).answer == "y"


def test_rows_without_a_choice_to_learn(tmp_path: Path) -> None:
    for label in (-1, "", None):  # as the test splits of the Hub have it
        assert reason(tmp_path, {"prompt": "?", "label": label}, choices=("a", "b")) == "no label is given"
    for choices in ([], ["a"], None):
        row = {"prompt": "?", "label": 0, "choices": choices}
        assert reason(tmp_path, row, choices="choices") == "fewer than two choices are given"
    row = {"prompt": "?", "label": 0, "choices": ["a", "a"]}
    assert reason(tmp_path, row, choices="choices") == "two choices are alike"


@pytest.mark.parametrize(
    ("label", "problem"),
    [(3, "'3', which is none of the choices"), ("2", "'2', which could mean more than one of the choices")],
)
def test_a_label_that_cannot_be_read_is_named(tmp_path: Path, label: object, problem: str) -> None:
    # "2" is the text of the second choice and the number of the third.
    message = refusal(tmp_path, {"prompt": "?", "label": label}, choices=("1", "2", "3"))
    assert message == f", row 1: 'label' says {problem}; say what it reads for each choice (labels: [...])"


def test_the_same_letter_to_other_choices_is_another_demonstration(tmp_path: Path) -> None:
    rows = [{"prompt": "?", "choices": [text, "z"], "label": 0} for text in ("x", "y")]
    found, _ = load_demonstrations(source(tmp_path, rows, choices="choices", answer="{letter}"))
    assert [one.answer for one in found] == ["A", "A"]
    assert found[0].id != found[1].id


# --- limits and splits ---------------------------------------------------------------------------


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"What is {n}?", "answer": str(n)} for n in range(count)]


def test_a_limit_takes_the_same_ones_wherever_they_stand(tmp_path: Path) -> None:
    forward, report = load_demonstrations(source(tmp_path, numbered(50), limit=7))
    backward, _ = load_demonstrations(source(tmp_path, numbered(50)[::-1], limit=7))
    more, _ = load_demonstrations(source(tmp_path, numbered(50), limit=8))
    assert forward == backward == more[:7]
    assert (report.rows, report.demonstrations) == (50, 7)
    assert [one.answer for one in forward] != [str(n) for n in range(7)]


def test_only_the_rows_asked_for(tmp_path: Path) -> None:
    rows = [{**row, "year": n % 3} for n, row in enumerate(numbered(6))]
    found, report = load_demonstrations(source(tmp_path, [*rows, {"year": None}], only={"year": "1"}))
    assert [one.answer for one in found] == ["1", "4"]
    assert report.left_out == {"not one of the rows in `only`": 5}


prompts = st.lists(st.text(min_size=1, max_size=4), min_size=20, max_size=60)


def demonstrations(texts: list[str]) -> list[Demonstration]:
    return [Demonstration(str(n), text, str(n)) for n, text in enumerate(texts)]


@given(prompts, st.floats(0.01, 0.99))
def test_a_split_is_a_partition_that_no_prompt_straddles(texts: list[str], share: float) -> None:
    every = demonstrations(texts)
    try:
        training, held = split_held_out(every, share)
    except ConfigError:
        return  # one side is empty: see below
    assert sorted(training + held, key=lambda one: int(one.id)) == every
    assert not {one.prompt for one in training} & {one.prompt for one in held}
    # A set that grows moves nothing from one side to the other.
    longer, more = split_held_out(demonstrations([*texts, "new"]), share)
    assert (longer[: len(training)], more[: len(held)]) == (training, held)


def test_about_the_share_is_held_out() -> None:
    # 2000 draws of 0.1: 200 ± 13.4; ± 5 deviations is 67.
    _, held = split_held_out(demonstrations([f"prompt {n}" for n in range(2000)]), 0.1)
    assert 133 <= len(held) <= 267


def test_a_split_with_an_empty_side_says_so() -> None:
    assert split_held_out(demonstrations(["a", "b"]), 0.0) == (demonstrations(["a", "b"]), [])
    with pytest.raises(ConfigError, match=r"share of 1.0 of 2 demonstrations: none is left to train on; give more"):
        split_held_out(demonstrations(["a", "b"]), 1.0)
    with pytest.raises(ConfigError, match="none is held out"):
        split_held_out(demonstrations(["a", "b"]), 1e-9)


# --- real sets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings", "rows", "left_out"),
    [
        ("gsm8k_train", {"prompt": "question"}, 7473, {}),
        ("cnn_dailymail_1k", {"prompt": "article", "answer": "highlights"}, 1000, {}),
        ("hellaswag_val", {"prompt": "context", "choices": "choices", "answer": "{letter}"}, 10042, {}),
        ("boolq_val_closedbook", {"prompt": "question", "choices": ("no", "yes"), "label": "answer"}, 3270, {}),
        # 19 exact repeats (../shared/data/README.md), and 5 rows that give one choice twice.
        (
            "socialiqa_val",
            {"prompt": "question", "choices": "choices"},
            1954,
            {"the same prompt and answer again": 19, "two choices are alike": 5},
        ),
    ],
)
def test_real_sets(name: str, settings: dict[str, Any], rows: int, left_out: dict[str, int]) -> None:
    found, report = load_demonstrations(Examples(path=shared_data(name), **settings))
    assert (report.rows, report.left_out) == (rows, left_out)
    assert len(found) == rows - sum(left_out.values())


def test_nli_labels_of_a_real_set() -> None:
    path = shared_data("snli_1k")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    coded = dict(zip(("entailment", "neutral", "contradiction"), NLI, strict=True))
    labels = ("entailment", "neutral", "contradiction")
    found, _ = load_demonstrations(
        Examples(path=path, prompt="{premise} {hypothesis}", choices=NLI, labels=labels, task="snli", cluster="nli")
    )
    assert [one.answer for one in found] == [coded[row["label"]] for row in rows]
    assert {(one.choices, one.task, one.cluster) for one in found} == {(NLI, "snli", "nli")}
