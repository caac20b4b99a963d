import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import shared_data
from truing.config.supervised import Examples, PromptBank
from truing.data.demonstrations import Demonstration, load_demonstrations
from truing.data.paft import (
    Bank,
    Refused,
    drawn,
    fault,
    few_shot_request,
    load_bank,
    parse_candidates,
    prompted,
    split_prompts,
    zero_shot_request,
)
from truing.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[3] / "configs/prompts"
BANK = Bank(("q",), tuple(f"{n} {{q}}" for n in range(24)), tuple(f"test {n} {{q}}" for n in range(3)))
prompt_sets = st.lists(st.text(min_size=1), min_size=2, max_size=60, unique=True)


# --- the bank ------------------------------------------------------------------------------------


@given(prompt_sets, st.integers(2, 12), st.randoms(use_true_random=False))
def test_a_split_is_a_partition_by_content(prompts: list[str], one_in: int, shuffler: Any) -> None:
    train, test = split_prompts(prompts, one_in)
    assert sorted(train + test) == sorted(prompts)
    assert len(test) == max(1, len(prompts) // one_in)
    shuffled = list(prompts)
    shuffler.shuffle(shuffled)
    assert split_prompts(shuffled, one_in) == (train, test)


def test_the_papers_split_is_eight_to_one() -> None:
    # 450 candidates: 400 to train on and 50 to test with.
    train, test = split_prompts([f"prompt {n}" for n in range(450)], 9)
    assert (len(train), len(test)) == (400, 50)


def bank_file(folder: Path, **tree: object) -> PromptBank:
    path = folder / "bank.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return PromptBank(path=str(path))


def test_a_bank_is_read_from_its_file(tmp_path: Path) -> None:
    prompts = [f"{n} {{q}} {{A}}" for n in range(9)]
    bank = load_bank(bank_file(tmp_path, fields=["q", "A"], prompts=prompts))
    assert bank.fields == ("q", "A")
    assert (bank.train, bank.test) == split_prompts(prompts, 9)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"prompts": ["{q}"]}, "'fields' is no list of texts; give one"),
        ({"fields": ["q"], "prompts": ["{q}", True]}, "'prompts' is no list of texts"),
        ({"fields": ["q"], "prompts": ["{q}"]}, "has 1 prompts; give at least two, one of which is kept for the test"),
        (
            {"fields": ["q"], "prompts": ["{q}", "Well?"]},
            "prompt 2 ('Well?'…) cannot be used: it has {q} 0 times, not once; mend or remove it",
        ),
        ({"fields": ["q"], "prompts": ["{q}", "{q}"]}, "prompt 1 ('{q}'…) cannot be used: it is there twice"),
        (
            {"fields": ["q"], "prompts": ["{q} {label}", "{q}"]},
            "prompt 1 ('{q} {label}'…) cannot be used: it has {label}",
        ),
    ],
)
def test_refused_banks(tmp_path: Path, tree: dict[str, Any], message: str) -> None:
    settings = bank_file(tmp_path, **tree)
    with pytest.raises(ConfigError) as error:
        load_bank(settings)
    assert str(error.value).startswith(f"{settings.path}: {message}")


# --- algorithm 1 ---------------------------------------------------------------------------------


def test_draws_by_hand() -> None:
    # `printf '["seed",7,"paft",0,0]' | b2sum -l 64` is 2b3d06d453dbb6b7; below 2^31 that is 0x53dbb6b7 = 1406908087, and
    # 1406908087 mod 24 = 7. For draw 1 of epoch 0 it is 6ae6117f9776a4e7: 0x1776a4e7 = 393651431, mod 24 = 23. For draw 0
    # of epoch 1 it is 0d56c3c9dff5daf2: 0x5ff5daf2 = 1609947890, mod 24 = 2. K = 4: four examples share one.
    assert BANK.draws(seed=7, epoch=0, count=6, k=4) == [7, 7, 7, 7, 23, 23]
    assert BANK.draws(seed=7, epoch=1, count=2, k=4) == [2, 2]


@given(st.integers(0, 2**31), st.integers(0, 9), st.integers(0, 50), st.integers(1, 9))
def test_k_examples_share_a_prompt_and_a_position_is_all_the_state(seed: int, epoch: int, count: int, k: int) -> None:
    numbers = BANK.draws(seed, epoch, count, k)
    assert all(0 <= number < 24 for number in numbers)
    assert all(number == numbers[i - i % k] for i, number in enumerate(numbers))
    assert numbers == [drawn(seed, epoch, position, k, 24) for position in range(count)]
    assert BANK.draws(seed, epoch, count + 7, k)[:count] == numbers


def test_every_training_prompt_is_drawn_and_about_as_often() -> None:
    # 24000 draws of 24 prompts: 1000 ± 31 each; ± 5 deviations is 155.
    counts = Counter(BANK.draws(seed=0, epoch=0, count=24000, k=1))
    assert set(counts) == set(range(24))
    assert all(845 <= n <= 1155 for n in counts.values())


def test_epochs_and_seeds_draw_anew() -> None:
    draws = {tuple(BANK.draws(seed, epoch, 40, 4)) for seed in range(3) for epoch in range(3)}
    assert len(draws) == 9


def test_an_example_is_asked_with_a_prompt() -> None:
    one = Demonstration("id", "Why?", "so", choices=("so", "no"), fields={"q": "Why?"})
    found = prompted(one, BANK.train, 3)
    assert (found.prompt, found.template) == ("3 Why?", 3)
    assert (found.id, found.answer, found.choices) == ("id", "so", ("so", "no"))
    assert prompted(found, BANK.test, 1).prompt == "test 1 Why?"
    with pytest.raises(ConfigError, match=r"task 'default', prompt '\{goal\}'…: has no 'goal' \(it has q\)"):
        prompted(one, ["{goal}"], 0)


# --- candidate prompts ---------------------------------------------------------------------------

FIELDS = {"goal": "what is wanted", "A": "one way"}
ZERO_SHOT = """\
Write 5 prompts with which a language model can be asked to do this task.

Task: Say whether the way reaches the goal.

A prompt is a text with gaps. Each of these gaps stands in it exactly once, in its braces:
- {goal}: what is wanted
- {A}: one way

Vary the wording, the length, the tone and the layout: a question, an instruction, a list, a short story around the task. \
Do not solve the task, and use no other braces.
Write each prompt between <prompt> and </prompt>, and nothing else."""


def test_requests() -> None:
    task = "Say whether the way reaches the goal."
    assert zero_shot_request(task, FIELDS, 5) == ZERO_SHOT
    shown = "<prompt>{goal}? {A}!</prompt>\n<prompt>{A} for {goal}</prompt>"
    examples = f"Here are prompts that serve. Write others, unlike these and unlike each other.\n{shown}\n\nVary"
    assert few_shot_request(task, FIELDS, 5, ["{goal}? {A}!", "{A} for {goal}"]) == ZERO_SHOT.replace("Vary", examples)


def test_a_reply_is_read_and_filtered() -> None:
    reply = (
        "Sure!\n<prompt>{goal}? {A}.</prompt>\n<prompt>\nGoal: {goal}\nWay: {A}\n</prompt>"
        "<prompt>{goal}?  {a}.</prompt><prompt>{GOAL} {goal} {A}</prompt><prompt>{goal} {A} {A}</prompt>"
        "<prompt>goal:  {goal} way: {A}</prompt><prompt>Known {goal} {A}</prompt><prompt></prompt><prompt>{goal} {A} and"
    )
    assert parse_candidates(reply, ["goal", "A"], known=["known  {goal} {A}"]) == [
        "{goal}? {A}.",
        "Goal: {goal}\nWay: {A}",
        Refused("{goal}?  {a}.", "it has {A} 0 times, not once"),
        Refused("{GOAL} {goal} {A}", "it has {GOAL}, which is no field of the task"),
        Refused("{goal} {A} {A}", "it has {A} 2 times, not once"),
        Refused("goal:  {goal} way: {A}", "a duplicate"),
        Refused("Known {goal} {A}", "a duplicate"),
        Refused("", "it has {goal} 0 times, not once"),
        Refused("{goal} {A} and", "the reply ends before </prompt>"),
    ]


@pytest.mark.parametrize("reply", ["", "I cannot do that.", "1. {goal} {A}"])
def test_a_reply_without_prompts_is_one_failure(reply: str) -> None:
    assert parse_candidates(reply, ["goal", "A"]) == [Refused(reply, "the reply holds no <prompt>…</prompt>")]


@given(st.text())
def test_what_is_kept_can_be_used(reply: str) -> None:
    found = parse_candidates(f"<prompt>{reply}</prompt><prompt>{{q}} {reply}</prompt>", ["q"])
    assert found
    assert all(isinstance(one, Refused) or fault(one, ["q"]) == "" for one in found)


# --- the banks of the repository -----------------------------------------------------------------

SETS: dict[str, dict[str, Any]] = {
    "hellaswag": {"path": "hellaswag_val", "prompt": "context", "choices": "choices"},
    "piqa": {"path": "piqa_valid", "prompt": "goal", "choices": ("{sol1}", "{sol2}")},
}


@pytest.mark.parametrize("name", SETS)
def test_banks_of_the_repository_fill_from_their_sets(name: str) -> None:
    bank = load_bank(PromptBank(path=str(CONFIGS / f"paft_{name}.yaml")))
    assert (len(bank.train), len(bank.test)) == (24, 3)
    plain = {" ".join(prompt.lower().split()) for prompt in bank.train + bank.test}
    assert len(plain) == 27
    given = {**SETS[name], "path": shared_data(SETS[name]["path"]), "answer": "{letter}", "limit": 20}
    found, _ = load_demonstrations(Examples.model_validate(given))
    for one in found:
        for prompts in (bank.train, bank.test):
            for number in range(len(prompts)):
                asked = prompted(one, prompts, number)
                assert all(str(one.fields[field]).strip() in asked.prompt for field in bank.fields)
                assert asked.answer in asked.choices


@pytest.mark.parametrize(
    ("name", "fields"), [("hellaswag", ("ctx", "A", "B", "C", "D")), ("piqa", ("goal", "sol1", "sol2"))]
)
def test_most_of_the_papers_prompts_pass_the_filter(name: str, fields: tuple[str, ...]) -> None:
    with gzip.open(shared_data("paft_prompts"), "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["task"] == name]
    faults = Counter(bool(fault(row["template"], fields)) for row in rows)
    assert faults[False] > 0.8 * len(rows), faults
