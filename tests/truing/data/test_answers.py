from truing.data.answers import answer_tree
from truing.data.chat import load_tokenizer, prompt_tokens


def test_it_is_the_chat_prompt_and_each_answer_with_one_end(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    found = answer_tree(tokenizer, "Is it so?", ["Yes.", "", "No, it is not."], 128)
    assert found.prompt == prompt_tokens(tokenizer, "Is it so?")
    text = "".join(tokenizer.decode([token]) for token in found.prompt)
    assert text == "<|begin|><|im_start|>user\nIs it so?<|im_end|>\n<|im_start|>assistant\n"
    answers = ["".join(tokenizer.decode([token]) for token in response) for response in found.responses]
    assert answers == ["Yes.<|im_end|>", "<|im_end|>", "No, it is not.<|im_end|>"]


def test_an_answer_is_cut_at_half_the_context_and_the_prompt_at_its_front(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    question, answer = "q" * 50 + "?", "a" * 50
    whole, letters = prompt_tokens(tokenizer, question), tokenizer.encode(answer, add_special_tokens=False)
    found = answer_tree(tokenizer, question, [answer, "a"], 20)
    # 9 tokens of the answer and its end are half of 20; the other half is the prompt's, for the short answer too.
    assert found.responses == ([*letters[:9], tokenizer.eos_token_id], [letters[0], tokenizer.eos_token_id])
    assert found.prompt == whole[-10:]


def test_a_short_answer_leaves_the_prompt_more_room(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    whole = prompt_tokens(tokenizer, "q" * 50 + "?")
    # 20 - 1 - 1
    assert answer_tree(tokenizer, "q" * 50 + "?", ["a"], 20).prompt == whole[-18:]
    # One that fits is left as it is.
    assert answer_tree(tokenizer, "q" * 50 + "?", ["a"], len(whole) + 2).prompt == whole
