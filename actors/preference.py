"""Direct preference: a learner rank whose loss compares log-prob ratios of two responses, and the reference's part."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actors.language import LanguageLearner
from actors.learner import Seat
from actors.reference import Reference
from truing.config.roles import Learner as LearnerSettings
from truing.data.answers import answer_tree, cut_answers
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


class PreferenceLearner(LanguageLearner):
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
        super().__init__(folder, settings, 1.0, seat)
        tokenizer = load_tokenizer(folder)
        self._comparisons, self._reference = comparisons, reference
        self._trees = [answer_tree(tokenizer, one.prompt, one.responses, context) for one in comparisons]
        self._cut = cut_answers(self._trees, tokenizer)

    def cut(self) -> int:
        """How many responses do not fit the context."""
        return self._cut

    def update(self, positions: Sequence[int], *, loss: PreferenceLoss) -> list[tuple[float, float]]:
        """One optimizer update on the comparisons of these prompts; returns [(loss, gradient norm)]."""

        def micro_loss(chosen: list[int]) -> Tensor:
            at = [positions[i] for i in chosen]
            trees = [self._trees[i] for i in at]
            logprobs, _ = self.network(collate(trees))
            ratios = response_sums(logprobs, trees) - torch.tensor(
                [one for i in at for one in self._reference[i]], device=logprobs.device
            )
            judged = flattened(self._comparisons[i] for i in at)
            h = ratios[[one.better for one in judged]] - ratios[[one.worse for one in judged]]
            p = torch.tensor([one.p for one in judged], device=h.device)
            return loss(h, p, torch.tensor([one.weight for one in judged], device=h.device))

        batches = micro_batches([len(self._trees[i]) for i in positions], self.learner.settings.token_budget)
        weight = sum(self._comparisons[i].weight for i in positions)
        return [self.learner.step([lambda b=batch: micro_loss(b) for batch in batches], weight)]

    def ratios(self, positions: Sequence[int]) -> list[list[float]]:
        """log π/π_ref of every response to these prompts, in nats: the implicit reward is β times this."""
        read = self.read([self._trees[i] for i in positions])
        return [
            [float(tokens.sum()) - start for tokens, start in zip(tree, self._reference[i], strict=True)]
            for tree, i in zip(read, positions, strict=True)
        ]


def response_sums(logprobs: Tensor, trees: Sequence[Tree]) -> Tensor:
    """Log-probs summed over each response's tokens: `[responses]`."""
    sizes = [len(response) for tree in trees for response in tree.responses]
    return torch.stack([part.sum() for part in logprobs.split(sizes)])
