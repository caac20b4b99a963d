"""Reward model: the learner rank that trains it, and the stateless actor that scores with it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actors.forward import per_sequence
from actors.learner import Learner, Seat, autocast
from actors.networks import SCALE_FILE, ScalarHead, load_causal, load_reward_model
from truing.algorithms.losses import preference
from truing.config.roles import Learner as LearnerSettings
from truing.config.roles import Scorer
from truing.data.batches import Tokens, micro_batches, pad
from truing.data.chat import Tokenizer, load_tokenizer, prompt_tokens


@dataclass(frozen=True, slots=True)
class Comparison:
    """One training pair: soft label p_chosen and weight."""

    prompt: str
    chosen: str
    rejected: str
    p_chosen: float
    weight: float


def scored_tokens(tokenizer: Tokenizer, prompt: str, response: str, context: int) -> Tokens:
    """What a reward model reads: the chat prompt, the response's text and one end-of-sequence token.

    A response that does not fit is cut at the context; a prompt is cut from its front, which keeps the question's end.
    """
    answer = [*tokenizer.encode(response, add_special_tokens=False)[: context // 2], tokenizer.eos_token_id]
    return Tokens(prompt_tokens(tokenizer, prompt)[-(context - len(answer)) :], answer)


class RewardLearner:
    """One rank. It holds the tokenised pairs; the driver names them by position."""

    def __init__(
        self, folder: str, context: int, comparisons: Sequence[Comparison], settings: LearnerSettings, seat: Seat
    ) -> None:
        self._tokenizer = load_tokenizer(folder)
        self._comparisons = comparisons
        self._pairs = [
            tuple(scored_tokens(self._tokenizer, c.prompt, answer, context) for answer in (c.chosen, c.rejected))
            for c in comparisons
        ]
        self._model = load_causal(folder)
        self._network = ScalarHead(self._model)
        self._learner = Learner(self._network, settings, seat)

    def update(self, positions: Sequence[int]) -> list[tuple[float, float]]:
        """One optimizer update on these pairs; returns [(loss, gradient norm)]."""

        def micro_loss(group: list[int]) -> Tensor:
            at = [positions[i] for i in group]
            rewards = self._network.rewards(pad([self._pairs[i][side] for side in (0, 1) for i in at]))
            chosen, rejected = rewards[: len(at)], rewards[len(at) :]
            labels = torch.tensor([self._comparisons[i].p_chosen for i in at])
            weights = torch.tensor([self._comparisons[i].weight for i in at])
            return preference(chosen, rejected, labels, weights)

        lengths = [max(map(len, self._pairs[i])) for i in positions]
        groups = micro_batches(lengths, self._learner.settings.token_budget, per_item=2)
        weight = sum(self._comparisons[i].weight for i in positions)
        return [self._learner.step([lambda g=group: micro_loss(g) for group in groups], weight)]

    def rewards(self, positions: Sequence[int]) -> list[tuple[float, float]]:
        """Raw reward of the chosen and the rejected response of these pairs."""
        sequences = [sequence for i in positions for sequence in self._pairs[i]]
        budget = self._learner.settings.token_budget
        flat = per_sequence(self._network.rewards, sequences, budget, self._learner.autocast())
        return list(zip(flat[::2], flat[1::2], strict=True))

    def save(self, folder: Path) -> None:
        """This rank's part of a checkpoint."""
        self._learner.save(folder)

    def load(self, folder: Path) -> None:
        """Take up a checkpoint."""
        self._learner.load(folder)

    def export(self, folder: Path, mean: float, deviation: float) -> None:
        """Write the reward model (rank 0): backbone, head, and the scale of its scores."""
        if self._learner.seat.rank == 0:
            self._model.save_pretrained(folder)
            self._tokenizer.save_pretrained(str(folder))
            self._network.save_head(folder)
            (folder / SCALE_FILE).write_text(json.dumps({"mean": mean, "deviation": deviation}))


class RewardScorer:
    """Stateless: scaled scores, mean 0 and deviation 1 on the start policy's samples."""

    def __init__(self, folder: str, context: int, settings: Scorer, precision: str) -> None:
        if not settings.gpus:
            torch.set_num_threads(settings.cpus)
        self._network, self._mean, self._deviation = load_reward_model(folder)
        self._tokenizer = load_tokenizer(folder)
        self._context, self._settings, self._precision = context, settings, precision

    def score(self, texts: Sequence[tuple[str, str]]) -> list[float]:
        """Scaled reward of each (prompt, response)."""
        sequences = [scored_tokens(self._tokenizer, prompt, answer, self._context) for prompt, answer in texts]
        context = autocast(self._precision, self._settings.gpus)
        raw = per_sequence(self._network.eval().rewards, sequences, self._settings.token_budget, context)
        return [(value - self._mean) / self._deviation for value in raw]
