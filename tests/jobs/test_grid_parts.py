"""The parts of a grid that need no engine: questions, best of n, recorded outputs, pairs in tokens."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.grid.checks import answer_scores, check_scores, instruction_scores
from jobs.grid.choices import encoded_pair
from jobs.grid.data import Question, key_of, load_choice_set, load_prompt_set, load_templates
from jobs.grid.feedback import cases as feedback_cases
from jobs.grid.outputs import Cell, best_of, draws, own, recorded_outputs
from jobs.grid.policies import Contestant
from jobs.grid.preflight import check_policies
from jobs.grid.scores import facing
from jobs.grid.sheet import Sheet
from jobs.grid.split import parted
from tests.jobs.drive import write_lines
from truing.config.grid import (
    BestOf,
    ByLabel,
    ByLength,
    ChoiceSet,
    Grid,
    OutputFile,
    PromptSet,
    StudyPolicies,
    Templates,
)
from truing.config.grid_metrics import Checks, Feedback, FinalAnswer, Instructions
from truing.config.supervised import Examples
from truing.data.chat import load_tokenizer
from truing.errors import ConfigError

NOBODY: Any = None
"""Checks ask no model."""


def prompts(path: Path, **more: Any) -> PromptSet:
    return PromptSet.model_validate({"name": "set", "path": str(path), **more})


# --- questions ------------------------------------------------------------------------------------


def test_prompts_are_read_once_each_with_their_references(tmp_path: Path) -> None:
    rows = [
        {"q": "Why?", "a": ["So.", ""], "kind": "x"},
        {"q": "Why?", "a": "again", "kind": "x"},
        {"q": "How?", "a": "Thus.", "kind": "x"},
        {"q": "Who?", "a": "I.", "kind": "y"},
        {"q": " ", "a": "nothing", "kind": "x"},
    ]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    found = load_prompt_set(prompts(path, prompt="q", reference="a", where={"kind": "x"}))
    assert [(one.prompt, one.references) for one in found] == [("Why?", ("So.",)), ("How?", ("Thus.",))]


def test_a_limit_takes_the_same_prompts_whatever_their_order(tmp_path: Path) -> None:
    rows = [{"prompt": f"question {i}"} for i in range(40)]
    one = load_prompt_set(prompts(write_lines(tmp_path / "a.jsonl", rows), limit=7))
    two = load_prompt_set(prompts(write_lines(tmp_path / "b.jsonl", rows[::-1]), limit=7))
    assert [q.prompt for q in one] == [q.prompt for q in two]
    assert len(one) == 7


def test_each_wording_asks_about_the_same_item(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [{"prompt": "a", "text": "tea"}, {"prompt": "b", "text": "salt"}])
    words = write_lines(
        tmp_path / "w.jsonl",
        [{"template": "What is {it}?\\nSay:"}, {"template": "{it}!"}, {"template": "{it}!"}, {"template": "{prompt}"}],
    )
    found = load_prompt_set(prompts(path, wordings={"path": str(words), "fields": {"it": "text"}, "limit": 2}))
    assert [(q.wording, q.prompt) for q in found] == [
        ("1", "What is tea?\nSay:"), ("2", "tea!"), ("1", "What is salt?\nSay:"), ("2", "salt!"),
    ]  # fmt: skip
    assert len({q.item for q in found}) == 2
    assert len({key_of(q) for q in found}) == 4


def test_choices_and_their_letters(tmp_path: Path) -> None:
    rows = [{"goal": "cut bread", "sol1": "saw", "sol2": "glue", "label": 0}]
    path = write_lines(tmp_path / "rows.jsonl", rows)
    examples = Examples(path=str(path), prompt="{goal}", choices=("{sol1}", "{sol2}"), answer="{letter}")
    bank = tmp_path / "bank.yaml"
    bank.write_text(json.dumps({"prompts": ["{goal}: A {A}, B {B}?"]}), encoding="utf-8")
    (one,) = load_choice_set(ChoiceSet(name="set", examples=examples, wordings=Templates(path=str(bank))))
    assert (one.prompt, one.choices, one.right) == ("cut bread: A saw, B glue?", ("A", "B"), 0)


def test_a_template_with_an_unknown_field_says_which_and_where(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [{"prompt": "a"}])
    words = write_lines(tmp_path / "w.jsonl", [{"template": "{ctx}?"}])
    with pytest.raises(ConfigError, match=r"template 1 of .*w\.jsonl: has no 'ctx'"):
        load_prompt_set(prompts(path, wordings={"path": str(words)}))


def test_no_prompt_and_no_template_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [{"prompt": "a long one", "template": ""}])
    with pytest.raises(ConfigError, match="no prompt is left for 'set'"):
        load_prompt_set(prompts(path, longest=3))
    with pytest.raises(ConfigError, match="holds no template"):
        load_templates(Templates(path=str(path)))


# --- who there is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"policies": [{"kind": "model", "name": "a"}, {"kind": "model", "name": "a"}]}, "two are called 'a'"),
        ({"policies": [{"kind": "best_of", "name": "b", "of": "a"}], "rewards": []}, "`rewards`, which is empty"),
        (
            {"rewards": [{"kind": "reward_model", "path": "a"}, {"kind": "reward_model", "path": "b"}]},
            "names reward_model twice",
        ),
        ({"metrics": [{"kind": "score", "criterion": c} for c in ("coherence", "fluency")]}, "two are called 'score'"),
        ({"metrics": [{"kind": "checks", "pattern": p} for p in "ab"]}, "two are called 'checks'"),
        ({"metrics": [{"kind": "win_rate", "outputs": n} for n in (1, 2)]}, "'win rate against the baseline'"),
        (
            {
                "policies": [{"kind": "model", "name": "a"}, {"kind": "best_of", "name": "b", "of": "c"}],
                "rewards": [{"kind": "finished"}],
            },
            "'c', which is no model here; there are a",
        ),
        (
            {
                "policies": [{"kind": "model", "name": "a"}],
                "data": [{"kind": "prompts", "name": "d", "path": "x"}],
                "metrics": [{"kind": "win_rate", "against": "reference"}],
            },
            "'d' has none; name its column",
        ),
    ],
)
def test_a_grid_that_cannot_be_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Grid.model_validate(given)


# --- best of n ------------------------------------------------------------------------------------

CELL = Cell("set", 1.0)


K = 4


def drawn(count: int) -> dict[Cell, dict[str, list[dict[str, Any]]]]:
    """The policy's own K outputs are k0, k1, …; those that the best are taken of o0, o1, …"""
    own_outputs = [{"id": f"k{i}", "text": "", "sample": i} for i in range(K)]
    return {CELL: {"q": [*own_outputs, *({"id": f"o{i}", "text": f"t{i}", "sample": K + i} for i in range(count))]}}


def test_best_of_n_takes_the_best_of_each_n_in_their_order() -> None:
    rewards = {"o0": 1.0, "o1": 3.0, "o2": 2.0, "o3": 2.0, **{f"k{i}": 9.0 for i in range(K)}}
    found = best_of(BestOf(name="b", of="a", n=2), drawn(4), rewards, completions=K)
    # (o0, o1) -> o1; (o2, o3) are alike, the first counts. The policy's own are not among them, whatever they are worth.
    assert [row["id"] for row in found[CELL]["q"]] == ["o1", "o2"]
    assert [row["id"] for row in own(drawn(4)[CELL], K)["q"]] == ["k0", "k1", "k2", "k3"]


def test_what_is_lost_moves_no_output_to_another_n() -> None:
    left = {CELL: {"q": [row for row in drawn(4)[CELL]["q"] if row["id"] not in ("k1", "o0")]}}
    rewards = {"o1": 1.0, "o2": 2.0, "o3": 3.0}
    # o1 is alone in the first two; (o2, o3) -> o3. Of the policy's own one is missing, and none takes its place.
    assert [row["id"] for row in best_of(BestOf(name="b", of="a", n=2), left, rewards, K)[CELL]["q"]] == ["o1", "o3"]
    assert [row["id"] for row in own(left[CELL], K)["q"]] == ["k0", "k2", "k3"]


def test_a_policy_writes_its_own_and_those_of_the_largest_n() -> None:
    grid = Grid(completions=K)
    policy = Contestant("a", StudyPolicies(), "id", "folder", 3)
    assert [draws(grid, replace(policy, drawn=n), t) for n, t in ((3, 1.0), (0, 1.0), (3, 0.0))] == [K + 3 * K, K, 1]


def test_an_output_without_a_reward_cannot_win() -> None:
    found = best_of(BestOf(name="b", of="a", n=2), drawn(4), {"o1": -5.0}, completions=K)
    assert [row["id"] for row in found[CELL]["q"]] == ["o1"]


def test_a_greedy_cell_has_no_best() -> None:
    assert best_of(BestOf(name="b", of="a", n=2), drawn(0), {"k0": 1.0}, completions=K) == {}


def test_no_more_than_k_are_kept() -> None:
    found = best_of(BestOf(name="b", of="a", n=2), drawn(16), {f"o{i}": float(i) for i in range(16)}, completions=K)
    assert [row["id"] for row in found[CELL]["q"]] == ["o1", "o3", "o5", "o7"]


# --- who meets whom -------------------------------------------------------------------------------


def test_a_baseline_is_met_at_the_same_temperature_or_as_it_was_recorded() -> None:
    warm, cool, recorded = Cell("set", 1.0), Cell("set", 0.0), Cell("set", None)
    question = Question("q", "", "q?")
    sheet = Sheet({"set": [question]}, {"p": {warm: {}, cool: {}}, "file": {recorded: {}}})
    rows = {cell: [{"text": str(cell.temperature)}] for cell in (warm, cool, recorded)}

    def met(cell: Cell, *there: Cell) -> list[str]:
        bases = {(one, "q", ""): rows[one] for one in there}
        return [row["text"] for row in facing(sheet, cell, question, bases)]

    assert met(warm, warm, cool) == ["1.0"]
    # The baseline is a file: whatever the temperature, it has one set of outputs.
    assert met(warm, recorded) == met(cool, recorded) == met(recorded, recorded) == ["None"]
    # Who is recorded meets the baseline where it is coolest.
    assert met(recorded, warm, cool) == ["0.0"]
    assert met(warm, cool) == met(warm) == []


# --- recorded outputs -----------------------------------------------------------------------------


def test_recorded_outputs_find_their_prompts_and_others_are_missing(tmp_path: Path) -> None:
    questions = load_prompt_set(prompts(write_lines(tmp_path / "p.jsonl", [{"prompt": "a"}, {"prompt": "b"}])))
    rows = [
        {"prompt": "a", "output": "one"}, {"prompt": "a", "output": ""}, {"prompt": "c", "output": "x"},
        {"prompt": "b", "output": None},
    ]  # fmt: skip
    path = write_lines(tmp_path / "o.jsonl", rows)
    found = recorded_outputs(OutputFile(name="r", path=str(path)), {"set": questions, "other": []})
    ((cell, by_question),) = found.items()
    assert cell == Cell("set", None)
    assert {key: [row["text"] for row in some] for key, some in by_question.items()} == {
        key_of(questions[0]): ["one", ""]
    }
    sheet = Sheet({"set": questions}, {"r": found})
    ((_, _, outputs),) = sheet.by_wording()
    assert [output.text for output in outputs] == ["one", "", None]
    missing = [score for score in sheet.scores("reward", {}, "no reward") if score.reason == "no output"]
    assert [score.item for score in missing] == [questions[1].item]


# --- pairs in tokens ------------------------------------------------------------------------------

TEXT = st.text(st.sampled_from(" abcAB.,\n?éß"), max_size=12)


@settings(max_examples=60, deadline=None)
@given(context=TEXT, choice=TEXT.filter(str.strip))
def test_pairs_become_tokens_as_in_lm_eval(tiny: str, context: str, choice: str) -> None:
    from lm_eval.api.model import TemplateLM

    from actors.harness import Bridge, harness_model

    class NoAnswers:
        def score(self, asked: Any) -> list[Any]:
            raise AssertionError("nothing is asked")

        def write(self, asked: Any) -> list[list[int]]:
            raise AssertionError("nothing is asked")

    bridge = Bridge(NoAnswers(), load_tokenizer(tiny), 512)
    model = harness_model(bridge)
    assert isinstance(model, TemplateLM)
    if context:
        expected = model._encode_pair(context, " " + choice)
    else:
        alone = bridge.encode(" " + choice, add_special_tokens=False)
        expected = (alone[:1], alone[1:]) if alone[0] == bridge.prefix else ([bridge.prefix], alone)
    found = encoded_pair(bridge.encode, bridge.prefix, context, " " + choice)
    assert tuple(map(list, found)) == tuple(map(list, expected))


# --- what a program checks ------------------------------------------------------------------------


def sheet_of(texts: list[str], **question: Any) -> Sheet:
    one = Question("item", "", "Q?", **question)
    rows = [{"id": f"o{i}", "text": text, "tokens": [], "finished": True} for i, text in enumerate(texts)]
    return Sheet({"set": [one]}, {"p": {CELL: {key_of(one): rows}}})


def values(scores: list[Any]) -> dict[str, list[float | None]]:
    found: dict[str, list[float | None]] = {}
    for score in scores:
        found.setdefault(score.metric, []).append(score.value)
    return found


def test_json_patterns_and_lengths() -> None:
    metric = Checks(json_text=True, pattern=r"\d", least_words=1, most_words=2)
    texts = ['{"a": 1}', "```json\n{}\n```", "", "one two three"]
    assert values(check_scores(sheet_of(texts), NOBODY, metric)) == {
        "valid JSON": [1, 0, 0, 0],
        "valid JSON in a fence": [0, 1, 0, 0],
        "matches the pattern": [1, 0, 0, 0],
        "length as wanted": [1, 0, 0, 0],
    }


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pattern '\(' is no regular expression"):
        check_scores(sheet_of(["x"]), NOBODY, Checks(pattern="("))


def test_the_final_number_and_pass_at_k() -> None:
    # Two of four are right: pass@1 is 2/4, pass@4 is 1.
    texts = ["so 6 x 7 = 42", "#### 42", "41", "no number"]
    found = values(answer_scores(sheet_of(texts, references=("because #### 42",)), NOBODY, FinalAnswer()))
    assert found == {"right answer": [1, 1, 0, 0], "pass@1": [0.5], "pass@4": [1.0]}


def test_k_is_that_of_the_cell_and_who_has_fewer_is_missing_there() -> None:
    # Three questions with four, one and no outputs. pass@1 of the first is 1/4, of the second 0; only the first has pass@4.
    questions = [Question(name, "", name, ("#### 42",)) for name in "abc"]
    written = {"a": ["42", "1", "2", "3"], "b": ["7"]}
    rows = {key_of(one): [{"id": t, "text": t} for t in written[one.item]] for one in questions if one.item in written}
    sheet = Sheet({"set": questions}, {"p": {CELL: rows}})
    found = [
        (s.item, s.metric, s.value, s.reason) for s in answer_scores(sheet, NOBODY, FinalAnswer()) if "@" in s.metric
    ]
    assert found == [
        ("a", "pass@1", pytest.approx(0.25), ""), ("a", "pass@4", 1.0, ""),
        ("b", "pass@1", 0.0, ""), ("b", "pass@4", None, "with fewer than 4 outputs"),
        ("c", "pass@1", None, "no output"), ("c", "pass@4", None, "no output"),
    ]  # fmt: skip


def test_a_reference_without_its_number_is_refused() -> None:
    with pytest.raises(ConfigError, match='no number after "####"'):
        answer_scores(sheet_of(["1"], references=("42",)), NOBODY, FinalAnswer())


def test_instructions_of_the_row_are_followed_or_not() -> None:
    row = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    found = values(instruction_scores(sheet_of(["no comma", "one, two"], row=row), NOBODY, Instructions()))
    assert found == {"instructions followed": [1, 0], "instructions followed, loosely": [1, 0]}
    with pytest.raises(ConfigError, match="has no column 'instruction_id_list'"):
        instruction_scores(sheet_of(["x"]), NOBODY, Instructions())


def test_a_question_without_outputs_is_missing_from_every_check() -> None:
    found = check_scores(sheet_of([]), NOBODY, Checks(json_text=True))
    assert {(score.value, score.reason) for score in found} == {(None, "no output")}


# --- one set parted in two ------------------------------------------------------------------------


def asked(*texts: str, **row: Any) -> list[Question]:
    return [Question(text[:1], "", text, row={"kind": text[0]} | row) for text in texts]


def test_longer_prompts_are_out_of_distribution() -> None:
    inside, outside = parted(asked("a b c", "d e", "f g h i"), ByLength(words=3), "set")
    assert [one.prompt for one in inside] == ["a b c", "d e"]
    assert [one.prompt for one in outside] == ["f g h i"]


def test_every_wording_of_an_item_is_on_its_side() -> None:
    questions = [Question(item, wording, item * 3, row={"kind": item}) for item in "ab" for wording in ("1", "2")]
    inside, outside = parted(questions, ByLabel(column="kind", values=("b",)), "set")
    assert {(one.item, one.wording) for one in inside} == {("b", "1"), ("b", "2")}
    assert {(one.item, one.wording) for one in outside} == {("a", "1"), ("a", "2")}


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (ByLength(words=9), "no prompt is out of it by length"),
        (ByLabel(column="kind", values=("x",)), r"no item has the label \['x'\]"),
        (ByLabel(column="sort", values=("a",)), "has no column 'sort'; name one of kind"),
    ],
)
def test_a_set_that_cannot_be_parted_is_refused(by: ByLength | ByLabel, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parted(asked("a", "b"), by, "set")


# --- was the feedback used ------------------------------------------------------------------------


def revision(item: str, **row: Any) -> Question:
    return Question(
        item, "", f"Revise {item}", row={"request": item, "first": f"first {item}", "feedback": f"say {item}"} | row
    )


def test_each_revision_is_asked_about_beside_its_two_controls() -> None:
    questions = [revision("a"), revision("b")]
    rows = {key_of(one): [{"id": one.item, "text": f"new {one.item}"}] for one in questions}
    sheet = Sheet({"set": questions}, {"p": {CELL: rows}})
    cases = [case for place in sheet.places() for case in feedback_cases(sheet, place, Feedback())]
    found = [
        (name, row["feedback"], row["revision"]) for place, name, row in cases if row and place.question.item == "b"
    ]
    # The item after the last is the first.
    assert found == [
        ("feedback used", "say b", "new b"),
        ("feedback used: feedback of another item", "say a", "new b"),
        ("feedback used: first output again", "say b", "first b"),
    ]


def test_a_row_without_feedback_is_refused() -> None:
    questions = [revision("a", feedback=None)]
    sheet = Sheet({"set": questions}, {"p": {CELL: {key_of(questions[0]): [{"id": "o", "text": "x"}]}}})
    with pytest.raises(ConfigError, match="a row has no text in 'feedback'; name one of request, first, feedback"):
        [feedback_cases(sheet, place, Feedback()) for place in sheet.places()]


# --- before anything is started -------------------------------------------------------------------


def test_a_model_that_is_not_there_is_refused_unless_the_run_makes_it(tmp_path: Path) -> None:
    def grid(path: Path) -> Grid:
        return Grid.model_validate({"policies": [{"kind": "model", "name": "a", "path": str(path)}]})

    check_policies(grid(tmp_path / "run" / "policy" / "model"), tmp_path / "run")
    (tmp_path / "other").mkdir()
    with pytest.raises(ConfigError, match="other: is not a language model"):
        check_policies(grid(tmp_path / "other"), tmp_path / "run")


def test_a_file_of_outputs_that_is_not_there_is_refused(tmp_path: Path) -> None:
    given = Grid.model_validate({"policies": [{"kind": "outputs", "name": "a", "path": str(tmp_path / "no.jsonl")}]})
    with pytest.raises(ConfigError, match=r"no\.jsonl: cannot be read"):
        check_policies(given, tmp_path / "run")
