"""Forward passes over many ragged sequences: length-sorted micro-batches in, one array a sequence out, in order."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truing.data.batches import Padded, Tokens, micro_batches, pad
from truing.records import Rollout

T = TypeVar("T")

Floats = NDArray[np.float32]
"""One number a response token, or one a sequence."""


def tensor(values: Floats) -> Tensor:
    """A tensor of its own memory: what comes from the object store is read-only."""
    return torch.from_numpy(np.array(values, np.float32))


def rollout_tokens(rollout: Rollout) -> Tokens:
    """The token sequence of a rollout."""
    return Tokens(rollout.prompt_tokens, rollout.tokens)


@torch.no_grad()
def per_token(
    read: Callable[[Padded], Tensor],
    sequences: Sequence[Tokens],
    token_budget: int,
    precision: AbstractContextManager[object],
) -> list[Floats]:
    """`read` gives one number for each response token of a batch, row by row; here each sequence gets its own."""
    found: list[Floats] = [np.empty(0, np.float32)] * len(sequences)
    with precision:
        for group in micro_batches([len(s) for s in sequences], token_budget):
            flat = read(pad([sequences[i] for i in group])).float().cpu()
            parts = flat.split([len(sequences[i].response) for i in group])
            for i, part in zip(group, parts, strict=True):
                found[i] = part.numpy()
    return found


@torch.no_grad()
def per_sequence(
    read: Callable[[Padded], Tensor],
    sequences: Sequence[Tokens],
    token_budget: int,
    precision: AbstractContextManager[object],
) -> list[float]:
    """`read` gives one number for each row of a batch."""
    found = [0.0] * len(sequences)
    with precision:
        for group in micro_batches([len(s) for s in sequences], token_budget):
            for i, value in zip(group, read(pad([sequences[i] for i in group])).tolist(), strict=True):
                found[i] = float(value)
    return found


def regroup(values: Sequence[T], groups: Sequence[Sequence[object]]) -> list[list[T]]:
    """Flat values in the shape of `groups`."""
    flat = iter(values)
    return [[next(flat) for _ in group] for group in groups]
