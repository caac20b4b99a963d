"""Who answers a labeler's questions: a vLLM engine of ours, or an endpoint. Questions in, likelihoods or replies out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Protocol

from actors.engine import Engine
from actors.spending import Usage
from truing.config.labeling import EngineLabeler
from truing.data.chat import Tokenizer, conversation_tokens, load_tokenizer
from truing.errors import TruingError
from truing.labeling.likelihoods import LabelTrie, Likelihoods, Tokens
from truing.labeling.questions import Question
from truing.records import Failed, NotAsked, Unparsable, derived_seed


class Judge(Protocol):
    """What both kinds can do."""

    @property
    def usage(self) -> Usage:
        """Requests, tokens and cost so far."""
        ...

    def begin(self) -> None:
        """Before each batch: nothing that earlier batches left may bear on its answers."""
        ...

    def halted(self, rest: float, /) -> TruingError | None:
        """Why it answers nothing more, if so; None once it has rested for so many seconds and may be tried again."""
        ...

    def likelihoods(self, questions: Sequence[Question]) -> list[Likelihoods | Unparsable | Failed | NotAsked]:
        """Log-likelihood of each question's labels."""
        ...

    def replies(
        self, questions: Sequence[Question], max_tokens: int, temperature: float, seeds: Sequence[int]
    ) -> list[str | Failed | NotAsked]:
        """What the judge says to each question, drawn with its seed."""
        ...


class EngineJudge:
    """One vLLM engine. Labels of several tokens are read by their string likelihood; the shared prefix is cached."""

    def __init__(self, settings: EngineLabeler) -> None:
        model = settings.model
        self._tokenizer: Tokenizer = load_tokenizer(model.path)
        self._engine = Engine(model.path, model, settings.engine)
        self._trie = cache(self._label_trie)
        self._usage = Usage()

    @property
    def usage(self) -> Usage:
        """Questions, answers and tokens so far; what is cached is counted as if it were read."""
        return self._usage

    @property
    def cached_share(self) -> float:
        """Share of the prompt tokens that the engine found in its prefix cache."""
        return self._engine.cached_share

    def begin(self) -> None:
        """Empty the prefix cache."""
        self._engine.forget()

    def halted(self, _: float, /) -> TruingError | None:
        """Never: it has no budget and no network."""
        return None

    def likelihoods(self, questions: Sequence[Question]) -> list[Likelihoods | Unparsable | Failed | NotAsked]:
        """Log-likelihood of each question's labels right after its answer; a question that does not fit fails alone."""
        tries = [self._trie(question.labels) for question in questions]
        prompts = [conversation_tokens(self._tokenizer, q.turns, q.answer) for q in questions]
        room = [self._engine.context - max(map(len, trie.nodes)) - 1 for trie in tries]
        fitting = [i for i, prompt in enumerate(prompts) if len(prompt) <= room[i]]
        # The nodes of one question side by side: all but the first find its prompt cached.
        asked = [(i, node) for i in fitting for node in tries[i].nodes]
        found = self._engine.next_token_logprobs(
            [[*prompts[i], *node] for i, node in asked], [tries[i].nodes[node] for i, node in asked]
        )
        by_question: dict[int, dict[Tokens, Mapping[int, float]]] = {i: {} for i in fitting}
        for (i, node), logprobs in zip(asked, found, strict=True):
            by_question[i][node] = logprobs
        self._count(len(questions), len(fitting), sum(len(prompts[i]) for i in fitting), len(asked))
        return [
            _read(tries[i], by_question[i]) if i in by_question else _too_long(len(prompts[i]), room[i])
            for i in range(len(questions))
        ]

    def replies(
        self, questions: Sequence[Question], max_tokens: int, temperature: float, seeds: Sequence[int]
    ) -> list[str | Failed | NotAsked]:
        """What the judge says to each question; a question that leaves no room for the reply fails alone."""
        prompts = [conversation_tokens(self._tokenizer, q.turns, q.answer) for q in questions]
        room = self._engine.context - max_tokens
        fitting = [i for i, prompt in enumerate(prompts) if len(prompt) <= room]
        drawn = self._engine.texts([prompts[i] for i in fitting], max_tokens, temperature, [seeds[i] for i in fitting])
        replies: list[str | Failed | NotAsked] = [_too_long(len(prompt), room) for prompt in prompts]
        tokens = 0
        for i, (text, count) in zip(fitting, drawn, strict=True):
            replies[i] = text
            tokens += count
        self._count(len(questions), len(fitting), sum(len(prompts[i]) for i in fitting), tokens)
        return replies

    def _label_trie(self, labels: tuple[str, ...]) -> LabelTrie:
        ids = {label: tuple(self._tokenizer.encode(label, add_special_tokens=False)) for label in labels}
        return LabelTrie.of(ids)

    def _count(self, asked: int, answered: int, prompt_tokens: int, completion_tokens: int) -> None:
        self._usage += Usage(
            requests=asked,
            answers=answered,
            failures=asked - answered,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
        )


def question_seed(question: Question, number: int) -> int:
    """Seed of the n-th reply to a question: the same whatever else is asked, and whenever."""
    return derived_seed("reply", asdict(question), number)


def _read(trie: LabelTrie, found: Mapping[Tokens, Mapping[int, float]]) -> Likelihoods | Unparsable:
    try:
        return trie.likelihoods(found)
    except ValueError as error:
        return Unparsable(str(error))


def _too_long(tokens: int, room: int) -> Failed:
    return Failed(f"judge prompt has {tokens} tokens; {room} fit the context")
