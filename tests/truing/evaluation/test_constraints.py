import gzip
import json
from typing import Any

import pytest

from tests.shared import shared_data
from tests.truing.evaluation.ifeval_texts import FILLER, MAKERS, SENTENCES
from truing.evaluation.constraint_checkers import CHECKERS
from truing.evaluation.constraints import (
    Instruction,
    followed,
    followed_loosely,
    instruction_following,
    instructions_of,
    variants,
)
from truing.records import Failed


def ifeval() -> list[dict[str, Any]]:
    with gzip.open(shared_data("ifeval"), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


NO_COMMA = Instruction("punctuation:no_comma", {})
QUOTED = Instruction("startend:quotation", {})
TITLE = Instruction("detectable_format:title", {})


def test_every_instruction_of_ifeval_is_checked_on_a_text_that_follows_it_and_one_that_does_not() -> None:
    wrong, seen = [], set()
    instructions = 0
    for row in ifeval():
        for instruction in instructions_of(row["instruction_id_list"], row["kwargs"]):
            good, bad = MAKERS[instruction.id](instruction.given)
            seen.add(instruction.id)
            instructions += 1
            if not followed(instruction, good):
                wrong.append((row["key"], instruction, "not followed by", good))
            if followed(instruction, bad):
                wrong.append((row["key"], instruction, "followed by", bad))
    assert not wrong
    assert (seen, instructions) == (set(CHECKERS), 834)


def test_every_checker_is_in_the_table_of_texts() -> None:
    assert MAKERS.keys() == CHECKERS.keys()


@pytest.mark.parametrize("language", SENTENCES)
def test_a_language_is_no_other(language: str) -> None:
    for asked in SENTENCES:
        instruction = Instruction("language:response_language", {"language": asked})
        assert followed(instruction, SENTENCES[language]) == (asked == language)


def test_strict_and_loose_accuracy_by_hand() -> None:
    # 1: both followed. 2: one of two, strictly; loosely both, as the title's line can go. 3: empty, nothing. 4: failed.
    asked = [[NO_COMMA, TITLE], [NO_COMMA, QUOTED], [TITLE], [NO_COMMA]]
    responses = ["<<River>> runs", 'Sure!\n"It runs"', " \n", Failed("lost")]
    found = instruction_following(asked, responses, seed=0)
    assert (found.prompts, found.instructions, found.empty, found.failed) == (3, 5, 1, 1)
    assert (found.strict.prompts.value, found.strict.instructions.value) == (1 / 3, 3 / 5)
    assert (found.loose.prompts.value, found.loose.instructions.value) == (2 / 3, 4 / 5)
    assert (found.strict.prompts.n, found.strict.instructions.n) == (3, 3)
    by_id = {name: (one.value, one.n) for name, one in found.strict.by_instruction.items()}
    assert by_id == {NO_COMMA.id: (1.0, 2), TITLE.id: (0.5, 2), QUOTED.id: (0.0, 1)}


def test_the_eight_variants() -> None:
    assert variants("a*\nb\nc") == ["a*\nb\nc", "b\nc", "a*\nb", "b", "a\nb\nc", "a\nb"]
    assert variants("one") == ["one", ""]
    assert variants("") == [""]


def test_loose_is_never_stricter_than_strict() -> None:
    for row in ifeval()[::5]:
        for instruction in instructions_of(row["instruction_id_list"], row["kwargs"]):
            good, _ = MAKERS[instruction.id](instruction.given)
            assert followed_loosely(instruction, good)


def test_an_empty_text_follows_nothing_not_even_fewer_than() -> None:
    fewer = Instruction("length_constraints:number_words", {"num_words": 5, "relation": "less than"})
    assert followed(fewer, "four words are here")
    for instruction in (fewer, NO_COMMA):
        for text in ("", " \n\t"):
            assert not followed(instruction, text)
            assert not followed_loosely(instruction, text)


def test_an_unknown_instruction_is_named() -> None:
    with pytest.raises(ValueError, match="instruction 'keywords:rhymes' is unknown: use one of change_case"):
        Instruction("keywords:rhymes", {})


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="missing a required argument: 'keywords'"):
        Instruction("keywords:existence", {"keywords": None})
    with pytest.raises(ValueError, match="unexpected keyword argument 'letter'"):
        Instruction("punctuation:no_comma", {"letter": "a"})
    with pytest.raises(ValueError, match="2 instruction ids with 1 sets of arguments"):
        instructions_of(["punctuation:no_comma"] * 2, [{}])
    with pytest.raises(ValueError, match="relation 'at most' is unknown: use one of less than, at least"):
        followed(Instruction("length_constraints:number_words", {"num_words": 5, "relation": "at most"}), "a")
    with pytest.raises(ValueError, match="language 'xx' is not one that langdetect knows: af, ar"):
        followed(Instruction("language:response_language", {"language": "xx"}), FILLER)


def test_arguments_that_are_none_are_those_that_the_hub_pads_with() -> None:
    padded = Instruction("keywords:existence", {"keywords": ["river"], "num_words": None})
    assert followed(padded, FILLER)


def test_nothing_answered_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of 1 prompts was answered"):
        instruction_following([[NO_COMMA]], [Failed("lost")], seed=0)
    for asked, responses in (([[NO_COMMA]], []), ([[]], ["a"])):
        with pytest.raises(ValueError, match="at least one instruction for each prompt"):
            instruction_following(asked, responses, seed=0)
