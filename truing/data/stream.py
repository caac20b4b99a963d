"""The order of the prompts. A position in it is part of the run's state."""

import random
from collections.abc import Sequence

from truing.records import derived_seed


def numbered(count: int) -> list[str]:
    """Ids for `count` items that have none but their position: `int` gives it back, and they sort as the positions do."""
    return [f"{position:09d}" for position in range(count)]


class PromptStream:
    """Prompt ids in an order shuffled anew each epoch. The order of epoch e depends on (seed, e) alone."""

    def __init__(self, ids: Sequence[str], seed: int) -> None:
        if not ids:
            raise ValueError("a prompt stream needs at least one prompt")
        self._ids = sorted(ids)
        self._seed = seed
        self.position = 0

    def take(self, count: int) -> list[str]:
        """The next `count` ids; an epoch's end lies anywhere inside."""
        taken: list[str] = []
        while len(taken) < count:
            epoch, offset = divmod(self.position, len(self._ids))
            part = self._epoch(epoch)[offset : offset + count - len(taken)]
            taken += part
            self.position += len(part)
        return taken

    def _epoch(self, epoch: int) -> list[str]:
        order = list(self._ids)
        random.Random(derived_seed(self._seed, "epoch", epoch)).shuffle(order)
        return order

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return {"position": self.position}

    def restore(self, state: dict[str, int]) -> None:
        """Go to a checkpoint's position."""
        self.position = state["position"]
