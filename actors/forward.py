"""Forward passes over many trees: length-sorted micro-batches in, one array or number a response out, in order."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from truing.data.batches import IDLE, LONGEST_SHARED, Batch, Tree, collate, micro_batches, split_tree
from truing.records import Rollout

T = TypeVar("T")

Floats = NDArray[np.float32]
"""One number a response token, or one a sequence."""


def tensor(values: Floats) -> Tensor:
    """A tensor of its own memory: what comes from the object store is read-only."""
    return torch.from_numpy(np.array(values, np.float32))


def joined(arrays: Iterable[Floats | Sequence[float]], device: torch.device) -> Tensor:
    """Float32 numbers of several responses in one row, on a device."""
    return torch.from_numpy(np.concatenate([np.asarray(array, np.float32) for array in arrays])).to(device)


def rollout_tree(group: Sequence[Rollout]) -> Tree:
    """The completions of one prompt."""
    return Tree(group[0].prompt_tokens, tuple(rollout.tokens for rollout in group))


def rows_of(tree: Tree, token_budget: int) -> list[slice]:
    """Which responses of a tree share a row."""
    return split_tree(tree, min(token_budget, LONGEST_SHARED))


def as_many(count: int) -> int:
    """Forward passes of an actor that runs alone: as many as it has micro-batches. Ranks may have to make more."""
    return count


def per_token(
    read: Callable[[Batch], Tensor],
    trees: Sequence[Tree],
    token_budget: int,
    precision: AbstractContextManager[object],
    rounds: Callable[[int], int] = as_many,
) -> list[list[Floats]]:
    """`read` gives one number for each response token of a batch; here each response gets its own, by tree."""
    sizes = [[len(response) for response in tree.responses] for tree in trees]
    return _by_response(read, trees, sizes, token_budget, precision, rounds)


def per_response(
    read: Callable[[Batch], Tensor],
    trees: Sequence[Tree],
    token_budget: int,
    precision: AbstractContextManager[object],
    rounds: Callable[[int], int] = as_many,
) -> list[list[float]]:
    """`read` gives one number for each response of a batch; by tree."""
    sizes = [[1] * len(tree.responses) for tree in trees]
    found = _by_response(read, trees, sizes, token_budget, precision, rounds)
    return [[float(one[0]) for one in tree] for tree in found]


@torch.no_grad()
def _by_response(
    read: Callable[[Batch], Tensor],
    trees: Sequence[Tree],
    sizes: Sequence[Sequence[int]],
    token_budget: int,
    precision: AbstractContextManager[object],
    rounds: Callable[[int], int],
) -> list[list[Floats]]:
    found: list[list[Floats]] = [[np.empty(0, np.float32)] * len(tree.responses) for tree in trees]
    places = [(i, part) for i, tree in enumerate(trees) for part in rows_of(tree, token_budget)]
    rows = [Tree(trees[i].prompt, trees[i].responses[part]) for i, part in places]
    groups = micro_batches([len(row) for row in rows], token_budget)
    with precision:
        for _ in range(rounds(len(groups)) - len(groups)):
            read(collate([IDLE]))
        for group in groups:
            flat = read(collate([rows[at] for at in group])).float().cpu()
            wanted = [size for at in group for size in sizes[places[at][0]][places[at][1]]]
            parts = iter(flat.split(wanted))
            for at in group:
                i, part = places[at]
                found[i][part] = [next(parts).numpy() for _ in rows[at].responses]
    return found


def regroup(values: Sequence[T], groups: Sequence[Sequence[object]]) -> list[list[T]]:
    """Flat values in the shape of `groups`."""
    flat = iter(values)
    return [[next(flat) for _ in group] for group in groups]
