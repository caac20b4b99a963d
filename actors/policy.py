"""Policy: a learner rank of the model being aligned."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from actors.forward import Floats, per_token, regroup, rollout_tokens
from actors.learner import Learner, Seat
from actors.networks import TokenLogprobs, load_causal
from actors.rollout import Probe, Weights, checksum
from truing.algorithms.losses import importance_weights
from truing.config.roles import Learner as LearnerSettings
from truing.data.batches import Tokens, micro_batches, pad
from truing.data.chat import load_tokenizer
from truing.records import Rollout

PolicyLoss = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(log-probs, old log-probs, advantages, importance weights), each `[tokens]`, to the summed loss."""


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """What one optimizer update saw, over all ranks."""

    loss: float
    grad_norm: float
    entropy: float
    ratio: float
    logprob_gap: float


@dataclass(frozen=True, slots=True)
class Credited:
    """One completion with its credit: per-token old log-probs and advantages."""

    rollout: Rollout
    old: Floats
    advantages: Floats


class Policy:
    """Log-probs, updates, weights and checkpoints of one rank."""

    def __init__(self, folder: str, settings: LearnerSettings, temperature: float, seat: Seat) -> None:
        self._folder = folder
        self._network = TokenLogprobs(load_causal(folder), temperature)
        self._learner = Learner(self._network, settings, seat)

    def logprobs(self, groups: Sequence[Sequence[Rollout]]) -> list[list[Floats]]:
        """Log-probs of each response token under the current weights, by prompt and completion."""
        sequences = [rollout_tokens(rollout) for group in groups for rollout in group]
        return regroup(self._logprobs(sequences), groups)

    def _logprobs(self, sequences: Sequence[Tokens]) -> list[Floats]:
        budget = self._learner.settings.token_budget
        return per_token(lambda batch: self._network(batch)[0], sequences, budget, self._learner.autocast())

    def update(
        self,
        groups: Sequence[Sequence[Rollout]],
        old: Sequence[Sequence[Floats]],
        advantages: Sequence[Sequence[Floats | None]],
        minibatch: Sequence[int],
        *,
        minibatches: int,
        loss: PolicyLoss,
        importance_cap: float,
    ) -> list[UpdateStats]:
        """One optimizer update for each minibatch.

        Args:
            groups: completions by prompt, this rank's share.
            old: their log-probs when they were sampled.
            advantages: per token; None leaves a completion out (its reward failed).
            minibatch: number of the minibatch that each group belongs to.
            minibatches: how many there are.
            loss: sums over tokens; the division by the global token count is done by the learner.
            importance_cap: largest learner-to-engine importance weight.
        """
        stats: list[UpdateStats] = []
        for number in range(minibatches):
            items = [
                Credited(rollout, before, credit)
                for group, group_old, group_credit, at in zip(groups, old, advantages, minibatch, strict=True)
                for rollout, before, credit in zip(group, group_old, group_credit, strict=True)
                if at == number and credit is not None
            ]
            stats.append(self._one_update(items, loss, importance_cap))
        return stats

    def _one_update(self, items: Sequence[Credited], loss: PolicyLoss, importance_cap: float) -> UpdateStats:
        seen: list[tuple[float, float]] = []

        def micro_loss(group: list[int]) -> Tensor:
            batch = pad([rollout_tokens(items[i].rollout) for i in group])
            logprobs, entropy = self._network(batch)
            old = _flat(items[i].old for i in group)
            weights = importance_weights(old, _flat(items[i].rollout.logprobs for i in group), importance_cap)
            seen.append((float(entropy.sum()), float((logprobs.detach() - old).exp().sum())))
            return loss(logprobs, old, _flat(items[i].advantages for i in group), weights)

        groups = micro_batches([len(rollout_tokens(i.rollout)) for i in items], self._learner.settings.token_budget)
        tokens = sum(len(item.old) for item in items)
        gap = sum(float(np.abs(item.old - np.asarray(item.rollout.logprobs, np.float32)).sum()) for item in items)
        mean_loss, norm = self._learner.step([lambda g=group: micro_loss(g) for group in groups], tokens)
        # A rank with fewer micro-batches repeats its last one with weight 0: what it saw then does not count.
        total = self._learner.total
        everywhere = max(total(tokens), 1.0)
        entropy, ratio = (total(sum(column[: len(groups)])) for column in zip(*seen, strict=True))
        return UpdateStats(mean_loss, norm, entropy / everywhere, ratio / everywhere, total(gap) / everywhere)

    def weights(self) -> tuple[Weights, int]:
        """Parameters as bfloat16 bits, and their checksum. Rank 0 is asked; with ZeRO 1 and 2 every rank has them all."""
        tied = self._network.model.config.tie_word_embeddings
        bits = {
            name: parameter.detach().to(torch.bfloat16).view(torch.int16).cpu().numpy()
            for name, parameter in self._network.model.named_parameters()
            if not (tied and name == "lm_head.weight")
        }
        return bits, checksum(bits)

    def probe(self, probe: Probe) -> list[float]:
        """Log-probs of the probe's response at temperature 1, to be compared with the engines'."""
        temperature, self._network.temperature = self._network.temperature, 1.0
        found = self._logprobs([Tokens(probe.prompt, probe.response)])[0]
        self._network.temperature = temperature
        return found.tolist()

    def save(self, folder: Path) -> None:
        """This rank's part of a checkpoint."""
        self._learner.save(folder)

    def load(self, folder: Path) -> None:
        """Take up a checkpoint."""
        self._learner.load(folder)

    def export(self, folder: Path) -> None:
        """Write a plain Hugging Face folder (rank 0), in bfloat16, as the engines had it."""
        if self._learner.seat.rank == 0:
            model = self._network.model
            state = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
            model.save_pretrained(folder, state_dict=state)
            # The call writes the type of the network in memory; what it stored is bfloat16.
            model.config.dtype = torch.bfloat16
            model.config.save_pretrained(folder)
            load_tokenizer(self._folder).save_pretrained(str(folder))


def _flat(arrays: "Iterable[Floats | list[float]]") -> Tensor:
    return torch.from_numpy(np.concatenate([np.asarray(a, np.float32) for a in arrays]))
