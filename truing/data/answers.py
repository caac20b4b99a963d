"""A prompt and whole answers to it as token ids: what reward models, preference losses and supervised learners read."""

from collections.abc import Iterable, Sequence

from truing.data.batches import Tree
from truing.data.chat import Tokenizer, prompt_tokens

READING = 2
"""Changes when answers are cut in another way: what was learned from them is then another thing."""
PROMPT_SHARE = 4
"""A prompt keeps at least one part in so many of the context, however long the answers are."""


def answer_tree(tokenizer: Tokenizer, prompt: str, answers: Sequence[str], context: int, *, ended: bool = True) -> Tree:
    """The chat prompt, and each answer's text with one end-of-sequence token.

    The prompt is cut from its front, which keeps the question's end, to what the longest answer leaves of the context; it is the
    same for all. An answer that does not fit beside the end of its prompt is cut, and then has no end-of-sequence token: nobody
    is to learn that an answer ends there. `ended`: False for answers that were cut off when they were written.
    """
    asked = prompt_tokens(tokenizer, prompt)
    room = context - min(len(asked), context // PROMPT_SHARE)
    end = [tokenizer.eos_token_id] if ended else []
    fitting = tuple([*tokenizer.encode(answer, add_special_tokens=False), *end][:room] for answer in answers)
    left = context - max(map(len, fitting))
    return Tree(asked[max(0, len(asked) - left) :], fitting)


def cut_answers(trees: Iterable[Tree], tokenizer: Tokenizer) -> int:
    """How many answers, of those that were to end, did not fit."""
    return sum(response[-1:] != [tokenizer.eos_token_id] for tree in trees for response in tree.responses)


def cut_note(cut: int, of: int, context: int) -> str:
    """What to print of answers that were cut, of so many that were looked at; nothing where none was."""
    return f"; {cut} of {of} answers were cut to fit model.context={context}" if cut else ""
