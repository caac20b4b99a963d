"""What stands behind a reward graph: the models, labelers and templates that its parts name by path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from actors.networks import HEAD_FILE
from jobs.context import Context
from jobs.labelers import member, online
from jobs.models import fingerprint
from truing.config.policy import Policy, RejectionSampling
from truing.config.rewards import AiScorePart, CombinedPart, RewardModelPart, RewardPart
from truing.errors import ConfigError
from truing.labeling.templates import load_template
from truing.records import content_id


def own_reward_model(context: Context, parts: Sequence[RewardPart]) -> str:
    """Folder of the study's own reward model; empty where the reward graph does not want it.

    Raises:
        ConfigError: it is wanted and not trained.
    """
    if not any(wants_own(part) for part in parts):
        return ""
    folder = context.run.path / "reward_model" / "model"
    if not (folder / HEAD_FILE).is_file():
        raise ConfigError(
            "the reward graph has a reward_model part and none is trained; add a reward_model section, or give its path"
        )
    return str(folder)


def wants_own(part: RewardPart) -> bool:
    """Whether a part is scored by the reward model that the study itself trains."""
    return isinstance(part, RewardModelPart) and not part.path


def graph_id(context: Context, parts: Sequence[RewardPart]) -> str:
    """Identity of what the parts read, beside their settings. Another model in a folder, or another text in a template's
    file, is another reward.

    Raises:
        ConfigError: a reward model's folder that is not there, or the study's own is wanted and not trained.
    """
    own = own_reward_model(context, parts)
    return content_id([_behind(context, part, own) for part in parts])


def unplaced(stage: Policy | RejectionSampling) -> dict[str, Any]:
    """A stage's settings without the paths of its reward models: `graph_id` has what is there, wherever that is."""
    settings = stage.model_dump()
    for part in settings["rewards"]:
        if part["kind"] == "reward_model":
            part["path"] = ""
    return settings


def _behind(context: Context, part: RewardPart, own: str) -> list[str]:
    if isinstance(part, RewardModelPart):
        return [_model(part.path or own)]
    if isinstance(part, CombinedPart):
        return [_model(part.safety), _model(part.helpful)]
    if isinstance(part, AiScorePart):
        labeler = member(online(part.labeler or context.study.labeler, "rewards: ai_score"))
        return [labeler.id, load_template(part.template).hash]
    return []


def _model(folder: str) -> str:
    if not (Path(folder) / HEAD_FILE).is_file():
        raise ConfigError(
            f"rewards: {folder} is no reward model of `truing train` (it has no {HEAD_FILE}); train it first, or give another path"
        )
    return fingerprint(folder)
