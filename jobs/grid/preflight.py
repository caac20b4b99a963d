"""What can be seen of a grid before anything is started."""

from pathlib import Path

from jobs.models import file_fingerprint, model_folder
from truing.config.grid import Grid, ModelPolicy, OutputFile


def check_policies(grid: Grid, run: Path) -> None:
    """See before anything is started that the models and files of a grid are there; what the run itself makes may come later.

    Raises:
        ConfigError: the first that is not.
    """
    for one in grid.policies:
        if isinstance(one, ModelPolicy) and not Path(one.path).resolve().is_relative_to(run.resolve()):
            model_folder(one.path)
        if isinstance(one, OutputFile):
            file_fingerprint(one.path)
