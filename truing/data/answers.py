"""A prompt and whole answers to it as token ids: what reward models, preference losses and supervised learners read."""

from collections.abc import Sequence

from truing.data.batches import Tree
from truing.data.chat import Tokenizer, prompt_tokens


def answer_tree(tokenizer: Tokenizer, prompt: str, answers: Sequence[str], context: int) -> Tree:
    """The chat prompt, and each answer's text with one end-of-sequence token.

    An answer is cut at half the context. The prompt is cut from its front, which keeps the question's end, to what the
    longest answer leaves of the context; it is the same for all.
    """
    ended = [
        [*tokenizer.encode(answer, add_special_tokens=False)[: context // 2 - 1], tokenizer.eos_token_id]
        for answer in answers
    ]
    room = context - max(map(len, ended))
    return Tree(prompt_tokens(tokenizer, prompt)[-room:], tuple(ended))
