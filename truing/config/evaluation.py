"""What an evaluation measures: a grid of policies, and what somebody recorded."""

from pydantic import model_validator

from truing.config.base import Section
from truing.config.grid import Grid
from truing.config.recorded import Recorded
from truing.config.roles import Positive


class Evaluate(Section):
    """Policies in and out of distribution, and figures from recorded files."""

    grid: Grid | None = Grid()
    """Which policies are measured, on what and how; by default the study's own on its own prompts. Null asks no model: nothing
    but `recorded` is then read."""
    recorded: tuple[Recorded, ...] = ()
    """Files of outputs, ratings and verdicts that figures are computed from."""
    prompts_per_split: Positive = 16
    """Of the study's own prompts so many of each split are asked (in-distribution: of the held-out ones)."""

    @model_validator(mode="after")
    def _named_apart(self) -> "Evaluate":
        names = [one.name for one in self.recorded]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"recorded: two sources are called {twice!r}; give each its own name")
        return self
