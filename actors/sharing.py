"""Columns of items in consecutive shares, one for each actor that takes part."""

from collections.abc import Sequence
from typing import Any

import ray

from actors.pending import Pending

PARTS = 4
"""Of what comes abreast, for each worker: few calls, and the last part, for which the others wait, is short."""


def length(column: "Sequence[object] | Pending[Any]") -> int:
    """How many items a column has."""
    return sum(column.sizes) if isinstance(column, Pending) else len(column)


def takers(column: "Sequence[object] | Pending[Any]", workers: int) -> int:
    """How many of the workers share a column.

    Nobody without an item, for an empty call costs the driver as much as another; and where slices come abreast, only so many
    that each worker has `PARTS` parts, or the first number above, of what comes together: smaller ones would be more calls.
    """
    abreast = column.abreast if isinstance(column, Pending) else 1
    return max(1, min(length(column), workers, -(-PARTS * workers // abreast)))


def split_sizes(total: int, parts: int) -> tuple[int, ...]:
    """Sizes of `parts` consecutive shares of `total` items; they differ by one at most."""
    return tuple(total // parts + (i < total % parts) for i in range(parts))


def shares(column: "Sequence[object] | Pending[Any]", sizes: tuple[int, ...]) -> list[Any]:
    """A column in consecutive shares of these sizes; what is pending stays where it is."""
    if isinstance(column, Pending):
        if sum(column.sizes) != sum(sizes):
            raise ValueError(f"columns of {sum(sizes)} and {sum(column.sizes)} items cannot be scattered together")
        if column.sizes == sizes:
            return list(column.shards)
        split = _SPLIT.options(num_returns=len(sizes), num_cpus=0)
        parts: Any = split.remote(sizes, *column.shards)
        return [parts] if len(sizes) == 1 else parts
    if len(column) != sum(sizes):
        raise ValueError(f"columns of {sum(sizes)} and {len(column)} items cannot be scattered together")
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return [column[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _split(sizes: tuple[int, ...], *shards: list[object]) -> Any:
    """A Ray task: the same items in other shares."""
    items = [item for shard in shards for item in shard]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    shares = [items[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    return shares[0] if len(shares) == 1 else shares


_SPLIT: Any = ray.remote(_split)
"""Made once: Ray keeps every remote function that is made, for the life of the cluster."""
