"""Ragged token sequences, cut by a token budget, padded as little as the lengths allow."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

MULTIPLE = 8
"""Row lengths are rounded up to a multiple that kernels like."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sequence: a prompt and the response to it. The response part is explicit; no token id means padding."""

    prompt: list[int]
    response: list[int]

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True, slots=True)
class Padded:
    """Sequences side by side. `attention` is False at padding, `response` True at response tokens."""

    ids: Int[Tensor, "rows length"]
    attention: Bool[Tensor, "rows length"]
    response: Bool[Tensor, "rows length"]


def micro_batches(lengths: Sequence[int], token_budget: int, per_item: int = 1) -> list[list[int]]:
    """Positions of items, longest first, in groups whose padded size stays within the budget.

    A single item longer than the budget forms a group of its own: memory is what the budget limits, not correctness.

    Args:
        lengths: tokens of the longest sequence of each item.
        token_budget: rows × padded row of a group at most.
        per_item: rows of one item (2 for a preference pair).
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    groups: list[list[int]] = []
    for i in order:
        if groups and (len(groups[-1]) + 1) * per_item * _padded(lengths[groups[-1][0]]) <= token_budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def pad(sequences: Sequence[Tokens]) -> Padded:
    """Right-pad to the longest sequence, rounded up to `MULTIPLE`."""
    longest = _padded(max(len(s) for s in sequences))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    attention = torch.zeros(len(sequences), longest, dtype=torch.bool)
    response = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        stop = len(sequence)
        ids[row, :stop] = torch.tensor(sequence.prompt + sequence.response)
        attention[row, :stop] = True
        response[row, len(sequence.prompt) : stop] = True
    return Padded(ids, attention, response)


def _padded(length: int) -> int:
    return -(-length // MULTIPLE) * MULTIPLE
