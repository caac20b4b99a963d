"""Reward model: the learner rank that trains it, and the stateless actor that scores with it."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from actors.adapters import trainable
from actors.forward import per_response
from actors.learner import Learner, Seat, autocast
from actors.networks import SCALE_FILE, ScalarHead, load_causal, load_reward_model, save_model
from truing.algorithms.losses import preference
from truing.config.roles import Learner as LearnerSettings
from truing.config.roles import Scorer
from truing.data.answers import answer_tree, cut_answers
from truing.data.batches import collate, micro_batches
from truing.data.chat import load_tokenizer
from truing.data.judged import Comparisons, flattened


class RewardLearner:
    """One rank. It holds the tokenised responses of every prompt; the driver names prompts by position."""

    def __init__(
        self, folder: str, context: int, comparisons: Sequence[Comparisons], settings: LearnerSettings, seat: Seat
    ) -> None:
        tokenizer = load_tokenizer(folder)
        self._folder, self._comparisons = folder, comparisons
        self._trees = [answer_tree(tokenizer, one.prompt, one.responses, context) for one in comparisons]
        self._cut = cut_answers(self._trees, tokenizer)
        self._model = trainable(load_causal(folder), settings)
        self._network = ScalarHead(self._model)
        self._learner = Learner(self._network, settings, seat)

    def cut(self) -> int:
        """How many responses do not fit the context."""
        return self._cut

    def update(self, positions: Sequence[int]) -> list[tuple[float, float]]:
        """One optimizer update on the comparisons of these prompts; returns [(loss, gradient norm)].

        All responses to a prompt are in one row, so that its comparisons cost one forward pass.
        """

        def micro_loss(chosen: list[int]) -> Tensor:
            at = [positions[i] for i in chosen]
            rewards = self._network.rewards(collate([self._trees[i] for i in at]))
            judged = flattened(self._comparisons[i] for i in at)

            def column(values: list[float]) -> Tensor:
                return torch.tensor(values, device=rewards.device)

            return preference(
                rewards[[one.better for one in judged]],
                rewards[[one.worse for one in judged]],
                column([one.p for one in judged]),
                column([one.weight for one in judged]),
                column([one.margin for one in judged]),
            )

        batches = micro_batches([len(self._trees[i]) for i in positions], self._learner.settings.token_budget)
        weight = sum(self._comparisons[i].weight for i in positions)
        return [self._learner.step([lambda b=batch: micro_loss(b) for batch in batches], weight)]

    def rewards(self, positions: Sequence[int]) -> list[list[float]]:
        """Raw reward of every response to these prompts."""
        learner = self._learner
        trees = [self._trees[i] for i in positions]
        budget = learner.settings.token_budget
        return per_response(self._network.rewards, trees, budget, learner.autocast(), learner.rounds)

    def save(self, folder: Path) -> None:
        """This rank's part of a checkpoint."""
        self._learner.save(folder)

    def load(self, folder: Path) -> None:
        """Take up a checkpoint."""
        self._learner.load(folder)

    def export(self, folder: Path, mean: float, deviation: float) -> None:
        """Write the reward model (rank 0): backbone, head, and the scale of its scores."""
        weights = self._learner.weights(self._model, torch.float32)
        with self._learner.whole(self._network.head.parameters()):
            if self._learner.seat.rank == 0:
                save_model(self._model, weights, torch.float32, self._folder, folder)
                self._network.save_head(folder)
                (folder / SCALE_FILE).write_text(json.dumps({"mean": mean, "deviation": deviation}))


class RewardScorer:
    """Stateless: scaled scores, mean 0 and deviation 1 on the start policy's samples."""

    def __init__(self, folder: str, context: int, settings: Scorer, precision: str) -> None:
        if not settings.gpus:
            torch.set_num_threads(settings.cpus)
        network, self._mean, self._deviation = load_reward_model(folder)
        self._network = network.to("cuda" if settings.gpus else "cpu").eval()
        self._tokenizer = load_tokenizer(folder)
        self._context, self._settings, self._precision = context, settings, precision

    def score(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Scaled reward of each response to each prompt."""
        return [[(value - self._mean) / self._deviation for value in one] for one in self.raw(asked)]

    def raw(self, asked: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """The reward as it was trained, before it is scaled."""
        trees = [answer_tree(self._tokenizer, prompt, answers, self._context) for prompt, answers in asked]
        context = autocast(self._precision, self._settings.gpus)
        return per_response(self._network.rewards, trees, self._settings.token_budget, context)
