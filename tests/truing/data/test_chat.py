from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from tests.tiny import BOS, END, START, save_tiny_llama, tiny_tokenizer
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.errors import ConfigError

TOKENIZER = tiny_tokenizer()
PLAIN = tiny_tokenizer()
PLAIN.chat_template = None
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


def decoded(ids: list[int]) -> str:
    return TOKENIZER.decode(ids)


def test_a_conversation_by_hand() -> None:
    ids = prompt_tokens(TOKENIZER, "Which, 1 or 2?", system="Judge.", answer="Preferred Response=")
    assert decoded(ids) == (
        "<|begin|><|im_start|>system\nJudge.<|im_end|>\n"
        "<|im_start|>user\nWhich, 1 or 2?<|im_end|>\n"
        "<|im_start|>assistant\nPreferred Response="
    )


def test_without_a_template_it_is_plain_text() -> None:
    assert (
        decoded(prompt_tokens(PLAIN, "Rain.", system="Judge.", answer="Score=")) == "<|begin|>Judge.\n\nRain.\nScore="
    )
    assert decoded(prompt_tokens(PLAIN, "Rain.")) == "<|begin|>Rain."


@given(texts, st.one_of(st.just(""), texts), st.one_of(st.just(""), texts))
def test_there_is_one_bos_and_it_comes_first(text: str, system: str, answer: str) -> None:
    for tokenizer in (TOKENIZER, PLAIN):
        ids = prompt_tokens(tokenizer, text, system, answer)
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1


@given(texts, texts)
def test_the_answer_follows_as_its_own_tokens(text: str, answer: str) -> None:
    opened = prompt_tokens(TOKENIZER, text)
    ids = prompt_tokens(TOKENIZER, text, answer=answer)
    assert ids[: len(opened)] == opened
    assert decoded(ids[len(opened) :]) == answer


def test_turns_are_opened_and_closed_by_the_template_alone() -> None:
    ids = prompt_tokens(TOKENIZER, "Rain.", system="Judge.", answer="Score=")
    count = {token: ids.count(TOKENIZER.convert_tokens_to_ids(token)) for token in (BOS, START, END)}
    assert count == {BOS: 1, START: 3, END: 2}


def test_a_saved_model_and_its_tokenizer_load_from_their_folder(tmp_path: Path) -> None:
    folder = save_tiny_llama(tmp_path / "tiny", seed=3)
    tokenizer = load_tokenizer(str(folder))
    ids = prompt_tokens(tokenizer, "Rain on 12 roofs — très 漢字.", system="Judge.", answer="Score=")
    assert ids == prompt_tokens(TOKENIZER, "Rain on 12 roofs — très 漢字.", system="Judge.", answer="Score=")

    model = AutoModelForCausalLM.from_pretrained(folder)
    again = AutoModelForCausalLM.from_pretrained(save_tiny_llama(tmp_path / "again", seed=3, dtype=torch.bfloat16))
    assert model(torch.tensor([ids])).logits.shape == (1, len(ids), len(TOKENIZER))
    assert torch.equal(model.get_input_embeddings().weight.bfloat16(), again.get_input_embeddings().weight)


def test_a_digit_is_a_token_of_its_own() -> None:
    ids = TOKENIZER.encode("Score=10", add_special_tokens=False)
    assert TOKENIZER.convert_ids_to_tokens(ids)[-2:] == ["1", "0"]


def test_a_folder_without_a_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        load_tokenizer(str(tmp_path))
    assert str(refusal.value).startswith(f"tokenizer {tmp_path}: cannot be loaded (")
    assert str(refusal.value).endswith("); give a model folder or a Hub name")
