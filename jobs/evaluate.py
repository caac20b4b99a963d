"""Evaluate: what somebody recorded, then the grid of policies."""

from jobs.context import Context
from jobs.grid.grid import grid
from jobs.recorded.recorded import recorded


def evaluate(context: Context) -> None:
    """Every figure that the study asks for; they stand in `evaluation/` of the run. Raises as the two parts."""
    settings = context.study.evaluate
    assert settings is not None
    if settings.recorded:
        recorded(settings, context.run.path / "evaluation", context.study.seed)
    if settings.grid is not None:
        grid(context, settings.grid)


if __name__ == "__main__":
    from jobs.cli import run_module

    run_module("evaluate")
