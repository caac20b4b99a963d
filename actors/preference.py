"""Direct preference: a learner rank whose loss compares log-prob ratios of two responses, and the reference's part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actors.adapters import merged, trainable
from actors.forward import per_token
from actors.learner import Learner, Seat
from actors.networks import TokenLogprobs, load_causal, save_model
from actors.reference import Reference
from truing.config.roles import Learner as LearnerSettings
from truing.data.answers import answer_tree
from truing.data.batches import Tree, collate, micro_batches
from truing.data.chat import load_tokenizer
from truing.data.judged import Comparisons, flattened

PreferenceLoss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(h, P(better is better), weights), each `[comparisons]`, to the summed loss; h is a difference of log-prob ratios."""


@dataclass(frozen=True, slots=True)
class ReferenceReader:
    """A reference with the texts' tokens. Stateless: what it says is stored, and never asked again."""

    reference: Reference
    folder: str
    context: int

    def sums(self, comparisons: Sequence[Comparisons]) -> list[list[float]]:
        """log π_ref of each response to each prompt, in nats, summed over its tokens."""
        tokenizer = load_tokenizer(self.folder)
        trees = [answer_tree(tokenizer, one.prompt, one.responses, self.context) for one in comparisons]
        return [[float(tokens.sum()) for tokens in tree] for tree in self.reference.read(trees)]


class PreferenceLearner:
    """One rank. It holds the tokenised responses and the reference's log-probs; the driver names prompts by position."""

    def __init__(
        self,
        folder: str,
        context: int,
        comparisons: Sequence[Comparisons],
        reference: Sequence[Sequence[float]],
        settings: LearnerSettings,
        seat: Seat,
    ) -> None:
        tokenizer = load_tokenizer(folder)
        self._folder, self._comparisons, self._reference = folder, comparisons, reference
        self._trees = [answer_tree(tokenizer, one.prompt, one.responses, context) for one in comparisons]
        self._network = TokenLogprobs(trainable(load_causal(folder), settings), 1.0)
        self._learner = Learner(self._network, settings, seat)

    def update(self, positions: Sequence[int], *, loss: PreferenceLoss) -> list[tuple[float, float]]:
        """One optimizer update on the comparisons of these prompts; returns [(loss, gradient norm)]."""

        def micro_loss(chosen: list[int]) -> Tensor:
            at = [positions[i] for i in chosen]
            trees = [self._trees[i] for i in at]
            logprobs, _ = self._network(collate(trees))
            ratios = response_sums(logprobs, trees) - torch.tensor(
                [one for i in at for one in self._reference[i]], device=logprobs.device
            )
            judged = flattened(self._comparisons[i] for i in at)
            h = ratios[[one.better for one in judged]] - ratios[[one.worse for one in judged]]
            p = torch.tensor([one.p for one in judged], device=h.device)
            return loss(h, p, torch.tensor([one.weight for one in judged], device=h.device))

        batches = micro_batches([len(self._trees[i]) for i in positions], self._learner.settings.token_budget)
        weight = sum(self._comparisons[i].weight for i in positions)
        return [self._learner.step([lambda b=batch: micro_loss(b) for batch in batches], weight)]

    def ratios(self, positions: Sequence[int]) -> list[list[float]]:
        """log π/π_ref of every response to these prompts, in nats: the implicit reward is β times this."""
        learner = self._learner
        trees = [self._trees[i] for i in positions]
        budget = learner.settings.token_budget
        read = per_token(lambda b: self._network(b)[0], trees, budget, learner.autocast(), learner.rounds)
        return [
            [float(tokens.sum()) - start for tokens, start in zip(tree, self._reference[i], strict=True)]
            for tree, i in zip(read, positions, strict=True)
        ]

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


def response_sums(logprobs: Tensor, trees: Sequence[Tree]) -> Tensor:
    """Log-probs summed over each response's tokens: `[responses]`."""
    sizes = [len(response) for tree in trees for response in tree.responses]
    return torch.stack([part.sum() for part in logprobs.split(sizes)])
