from truing.data.answers import answer_tree, cut_answers, cut_note
from truing.data.chat import load_tokenizer, prompt_tokens


def test_it_is_the_chat_prompt_and_each_answer_with_one_end(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    found = answer_tree(tokenizer, "Is it so?", ["Yes.", "", "No, it is not."], 128)
    assert found.prompt == prompt_tokens(tokenizer, "Is it so?")
    text = "".join(tokenizer.decode([token]) for token in found.prompt)
    assert text == "<|begin|><|im_start|>user\nIs it so?<|im_end|>\n<|im_start|>assistant\n"
    answers = ["".join(tokenizer.decode([token]) for token in response) for response in found.responses]
    assert answers == ["Yes.<|im_end|>", "<|im_end|>", "No, it is not.<|im_end|>"]


def test_a_long_answer_leaves_the_prompt_a_quarter_and_does_not_end(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    question, answer = "q" * 50 + "?", "a" * 50
    whole, letters = prompt_tokens(tokenizer, question), tokenizer.encode(answer, add_special_tokens=False)
    found = answer_tree(tokenizer, question, [answer, "a"], 20)
    # A quarter of 20 is the prompt's, for the short answer too. What is cut has no end: nobody is to learn to stop there.
    assert found.responses == (letters[:15], [letters[0], tokenizer.eos_token_id])
    assert found.prompt == whole[-5:]
    assert cut_answers([found, found], tokenizer) == 2


def test_what_fits_is_not_cut_however_much_of_the_context_the_answer_has(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    whole, letters = prompt_tokens(tokenizer, "Why?"), tokenizer.encode("a" * 50, add_special_tokens=False)
    found = answer_tree(tokenizer, "Why?", ["a" * 50], len(whole) + len(letters) + 1)
    assert (found.prompt, found.responses) == (whole, ([*letters, tokenizer.eos_token_id],))
    assert cut_answers([found], tokenizer) == 0
    # One token less, and the prompt gives it; a prompt of a quarter of the context gives none.
    assert answer_tree(tokenizer, "Why?", ["a" * 50], len(whole) + len(letters)).prompt == whole[1:]


def test_an_answer_that_was_cut_off_when_it_was_written_has_no_end(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    found = answer_tree(tokenizer, "Why?", ["Because it"], 128, ended=False)
    assert found.responses == (tokenizer.encode("Because it", add_special_tokens=False),)


def test_the_note_is_there_where_something_was_cut() -> None:
    assert cut_note(0, 9, 512) == ""
    assert cut_note(3, 9, 512) == "; 3 of 9 answers were cut to fit model.context=512"


def test_a_context_without_room_for_a_prompt_has_none(tiny: str) -> None:
    found = answer_tree(load_tokenizer(tiny), "Why?", ["abcdef"], 3)
    assert (len(found.prompt), len(found.responses[0])) == (0, 3)


def test_a_short_answer_leaves_the_prompt_more_room(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    whole = prompt_tokens(tokenizer, "q" * 50 + "?")
    # 20 - 1 - 1
    assert answer_tree(tokenizer, "q" * 50 + "?", ["a"], 20).prompt == whole[-18:]
    # One that fits is left as it is.
    assert answer_tree(tokenizer, "q" * 50 + "?", ["a"], len(whole) + 2).prompt == whole
