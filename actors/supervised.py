"""Supervised fine-tuning: the learner rank that is shown demonstrations, in one wording or another."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actors.adapters import merged, trainable
from actors.forward import Floats, per_token
from actors.learner import Learner, Seat
from actors.networks import TokenLogprobs, load_causal, save_model
from truing.algorithms.losses import negative_log_likelihood
from truing.config.roles import Learner as LearnerSettings
from truing.data.answers import answer_tree
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
        return answer_tree(tokenizer, one.prompt, [one.answer], self.context)

    def choices(self, tokenizer: Tokenizer, asked: Asked) -> Tree:
        """Prompt and every answer that could be given."""
        one = self.demonstration(asked)
        return answer_tree(tokenizer, one.prompt, one.choices, self.context)


class SupervisedLearner:
    """One rank. It holds the demonstrations; the driver names them by position and wording."""

    def __init__(self, folder: str, shown: Shown, settings: LearnerSettings, seat: Seat) -> None:
        self._folder, self._shown = folder, shown
        self._tokenizer = load_tokenizer(folder)
        self._network = TokenLogprobs(trainable(load_causal(folder), settings), 1.0)
        self._learner = Learner(self._network, settings, seat)

    def update(self, asked: Sequence[Asked]) -> list[tuple[float, float]]:
        """One optimizer update: mean loss an answer token; returns [(loss, gradient norm)]."""
        trees = [self._shown.tree(self._tokenizer, one) for one in asked]

        def micro_loss(chosen: list[int]) -> Tensor:
            return negative_log_likelihood(self._network(collate([trees[i] for i in chosen]))[0])

        batches = micro_batches([len(tree) for tree in trees], self._learner.settings.token_budget)
        tokens = sum(tree.tokens for tree in trees)
        return [self._learner.step([lambda b=batch: micro_loss(b) for batch in batches], tokens)]

    def losses(self, asked: Sequence[Asked]) -> list[tuple[float, int]]:
        """(-log π of the answer in nats, its tokens) of each demonstration."""
        trees = [self._shown.tree(self._tokenizer, one) for one in asked]
        return [(-float(found.sum()), len(found)) for (found,) in self._read(trees)]

    def choices(self, asked: Sequence[Asked]) -> list[list[float]]:
        """log π of every answer that could be given, in nats, with its end of sequence: rank classification's scores."""
        trees = [self._shown.choices(self._tokenizer, one) for one in asked]
        return [[float(found.sum()) for found in tree] for tree in self._read(trees)]

    def _read(self, trees: Sequence[Tree]) -> list[list[Floats]]:
        learner = self._learner
        budget = learner.settings.token_budget
        return per_token(lambda batch: self._network(batch)[0], trees, budget, learner.autocast(), learner.rounds)

    def save(self, folder: Path) -> None:
        """This rank's part of a checkpoint."""
        self._learner.save(folder)

    def load(self, folder: Path) -> None:
        """Take up a checkpoint."""
        self._learner.load(folder)

    def export(self, folder: Path) -> None:
        """Write a plain Hugging Face folder (rank 0), in bfloat16."""
        with self._learner.whole():
            if self._learner.seat.rank == 0:
                save_model(self._network.model, merged(self._network.model), torch.bfloat16, self._folder, folder)
