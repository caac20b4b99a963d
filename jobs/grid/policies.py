"""The policies of a grid: who they are, what identifies them, where their weights are."""

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.context import Context
from jobs.grading import START
from jobs.models import file_fingerprint, fingerprint, model_folder
from jobs.store import ARMS
from truing.config.grid import BestOf, EndpointPolicy, Grid, GridPolicy, ModelPolicy, OutputFile, StudyPolicies
from truing.config.load import arm_of
from truing.config.study import Study
from truing.errors import ConfigError
from truing.records import content_id

TRAINED = {"policy": "trained", "rejection": "rejection sampling", "dpo": "DPO"}
"""What the policies that a study trains are called, by the stage that trains them: the last stage first."""


@dataclass(frozen=True)
class Contestant:
    """One policy of a grid. `id` holds all that its outputs depend on; `folder` is that of its model, "" where it has none here.

    `drawn`: the largest n of the best-of-n policies made from it, whose outputs it writes beside its own.
    """

    name: str
    settings: GridPolicy
    id: str
    folder: str
    drawn: int = 0


def trained(context: Context) -> dict[str, str]:
    """Folders of the policies that the study has trained, by what they are called: those of arms by the arm's name."""
    run = context.run.path
    found = {name: run / stage / "model" for stage, name in TRAINED.items()}
    if context.study.arms:
        arms = {name: arm_of(context.study, name) for name in context.study.arms}
        found = {name: run / ARMS / name / last_stage(arm) / "model" for name, arm in arms.items()}
    return {name: str(folder) for name, folder in found.items() if (folder / "config.json").is_file()}


def last_stage(study: Study) -> str:
    """The stage that trains a study's policy last. Raises ValueError where there is none."""
    sections = {"policy": study.policy, "rejection": study.rejection, "dpo": study.dpo}
    stages = [stage for stage in TRAINED if sections[stage] is not None]
    if not stages:
        raise ValueError("a study without a policy, rejection or dpo section trains no policy")
    return stages[0]


def contestants(context: Context, grid: Grid) -> tuple[Contestant, ...]:
    """Every policy, in the order of the configuration.

    Raises:
        ConfigError: a model or a file that is not there; two policies of one name; best of n of a policy that there is not.
    """
    found: list[Contestant] = []
    for settings in grid.policies:
        found += _of(context, settings)
    names = [one.name for one in found]
    for one in found:
        if names.count(one.name) > 1:
            raise ConfigError(f"evaluate.grid: two policies are called {one.name!r}; give each its own name")
        if isinstance(one.settings, BestOf) and one.settings.of not in names:
            raise ConfigError(
                f"evaluate.grid: {one.name!r} is of {one.settings.of!r}, which is none of {', '.join(names)}; mend `of`"
            )
    if grid.baseline and grid.baseline not in names:
        raise ConfigError(f"evaluate.grid: the baseline {grid.baseline!r} is none of {', '.join(names)}; mend it")
    return tuple(_with_draws(one, found) for one in found)


def baseline_of(grid: Grid, policies: Sequence[Contestant]) -> Contestant:
    """The policy that the others are compared with."""
    return next((one for one in policies if one.name == grid.baseline), policies[0])


def _of(context: Context, settings: GridPolicy) -> list[Contestant]:
    if isinstance(settings, StudyPolicies):
        own = [Contestant(START, settings, context.start_id, context.start_folder)]
        return own + [
            Contestant(name, settings, fingerprint(folder), folder) for name, folder in trained(context).items()
        ]
    if isinstance(settings, ModelPolicy):
        folder = model_folder(settings.path, settings.revision)
        return [Contestant(settings.name, settings, fingerprint(folder), folder)]
    if isinstance(settings, EndpointPolicy):
        one = settings.endpoint
        return [Contestant(settings.name, settings, content_id("endpoint", one.url, one.model), "")]
    if isinstance(settings, OutputFile):
        read = [settings.prompt, settings.output, settings.where]
        return [Contestant(settings.name, settings, content_id(file_fingerprint(settings.path), *read), "")]
    return [Contestant(settings.name, settings, content_id("best of", settings.n, settings.of), "")]


def _with_draws(one: Contestant, everyone: Sequence[Contestant]) -> Contestant:
    needed = [
        other.settings.n for other in everyone if isinstance(other.settings, BestOf) and other.settings.of == one.name
    ]
    return Contestant(one.name, one.settings, one.id, one.folder, max([0, *needed]))
