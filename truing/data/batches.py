"""Ragged token sequences as trees: one prompt, the responses to it. Cut by a token budget, padded as little as lengths allow.

All responses to one prompt share that prompt's forward and backward pass: a row is `prompt + c1 + c2 + …`, each response
sees the prompt and itself, and its positions start again where the prompt ends. What is computed is what separate
sequences would give.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

MULTIPLE = 8
"""Row lengths are rounded up to a multiple that kernels like."""

LONGEST_SHARED = 1024
"""Tokens up to which responses join one row: attention grows with the square of a row, and would eat the saving."""


@dataclass(frozen=True, slots=True)
class Tree:
    """One prompt and some responses to it. What is prompt and what is response is explicit; no token id means padding."""

    prompt: list[int]
    responses: tuple[list[int], ...]

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.responses))

    @property
    def tokens(self) -> int:
        """Response tokens."""
        return sum(map(len, self.responses))


IDLE = Tree([0], ([0],))
"""What a rank reads that has nothing to read while the others do."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Trees side by side, one a row. Response tokens and responses are counted row by row, in their order in the tree."""

    ids: Int[Tensor, "rows length"]
    positions: Int[Tensor, "rows length"]
    """Place in the sequence that a token would have if its response stood alone after the prompt."""
    visible: Bool[Tensor, "rows 1 length length"]
    """[row, 0, query, key]: True where the query may look at the key."""
    targets: Int[Tensor, " tokens"]
    """The response tokens."""
    predictors: Int[Tensor, " tokens"]
    """Flat index (row · length + column) of the token whose state predicts each target."""
    last: Int[Tensor, " responses"]
    """Flat index of the last token of each response (of the prompt, where the response is empty)."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        columns = (self.ids, self.positions, self.visible, self.targets, self.predictors, self.last)
        return Batch(*(column.to(device) for column in columns))


def split_tree(tree: Tree, longest: int) -> list[slice]:
    """Consecutive responses that share a row of at most `longest` tokens; one that is longer has a row of its own."""
    slices: list[slice] = []
    start = 0
    length = len(tree.prompt)
    for i, response in enumerate(tree.responses):
        if i > start and length + len(response) > longest:
            slices.append(slice(start, i))
            start, length = i, len(tree.prompt)
        length += len(response)
    return [*slices, slice(start, len(tree.responses))] if tree.responses else []


def micro_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Positions of rows, longest first, in groups whose padded size stays within the budget.

    A single row longer than the budget forms a group of its own: memory is what the budget limits, not correctness.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    groups: list[list[int]] = []
    for i in order:
        if groups and (len(groups[-1]) + 1) * _padded(lengths[groups[-1][0]]) <= token_budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def collate(trees: Sequence[Tree]) -> Batch:
    """Right-pad to the longest row, rounded up to `MULTIPLE`."""
    length = _padded(max(len(tree) for tree in trees))
    ids = torch.zeros(len(trees), length, dtype=torch.long)
    positions = torch.zeros(len(trees), length, dtype=torch.long)
    branch = torch.full((len(trees), length), -1)
    predictors: list[int] = []
    last: list[int] = []
    for row, tree in enumerate(trees):
        stem = len(tree.prompt)
        sequence = [*tree.prompt, *(token for response in tree.responses for token in response)]
        ids[row, : len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        positions[row, :stem] = torch.arange(stem)
        branch[row, :stem] = 0
        start = stem
        for number, response in enumerate(tree.responses, 1):
            stop = start + len(response)
            positions[row, start:stop] = torch.arange(stem, stem + len(response))
            branch[row, start:stop] = number
            before = row * length + stem - 1
            predictors += [before, *range(row * length + start, row * length + stop - 1)][: len(response)]
            last.append(row * length + stop - 1 if response else before)
            start = stop
    targets = [token for tree in trees for response in tree.responses for token in response]
    flat = (torch.tensor(column, dtype=torch.long) for column in (targets, predictors, last))
    return Batch(ids, positions, _visible(branch), *flat)


def _visible(branch: Int[Tensor, "rows length"]) -> Bool[Tensor, "rows 1 length length"]:
    """A token sees the prompt (branch 0) and its own response, up to itself; padding (-1) sees padding alone."""
    query, key = branch[:, :, None], branch[:, None, :]
    mine = (query == key) | ((key == 0) & (query > 0))
    return (mine & torch.ones(branch.shape[1], branch.shape[1], dtype=torch.bool).tril())[:, None]


def _padded(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE
