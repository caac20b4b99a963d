"""A learner rank of a language model: what every trainer of token log-probs has in common."""

from collections.abc import Sequence
from pathlib import Path

import torch

from actors.adapters import trainable
from actors.forward import Floats, per_token
from actors.learner import Learner, Seat
from actors.networks import TokenLogprobs, load_causal, save_model
from truing.config.roles import Learner as LearnerSettings
from truing.data.batches import Tree


class LanguageLearner:
    """Log-probs under the current weights, checkpoints and export of one rank."""

    def __init__(self, folder: str, settings: LearnerSettings, temperature: float, seat: Seat) -> None:
        self.folder = folder
        self.network = TokenLogprobs(trainable(load_causal(folder), settings), temperature)
        self.learner = Learner(self.network, settings, seat)

    def read(self, trees: Sequence[Tree]) -> list[list[Floats]]:
        """Log-probs of each response token, in nats, by tree and response."""
        learner = self.learner
        budget = learner.settings.token_budget
        return per_token(lambda batch: self.network(batch)[0], trees, budget, learner.autocast(), learner.rounds)

    def save(self, folder: Path) -> None:
        """This rank's part of a checkpoint."""
        self.learner.save(folder)

    def load(self, folder: Path) -> None:
        """Take up a checkpoint."""
        self.learner.load(folder)

    def export(self, folder: Path) -> None:
        """Write a plain Hugging Face folder (rank 0), in bfloat16, as the engines had it."""
        weights = self.learner.weights(self.network.model, torch.bfloat16)
        if self.learner.seat.rank == 0:
            save_model(self.network.model, weights, torch.bfloat16, self.folder, folder)
