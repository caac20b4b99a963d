"""Looks at held-out data during training: when one is due, which was the best, and when to give up."""

from typing import Any

from trainers.run import Run


class Looks:
    """Its state is part of the run's, so that a run that was interrupted stops where the uninterrupted one would."""

    def __init__(self, every: int | None, patience: int | None) -> None:
        """`every`: steps between looks (None: no looks). `patience`: looks without a lower loss before the end."""
        self._every, self._patience = every, patience
        self._lowest = float("inf")
        self._since = 0

    def due(self, step: int) -> bool:
        """Whether a look is due after this step."""
        return self._every is not None and (step + 1) % self._every == 0

    def saw(self, run: Run, loss: float) -> None:
        """A held-out loss: the run keeps the weights of the lowest one, and stops when patience is at its end.

        Without patience the last weights are the ones that stay, and none is kept as the best.
        """
        if self._patience is None:
            return
        if loss < self._lowest:
            self._lowest, self._since = loss, 0
            run.best()
        else:
            self._since += 1
            if self._since >= self._patience:
                run.stop()

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps. JSON has no infinity: None before the first look."""
        return {"lowest": None if self._lowest == float("inf") else self._lowest, "since": self._since}

    def restore(self, state: dict[str, Any]) -> None:
        """Take a checkpoint's state."""
        self._lowest = float("inf") if state["lowest"] is None else state["lowest"]
        self._since = state["since"]
