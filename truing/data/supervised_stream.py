"""Which demonstration comes next, and in which wording. A position in the stream is part of the run's state."""

from collections.abc import Sequence

from truing.data.paft import drawn
from truing.data.stream import PromptStream


class ExampleStream:
    """(demonstration id, number of its prompt), shuffled anew each epoch.

    The order of epoch e depends on (seed, e) alone, and so do the prompts: algorithm 1 of PAFT (arXiv 2502.12859). With one
    prompt, each number is 0: that is plain fine-tuning.
    """

    def __init__(self, ids: Sequence[str], seed: int, prompts: int = 1, every: int = 1) -> None:
        """`prompts`: how many there are to draw from. `every`: K, the examples between two draws."""
        if prompts < 1 or every < 1:
            raise ValueError("an example stream needs at least one prompt, and at least one example between two draws")
        self._ids = PromptStream(ids, seed)
        self._epoch = len(ids)
        self._seed, self._prompts, self._every = seed, prompts, every

    def take(self, count: int) -> list[tuple[str, int]]:
        """The next `count`; an epoch's end lies anywhere inside."""
        start = self._ids.position
        return [(key, self._prompt(position)) for position, key in enumerate(self._ids.take(count), start)]

    def _prompt(self, position: int) -> int:
        epoch, offset = divmod(position, self._epoch)
        return drawn(self._seed, epoch, offset, self._every, self._prompts)

    def state(self) -> dict[str, int]:
        """What a checkpoint keeps."""
        return self._ids.state()

    def restore(self, state: dict[str, int]) -> None:
        """Go to a checkpoint's position."""
        self._ids.restore(state)
