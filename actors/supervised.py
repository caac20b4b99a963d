"""Supervised fine-tuning: the learner rank that is shown demonstrations, in one wording or another."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from actors.language import LanguageLearner
from actors.learner import Seat
from truing.algorithms.losses import negative_log_likelihood
from truing.config.roles import Learner as LearnerSettings
from truing.data.answers import answer_tree, cut_answers
from truing.data.batches import Tree, collate, micro_batches
from truing.data.chat import Tokenizer, load_tokenizer
from truing.data.demonstrations import Demonstration
from truing.data.paft import prompted

Asked = tuple[int, int]
"""(position of a demonstration, number of its wording)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Demonstrations and the wordings they may be asked in; without wordings each has its own prompt."""

    demonstrations: Sequence[Demonstration]
    wordings: Sequence[str]
    context: int

    def demonstration(self, asked: Asked) -> Demonstration:
        """The demonstration in that wording."""
        position, number = asked
        one = self.demonstrations[position]
        return prompted(one, self.wordings, number) if self.wordings else one

    def tree(self, tokenizer: Tokenizer, asked: Asked) -> Tree:
        """Prompt and answer."""
        one = self.demonstration(asked)
        return answer_tree(tokenizer, one.prompt, [one.answer], self.context, ended=one.ended)

    def choices(self, tokenizer: Tokenizer, asked: Asked) -> Tree:
        """Prompt and every answer that could be given."""
        one = self.demonstration(asked)
        return answer_tree(tokenizer, one.prompt, one.choices, self.context)


class SupervisedLearner(LanguageLearner):
    """One rank. It holds the demonstrations; the driver names them by position and wording."""

    def __init__(self, folder: str, shown: Shown, settings: LearnerSettings, seat: Seat) -> None:
        super().__init__(folder, settings, 1.0, seat)
        self._shown, self._tokenizer = shown, load_tokenizer(folder)

    def cut(self, asked: Sequence[Asked]) -> list[int]:
        """Of each demonstration, whether its answer does not fit the context: 1 or 0."""
        return [cut_answers([self._shown.tree(self._tokenizer, one)], self._tokenizer) for one in asked]

    def update(self, asked: Sequence[Asked]) -> list[tuple[float, float]]:
        """One optimizer update: mean loss an answer token; returns [(loss, gradient norm)]."""
        trees = [self._shown.tree(self._tokenizer, one) for one in asked]

        def micro_loss(chosen: list[int]) -> Tensor:
            return negative_log_likelihood(self.network(collate([trees[i] for i in chosen]))[0])

        batches = micro_batches([len(tree) for tree in trees], self.learner.settings.token_budget)
        tokens = sum(tree.tokens for tree in trees)
        return [self.learner.step([lambda b=batch: micro_loss(b) for batch in batches], tokens)]

    def losses(self, asked: Sequence[Asked]) -> list[tuple[float, int]]:
        """(-log π of the answer in nats, its tokens) of each demonstration."""
        trees = [self._shown.tree(self._tokenizer, one) for one in asked]
        return [(-float(found.sum()), len(found)) for (found,) in self.read(trees)]

    def choices(self, asked: Sequence[Asked]) -> list[list[float]]:
        """log π of every answer that could be given, in nats, with its end of sequence: rank classification's scores."""
        trees = [self._shown.choices(self._tokenizer, one) for one in asked]
        return [[float(found.sum()) for found in tree] for tree in self.read(trees)]
