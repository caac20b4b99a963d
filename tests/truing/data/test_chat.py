from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from tests.tiny import BOS, CHAT_TEMPLATE, END, START, save_tiny_llama, tiny_tokenizer
from truing.data.chat import Turn, conversation_tokens, load_tokenizer, prompt_tokens
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


# --- conversations ---------------------------------------------------------------------------------------------------

JUDGE, WHICH, BECAUSE = Turn("system", "Judge."), Turn("user", "Which?"), Turn("assistant", "Because.\n\n")
EXEMPLAR = [Turn("user", "Example?"), Turn("assistant", "1")]


def refusing(condition: str, reason: str) -> PreTrainedTokenizerFast:
    """The tokenizer with a template that refuses conversations, as Gemma's does those with a system turn."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = f"{{% if {condition} %}}{{{{ raise_exception('{reason}') }}}}{{% endif %}}{CHAT_TEMPLATE}"
    return tokenizer


WITHOUT_SYSTEM = refusing("messages[0]['role'] == 'system'", "System role not supported")


def test_a_system_turn_that_is_refused_goes_to_the_first_user_turn() -> None:
    assert decoded(conversation_tokens(WITHOUT_SYSTEM, [JUDGE, WHICH], "Label=")) == (
        "<|begin|><|im_start|>user\nJudge.\n\nWhich?<|im_end|>\n<|im_start|>assistant\nLabel="
    )
    assert decoded(conversation_tokens(WITHOUT_SYSTEM, [JUDGE, *EXEMPLAR, WHICH])) == (
        "<|begin|><|im_start|>user\nJudge.\n\nExample?<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
        "<|im_start|>user\nWhich?<|im_end|>\n<|im_start|>assistant\n"
    )
    # Where there is none, nothing is moved.
    assert conversation_tokens(WITHOUT_SYSTEM, [WHICH]) == conversation_tokens(TOKENIZER, [WHICH])


def test_an_assistant_turn_at_the_end_is_gone_on_from() -> None:
    assert decoded(conversation_tokens(TOKENIZER, [*EXEMPLAR, WHICH, BECAUSE], "Label=")) == (
        "<|begin|><|im_start|>user\nExample?<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
        "<|im_start|>user\nWhich?<|im_end|>\n<|im_start|>assistant\nBecause.\n\nLabel="
    )
    assert conversation_tokens(TOKENIZER, [WHICH, BECAUSE]) == conversation_tokens(TOKENIZER, [WHICH], BECAUSE.text)
    told = conversation_tokens(WITHOUT_SYSTEM, [JUDGE, WHICH, BECAUSE])
    assert decoded(told).endswith("user\nJudge.\n\nWhich?<|im_end|>\n<|im_start|>assistant\nBecause.\n\n")


def test_a_conversation_without_a_template() -> None:
    assert decoded(conversation_tokens(PLAIN, [JUDGE, *EXEMPLAR, WHICH, BECAUSE], "Label=")) == (
        "<|begin|>Judge.\n\nExample?\n1\n\nWhich?\nBecause.\n\nLabel="
    )


@pytest.mark.parametrize(
    ("tokenizer", "turns", "message"),
    [
        # A system turn that no user turn follows cannot go anywhere.
        (WITHOUT_SYSTEM, [JUDGE, *EXEMPLAR[::-1]], "the turns system, assistant, user (System role not supported)"),
        (WITHOUT_SYSTEM, [JUDGE], "the turns system (System role not supported)"),
        (refusing("true", "Not\\n today"), [WHICH], "the turns user (Not today)"),
        # What is said last counts: it is about the turns without the system's.
        (
            refusing("messages|length != 1", "One turn, not {}'.format(messages|length) ~ '"),
            [JUDGE, WHICH, WHICH],
            "the turns system, user, user (One turn, not 2)",
        ),
    ],
)
def test_turns_that_the_template_refuses(tokenizer: PreTrainedTokenizerFast, turns: list[Turn], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        conversation_tokens(tokenizer, turns)
    assert str(error.value) == (
        f"tokenizer: its chat template refuses {message}; use a model whose template takes them"
    )


exchanges = st.lists(st.builds(Turn, st.sampled_from(["user", "assistant"]), texts), min_size=1, max_size=4)


@given(st.lists(st.builds(Turn, st.just("system"), texts), max_size=1), texts, exchanges, st.just("") | texts)
def test_a_conversation_has_one_bos(system: list[Turn], text: str, rest: list[Turn], answer: str) -> None:
    for tokenizer in (TOKENIZER, PLAIN, WITHOUT_SYSTEM):
        ids = conversation_tokens(tokenizer, [*system, Turn("user", text), *rest], answer)
        assert ids[0] == tokenizer.bos_token_id
        assert ids.count(tokenizer.bos_token_id) == 1
