"""What a policy was trained on is told by what its reward graph read, not by the names of the files."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.networks import HEAD_FILE, SCALE_FILE
from jobs.context import Context
from jobs.reward_graph import graph_id
from jobs.store import RunFolder
from tests.tiny import save_tiny_llama
from truing.config.rewards import AiScorePart, CombinedPart, FinishedPart, RewardModelPart, RewardPart
from truing.config.study import Study
from truing.errors import ConfigError

TEMPLATE = "truing/labeling/prompts/score.md"


@pytest.fixture
def context(tiny: str, tmp_path: Path) -> Context:
    study = Study.model_validate({"name": "x", "labeler": {"model": {"path": tiny}}})
    return Context(study, RunFolder(tmp_path / "run"))


def saved(folder: Path, seed: int) -> str:
    save_tiny_llama(folder, seed=seed)
    (folder / HEAD_FILE).write_bytes(b"")
    return str(folder)


@pytest.mark.parametrize("which", ["path", "safety", "helpful"])
def test_another_model_in_the_same_folder_is_another_reward(context: Context, tmp_path: Path, which: str):
    one, two = saved(tmp_path / "one", 1), saved(tmp_path / "two", 2)
    parts: Sequence[RewardPart] = (RewardModelPart(path=one), CombinedPart(safety=one, helpful=two))
    if which == "path":
        parts = parts[:1]
    before = graph_id(context, parts)
    assert graph_id(context, parts) == before
    saved(tmp_path / ("two" if which == "helpful" else "one"), 3)
    assert graph_id(context, parts) != before


def test_another_scale_of_the_same_model_is_another_reward(context: Context, tmp_path: Path):
    parts = (RewardModelPart(path=saved(tmp_path / "one", 1)),)
    (tmp_path / "one" / SCALE_FILE).write_text('{"mean": 0.5, "deviation": 1.0}')
    before = graph_id(context, parts)
    (tmp_path / "one" / SCALE_FILE).write_text('{"mean": 0.7, "deviation": 1.0}')
    assert graph_id(context, parts) != before


def test_another_text_in_the_same_template_is_another_reward(context: Context, tmp_path: Path):
    template = tmp_path / "mine.md"
    template.write_text(Path(TEMPLATE).read_text())
    parts = (AiScorePart(template=str(template)), FinishedPart())
    before = graph_id(context, parts)
    template.write_text(template.read_text().replace("a careful judge", "a harsh judge"))
    assert graph_id(context, parts) != before


def test_rules_read_nothing(context: Context):
    assert graph_id(context, (FinishedPart(),)) == graph_id(context, (FinishedPart(weight=2.0),))


def test_a_model_that_gives_no_rewards_is_refused(context: Context, tiny: str):
    with pytest.raises(ConfigError, match=r"is no reward model of `truing train` \(it has no scalar_head"):
        graph_id(context, (RewardModelPart(path=tiny),))


def test_the_own_model_must_have_been_trained(context: Context, tmp_path: Path):
    with pytest.raises(ConfigError, match="a reward_model part and none is trained"):
        graph_id(context, (RewardModelPart(),))
    saved(tmp_path / "run" / "reward_model" / "model", 1)
    assert graph_id(context, (RewardModelPart(),))
