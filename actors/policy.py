"""Policy: a learner rank of the model being aligned."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from actors.adapters import adapters, ingredients, merged
from actors.forward import Floats, joined, rollout_tree, rows_of
from actors.language import LanguageLearner
from actors.rollout import Probe, Weights, checksum
from actors.sharded import buckets
from truing.algorithms.kl import k3
from truing.algorithms.losses import importance_weights, negative_log_likelihood
from truing.data.batches import IDLE, Tree, collate, micro_batches
from truing.data.chat import load_tokenizer
from truing.records import Rollout


@dataclass(frozen=True, slots=True)
class Seen:
    """What a policy loss may look at: columns of `[response tokens]` of one micro-batch, log-probs in nats."""

    logprobs: Tensor
    """Under the weights being trained, with gradient."""
    entropy: Tensor
    """Of the distribution that each token was drawn from, with gradient."""
    old: Tensor
    """Log-probs when the batch was sampled, by the learner."""
    reference: Tensor
    """Log-probs under the start policy."""
    advantages: Tensor
    weights: Tensor
    """Truncated learner-to-engine importance weights."""


PolicyLoss = Callable[[Seen], Tensor]
"""The loss, summed over tokens."""


@dataclass(frozen=True, slots=True)
class Pretraining:
    """Texts mixed into an update (PPO-ptx): each is read up to `length` tokens; `weight` is γ."""

    texts: Sequence[str]
    length: int
    weight: float


@dataclass(frozen=True, slots=True)
class UpdateStats:
    """What one optimizer update saw: means over the tokens of all ranks.

    How far the engine that sampled is from the learner that is trained, at the same weights but for rounding, or a version of
    them: `logprob_gap`, |log π_learner/π_engine|; `mismatch_kl`, KL(π_engine‖π_learner) in nats a token (k3); `importance`, the
    truncated weight, and `importance_capped`, the share of tokens at its cap. Where they agree: 0, 0, 1 and 0.
    """

    loss: float
    grad_norm: float
    entropy: float
    ratio: float
    logprob_gap: float
    mismatch_kl: float
    importance: float
    importance_capped: float


@dataclass(frozen=True, slots=True)
class Credited:
    """One completion with its credit: per token, old and reference log-probs and advantages."""

    rollout: Rollout
    old: Floats
    reference: Floats
    advantages: Floats


class Policy(LanguageLearner):
    """Log-probs, updates, weights and checkpoints of one rank."""

    def logprobs(self, groups: Sequence[Sequence[Rollout]]) -> list[list[Floats]]:
        """Log-probs of each response token under the current weights, by prompt and completion."""
        return self.read([rollout_tree(group) for group in groups])

    def update(
        self,
        groups: Sequence[Sequence[Rollout]],
        old: Sequence[Sequence[Floats]],
        reference: Sequence[Sequence[Floats]],
        advantages: Sequence[Sequence[Floats | None]],
        minibatch: Sequence[int],
        *,
        minibatches: int,
        loss: PolicyLoss,
        importance_cap: float,
        pretraining: Pretraining | None = None,
    ) -> list[UpdateStats]:
        """One optimizer update for each minibatch.

        Args:
            groups: completions by prompt, this rank's share.
            old: their log-probs when they were sampled.
            reference: their log-probs under the start policy.
            advantages: per token; None leaves a completion out (its reward failed).
            minibatch: number of the minibatch that each group belongs to.
            minibatches: how many there are.
            loss: sums over tokens; the division by the global token count is done by the learner.
            importance_cap: largest learner-to-engine importance weight.
            pretraining: texts whose language-modelling loss is added to each update; every rank gets all, and takes its share.
        """
        stats: list[UpdateStats] = []
        for number in range(minibatches):
            chosen = [
                [
                    Credited(rollout, before, start, credit)
                    for rollout, before, start, credit in zip(*columns, strict=True)
                    if credit is not None
                ]
                for *columns, at in zip(groups, old, reference, advantages, minibatch, strict=True)
                if at == number
            ]
            stats.append(self._one_update([group for group in chosen if group], loss, importance_cap, pretraining))
        return stats

    def _one_update(
        self,
        groups: Sequence[Sequence[Credited]],
        loss: PolicyLoss,
        importance_cap: float,
        pretraining: Pretraining | None,
    ) -> UpdateStats:
        budget = self.learner.settings.token_budget
        rows = [group[part] for group in groups for part in rows_of(_tree(group), budget)]
        figures: list[tuple[float, float]] = []

        def micro_loss(chosen: list[int]) -> Tensor:
            items = [item for at in chosen for item in rows[at]]
            logprobs, entropy = self.network(collate([_tree(rows[at]) for at in chosen]))
            old, reference, advantages, sampled = (
                joined(column, logprobs.device)
                for column in zip(*((i.old, i.reference, i.advantages, i.rollout.logprobs) for i in items), strict=True)
            )
            weights = importance_weights(old, sampled, importance_cap)
            figures.append((float(entropy.detach().sum()), float((logprobs.detach() - old).exp().sum())))
            return loss(Seen(logprobs, entropy, old, reference, advantages, weights))

        batches = micro_batches([len(_tree(row)) for row in rows], budget)
        items = [item for row in rows for item in row]
        tokens = sum(len(item.old) for item in items)
        apart = _mismatch(items, importance_cap)
        losses = [lambda b=batch: micro_loss(b) for batch in batches]
        if pretraining is not None:
            losses += self._remembering(pretraining, tokens, loss)
        mean_loss, norm = self.learner.step(losses, tokens, lambda: self._idle(loss))
        total = self.learner.total
        everywhere = max(total(tokens), 1.0)
        entropy, ratio = (total(sum(column)) for column in zip(*figures, (0.0, 0.0), strict=True))
        means = [value / everywhere for value in (entropy, ratio, *map(total, apart))]
        return UpdateStats(mean_loss, norm, *means)

    def _idle(self, loss: PolicyLoss) -> Tensor:
        """A pass that teaches nothing."""
        return _weightless(loss, *self.network(collate([IDLE])))

    def _remembering(self, mix: Pretraining, tokens: int, loss: PolicyLoss) -> list[Callable[[], Tensor]]:
        """γ times the language-modelling loss a token of this rank's texts, scaled for a learner that divides by the
        response tokens (Ouyang et al., arXiv 2203.02155, eq. 2, last term)."""
        learner = self.learner
        mine = mix.texts[learner.seat.rank :: learner.seat.world]
        tokenizer = load_tokenizer(self.folder)
        ids = [tokenizer.encode(text)[: mix.length + 1] for text in mine]
        trees = [Tree(one[:1], (one[1:],)) for one in ids if len(one) > 1]
        scale = mix.weight * learner.total(tokens) / max(learner.total(sum(tree.tokens for tree in trees)), 1.0)

        def lm_loss(chosen: list[int]) -> Tensor:
            with self.network.untempered():
                logprobs, entropy = self.network(collate([trees[i] for i in chosen]))
            # Another rank may learn from completions in this pass: see `Learner.step`.
            return scale * negative_log_likelihood(logprobs) + _weightless(loss, logprobs, entropy)

        batches = micro_batches([len(tree) for tree in trees], learner.settings.token_budget)
        return [lambda b=batch: lm_loss(b) for batch in batches]

    def buckets(self, size: float) -> list[list[str]]:
        """Names of what is pushed, in the model's order, in shares of at most `size` bytes as bfloat16.

        A parameter that is larger alone is a share of its own.
        """
        pushed = {name: [parameter] for name, (parameter, *_) in self._pushed().items()}
        return buckets(pushed, size / 2, self.learner.settings)

    def weights(self, names: Sequence[str]) -> tuple[Weights, int]:
        """Parameters as bfloat16 bits, and their checksum. Every rank is asked; rank 0 has an answer."""
        with self.shared(names) as whole:
            bits = {name: parameter.view(torch.int16).cpu().numpy() for name, parameter in whole.items()}
        return bits, checksum(bits)

    @contextmanager
    def shared(self, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """A block in which rank 0 has parameters as a whole, in bfloat16. Every rank enters it; the others have none."""
        made_of = self._pushed()
        with self.learner.whole(part for name in names for part in made_of[name]):
            if self.learner.seat.rank:
                yield {}
                return
            model = self.network.model
            whole = {name: made_of[name][0] for name in names} if self._adapters_alone else merged(model, set(names))
            yield {name: parameter.detach().to(torch.bfloat16) for name, parameter in whole.items()}

    @property
    def _adapters_alone(self) -> bool:
        lora = self.learner.settings.lora
        return lora is not None and lora.push == "adapter"

    def _pushed(self) -> dict[str, list[nn.Parameter]]:
        """What is pushed by name, and what it is made of: the plain model's parameters, or the adapters alone."""
        if self._adapters_alone:
            return {name: [parameter] for name, parameter in adapters(self.network.model).items()}
        return ingredients(self.network.model)

    def probe(self, probe: Probe) -> list[float]:
        """Log-probs of the probe's response at temperature 1, to be compared with the engines'."""
        with self.network.untempered():
            return self.read([Tree(probe.prompt, (probe.response,))])[0][0].tolist()


def _mismatch(items: Sequence[Credited], cap: float) -> list[float]:
    """Sums over tokens: |log ratio|, k3, truncated weight, whether it is at the cap."""
    old, sampled = (
        torch.tensor([float(one) for column in columns for one in column], dtype=torch.float64)
        for columns in ([item.old for item in items], [item.rollout.logprobs for item in items])
    )
    weights = importance_weights(old, sampled, cap)
    return [float(one.sum()) for one in ((old - sampled).abs(), k3(sampled, old), weights, weights >= cap)]


def _weightless(loss: PolicyLoss, logprobs: Tensor, entropy: Tensor) -> Tensor:
    """The policy loss of tokens that have no advantage, weighing nothing: it uses what the loss uses of the network."""
    same, nothing = logprobs.detach(), torch.zeros_like(logprobs)
    return loss(Seen(logprobs, entropy, same, same, nothing, nothing)) * 0.0


def _tree(items: Sequence[Credited]) -> Tree:
    return rollout_tree([item.rollout for item in items])
