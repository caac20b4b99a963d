"""Critic: a learner rank that predicts the return of each response token (PPO)."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from actors.adapters import trainable
from actors.forward import Floats, joined, per_token, rollout_tree, rows_of
from actors.learner import Learner, Seat
from actors.networks import ScalarHead, load_causal
from truing.algorithms.losses import clipped_value
from truing.config.roles import Learner as LearnerSettings
from truing.data.batches import collate, micro_batches
from truing.records import Rollout


class Critic:
    """Values, updates and checkpoints of one rank."""

    def __init__(self, folder: str, settings: LearnerSettings, seat: Seat) -> None:
        self._network = ScalarHead(trainable(load_causal(folder), settings))
        self._learner = Learner(self._network, settings, seat)

    def values(self, groups: Sequence[Sequence[Rollout]]) -> list[list[Floats]]:
        """V of the state before each response token."""
        learner = self._learner
        trees = [rollout_tree(group) for group in groups]
        budget = learner.settings.token_budget
        return per_token(self._network.values, trees, budget, learner.autocast(), learner.rounds)

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
            chosen = [
                [one for one in zip(group, group_old, group_targets, strict=True) if one[2] is not None]
                for group, group_old, group_targets, at in zip(groups, old, targets, minibatch, strict=True)
                if at == number
            ]
            losses.append(self._one_update([group for group in chosen if group], clip))
        return losses

    def _one_update(self, groups: Sequence[Sequence[tuple[Rollout, Floats, Floats | None]]], clip: float) -> float:
        budget = self._learner.settings.token_budget
        trees = [rollout_tree([rollout for rollout, _, _ in group]) for group in groups]
        rows = [group[part] for group, tree in zip(groups, trees, strict=True) for part in rows_of(tree, budget)]
        trees = [rollout_tree([rollout for rollout, _, _ in row]) for row in rows]

        def micro_loss(chosen: list[int]) -> Tensor:
            items = [item for at in chosen for item in rows[at]]
            values = self._network.values(collate([trees[at] for at in chosen]))
            before = joined((old for _, old, _ in items), values.device)
            target = joined((target for _, _, target in items if target is not None), values.device)
            return clipped_value(values, before, target, clip)

        batches = micro_batches([len(tree) for tree in trees], budget)
        return self._learner.step([lambda b=batch: micro_loss(b) for batch in batches], sum(t.tokens for t in trees))[0]

    def save(self, folder: Path) -> None:
        """This rank's part of a checkpoint."""
        self._learner.save(folder)

    def load(self, folder: Path) -> None:
        """Take up a checkpoint."""
        self._learner.load(folder)
