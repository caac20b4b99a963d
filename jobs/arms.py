"""Arms: ways of training that one study compares, from one start policy and the same labels (RLHF, RLAIF and direct RLAIF: Lee et
al., arXiv 2309.00267; one policy for each coefficient of KL: Kirk et al., arXiv 2310.06452).

What arms share is done once, by the study itself: demonstrations, samples, labels, and the reward model of those arms that leave
it as it is. Then each arm is a run of its own below the study's folder, and the study's grid compares what they have trained.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from jobs.context import Context, run_folder
from jobs.grading import START
from jobs.grid.grid import reward_parts
from jobs.outcome import outcome, win_rates
from jobs.progress import headline, print_table
from jobs.reward_graph import wants_own
from jobs.store import ARMS, cannot_write, write_json
from truing.config.grid import BestOf, Grid, StudyPolicies
from truing.config.load import arm_of, shares_reward_model, ways
from truing.config.policy import Policy, RejectionSampling
from truing.config.rewards import AiScorePart, RewardPart
from truing.config.study import Study
from truing.errors import ConfigError
from truing.report.contents import Table

Stage = TypeVar("Stage", Policy, RejectionSampling)


# --- before anything is started -----------------------------------------------------------------------------------------


def check_arms(study: Study) -> None:
    """Check of every arm, and of the grid that compares them, what can be checked before anything is started.

    Raises:
        ConfigError: the first thing that is wrong.
    """
    done = ways(study)
    for name in study.arms:
        # The start policy may not be fine-tuned yet.
        context = Context.of(arm_run(study, name).model_copy(update={"model": study.model}))
        parts = list(_rewards(context.study))
        if context.study.reward_model is None and any(wants_own(part) for part in parts):
            raise ConfigError(
                f"arms.{name}: its rewards have a reward model and it trains none; give the arm other rewards, or the path of one"
            )
        asks = any(isinstance(part, AiScorePart) and part.labeler is None for part in parts)
        if done[name].labeler != study.labeler and not asks:
            raise ConfigError(
                f"arms.{name}: changes the labeler, and nothing in it asks one: the labels are the study's; make it two studies"
            )
    if study.arms and study.evaluate and study.evaluate.grid:
        _check_grid(Context(study, Context.of(study).run), study.evaluate.grid, done[""])


def _check_grid(context: Context, grid: Grid, shared: Study) -> None:
    if shared.reward_model is None and any(wants_own(part) for part in reward_parts(context, grid)):
        raise ConfigError(
            "evaluate.grid: its rewards have the study's reward model, and each arm has one of its own or none;"
            " give evaluate.grid.rewards, such as [{kind: finished}]"
        )
    named = [one.name for one in grid.policies if not isinstance(one, StudyPolicies)]
    own = [START, *context.study.arms] if any(isinstance(one, StudyPolicies) for one in grid.policies) else []
    if twice := sorted({name for name in named if name in own} | ({START} & set(context.study.arms))):
        raise ConfigError(
            f"arms: {twice[0]!r} is the name of another policy in evaluate.grid; call one of them otherwise"
        )
    wanted = {one.of for one in grid.policies if isinstance(one, BestOf)} | (
        {grid.baseline} if grid.baseline else set()
    )
    if missing := sorted(wanted - {*named, *own}):
        raise ConfigError(
            f"evaluate.grid: {missing[0]!r} is none of {', '.join([*own, *named])}; mend `baseline` or `of`"
        )


def _rewards(study: Study) -> Iterator[RewardPart]:
    for stage in (study.policy, study.rejection):
        yield from stage.rewards if stage else ()


# --- each arm -----------------------------------------------------------------------------------------------------------


def run_arms(study: Study, train: Callable[[Study], None]) -> None:
    """Train every arm, one after the other, from the start policy and the preferences that the study's own stages have left.

    Raises:
        TruingError: as `train`; what is finished is not done again. An arm's folder cannot be written.
    """
    for name in study.arms:
        headline(f"Arm {name}")
        one = arm_run(study, name)
        _hand_over(run_folder(study) / "preferences", run_folder(one) / "preferences")
        train(one)


def arm_run(study: Study, name: str) -> Study:
    """The run of one arm: its trainers, from where the study's own stages have ended."""
    arm, home = ways(study)[name], run_folder(study)
    changes: dict[str, Any] = {"name": name, "storage": str(home / ARMS)}
    if study.sft is not None:
        changes["model"] = arm.model.model_copy(update={"path": str(home / "sft" / "model"), "revision": None})
    if _rewarded_by_the_study(study, name):
        model = str(home / "reward_model" / "model")
        changes["policy"] = arm.policy and _rewarded_by(model, arm.policy)
        changes["rejection"] = arm.rejection and _rewarded_by(model, arm.rejection)
    return arm.model_copy(update=changes)


def _rewarded_by_the_study(study: Study, name: str) -> bool:
    """Whether the rewards of an arm have the study's own reward model among them."""
    arm = arm_of(study, name)
    return shares_reward_model(study, arm) and any(wants_own(part) for part in _rewards(arm))


def _rewarded_by(model: str, stage: Stage) -> Stage:
    """The same stage, with a folder in the place of the run's own reward model."""
    parts = tuple(part.model_copy(update={"path": model}) if wants_own(part) else part for part in stage.rewards)
    return stage.model_copy(update={"rewards": parts})


def _hand_over(source: Path, target: Path) -> None:
    """The study's preferences are the arm's."""
    part = target.with_name(f"{target.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        if source.is_dir():
            shutil.copytree(source, part)
            part.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from None


# --- all of them --------------------------------------------------------------------------------------------------------


def show_arms(context: Context) -> None:
    """What the arms have come to: a row for each, also in `arms.json`."""
    found = arms_table(context)
    if found is not None:
        rows = [dict(zip(found.columns, row, strict=True)) for row in found.rows]
        write_json(context.run.path / "arms.json", rows)
        print_table(found.title, found.columns, found.rows, found.note)


def arms_table(context: Context) -> Table | None:
    """A row for each arm, with its win rate in the study's grid; None without arms."""
    study, home = context.study, context.run.path
    wins, done = win_rates(home), ways(study)
    rows: list[dict[str, Any]] = []
    for name in study.arms:
        run = home / ARMS / name
        tested = run if done[name].reward_model else home if _rewarded_by_the_study(study, name) else None
        found = outcome(run if done[name].policy else None, tested)
        rows.append({"arm": name, **found, "win rate in distribution": wins.get(name)})
    if not rows:
        return None
    return Table("Arms", tuple(rows[0]), tuple(tuple(row.values()) for row in rows), f"each in {home / ARMS}/ARM")
