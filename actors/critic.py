"""Critic: a learner rank that predicts the return of each response token (PPO)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actors.forward import Floats, per_token, regroup, rollout_tokens
from actors.learner import Learner, Seat
from actors.networks import ScalarHead, load_causal
from truing.algorithms.losses import clipped_value
from truing.config.roles import Learner as LearnerSettings
from truing.data.batches import Tokens, micro_batches, pad
from truing.records import Rollout


class Critic:
    """Values, updates and checkpoints of one rank."""

    def __init__(self, folder: str, settings: LearnerSettings, seat: Seat) -> None:
        self._network = ScalarHead(load_causal(folder))
        self._learner = Learner(self._network, settings, seat)

    def values(self, groups: Sequence[Sequence[Rollout]]) -> list[list[Floats]]:
        """V of the state before each response token."""
        sequences = [rollout_tokens(rollout) for group in groups for rollout in group]
        budget = self._learner.settings.token_budget
        return regroup(per_token(self._network.values, sequences, budget, self._learner.autocast()), groups)

    def update(
        self,
        groups: Sequence[Sequence[Rollout]],
        old: Sequence[Sequence[Floats]],
        targets: Sequence[Sequence[Floats | None]],
        minibatch: Sequence[int],
        *,
        minibatches: int,
        clip: float,
    ) -> list[float]:
        """One optimizer update for each minibatch; returns the losses. A target of None leaves a completion out."""
        losses: list[float] = []
        for number in range(minibatches):
            items: list[tuple[Tokens, Floats, Floats]] = [
                (rollout_tokens(rollout), before, target)
                for group, group_old, group_targets, at in zip(groups, old, targets, minibatch, strict=True)
                for rollout, before, target in zip(group, group_old, group_targets, strict=True)
                if at == number and target is not None
            ]

            def micro_loss(chosen: list[int], items: list[tuple[Tokens, Floats, Floats]] = items) -> Tensor:
                values = self._network.values(pad([items[i][0] for i in chosen]))
                before = torch.from_numpy(np.concatenate([items[i][1] for i in chosen]))
                target = torch.from_numpy(np.concatenate([items[i][2] for i in chosen]))
                return clipped_value(values, before, target, clip)

            groups_of = micro_batches([len(item[0]) for item in items], self._learner.settings.token_budget)
            tokens = sum(len(item[1]) for item in items)
            loss, _ = self._learner.step([lambda g=group: micro_loss(g) for group in groups_of], tokens)
            losses.append(loss)
        return losses

    def save(self, folder: Path) -> None:
        """This rank's part of a checkpoint."""
        self._learner.save(folder)

    def load(self, folder: Path) -> None:
        """Take up a checkpoint."""
        self._learner.load(folder)
