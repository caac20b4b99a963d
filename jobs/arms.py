"""Arms: ways of training that one study compares, from one start policy and the same labels (RLHF, RLAIF and direct RLAIF: Lee et
al., arXiv 2309.00267; one policy for each coefficient of KL: Kirk et al., arXiv 2310.06452).

What arms share is done once, by the study itself: demonstrations, samples, labels, and the reward model of those arms that leave
it as it is. Then each arm is a run of its own below the study's folder, and the study's grid compares what they have trained.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from jobs.context import Context, run_folder
from jobs.outcome import outcome, win_rates
from jobs.progress import headline, print_table
from jobs.store import ARMS, cannot_write, read_json, write_json
from truing.config.load import arm_of
from truing.config.policy import Policy, RejectionSampling
from truing.config.rewards import RewardModelPart
from truing.config.study import Study
from truing.report.contents import Table

TABLE = "arms.json"

Stage = TypeVar("Stage", Policy, RejectionSampling)


def check_arms(study: Study) -> None:
    """Check of every arm what can be checked before anything is started. Raises ConfigError."""
    for name in study.arms:
        # The start policy may not be fine-tuned yet.
        Context.of(arm_run(study, name).model_copy(update={"model": study.model}))


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


def shares_reward_model(study: Study, name: str) -> bool:
    """Whether an arm is rewarded by the reward model that the study itself trains: it changes neither that nor the seed."""
    arm = arm_of(study, name)
    return study.reward_model is not None and (arm.reward_model, arm.seed) == (study.reward_model, study.seed)


def arm_run(study: Study, name: str) -> Study:
    """The run of one arm: its trainers, from where the study's own stages have ended."""
    arm, home = arm_of(study, name), run_folder(study)
    changes: dict[str, Any] = {
        "name": name, "storage": str(home / ARMS), "arms": {},
        "wordings": None, "sft": None, "agreement": None, "evaluate": None,
    }  # fmt: skip
    if study.sft is not None:
        changes["model"] = arm.model.model_copy(update={"path": str(home / "sft" / "model"), "revision": None})
    if shares_reward_model(study, name):
        changes["reward_model"] = None
        model = str(home / "reward_model" / "model")
        changes["policy"] = arm.policy and _rewarded_by(model, arm.policy)
        changes["rejection"] = arm.rejection and _rewarded_by(model, arm.rejection)
    return arm.model_copy(update=changes)


def _rewarded_by(model: str, stage: Stage) -> Stage:
    """The same stage, with a folder in the place of the run's own reward model."""
    parts = tuple(
        part.model_copy(update={"path": model}) if isinstance(part, RewardModelPart) and not part.path else part
        for part in stage.rewards
    )
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


def show_arms(context: Context) -> None:
    """What the arms have come to: a row for each, also in `arms.json`."""
    study, home = context.study, context.run.path
    wins = win_rates(home)
    rows: list[dict[str, Any]] = []
    for name in study.arms:
        arm, run = arm_run(study, name), home / ARMS / name
        tested = run if arm.reward_model else home if _uses(arm, home) else None
        rows.append({"arm": name, **outcome(run, tested), "win rate in distribution": wins.get(name)})
    write_json(home / TABLE, rows)
    found = arms_table(home)
    assert found is not None
    print_table(found.title, found.columns, found.rows, found.note)


def arms_table(home: Path) -> Table | None:
    """The rows of `arms.json`; None where no arm was trained."""
    rows = read_json(home / TABLE)
    if not rows:
        return None
    return Table("Arms", tuple(rows[0]), tuple(tuple(row.values()) for row in rows), f"each in {home / ARMS}/ARM")


def _uses(arm: Study, home: Path) -> bool:
    """Whether an arm's rewards have the study's own reward model among them."""
    stages = [stage for stage in (arm.policy, arm.rejection) if stage]
    own = str(home / "reward_model" / "model")
    return any(isinstance(part, RewardModelPart) and part.path == own for stage in stages for part in stage.rewards)
