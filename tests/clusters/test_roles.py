"""The three clouds' files say the same of each role, and a study that names their resources finds room."""

import re
import textwrap
from pathlib import Path

import pytest

from jobs.cluster.capacity import check_capacity
from tests.clusters.files import LAUNCHED, ON_KUBERNETES, ROOT, configuration, nodes
from truing.config.load import load_study
from truing.errors import ShortOfResources

FILES = (*LAUNCHED, *ON_KUBERNETES)
COUNTED = {"head": 1, "learner": 16, "rollout": 1, "labeler": 1}
GPUS = {"head": 0, "learner": 4, "rollout": 1, "labeler": 1}
LEAST_AND_MOST = {"head": (0, 0), "learner": (1, 1), "rollout": (0, 8), "labeler": (0, 8)}

# PPO as large as the files allow: on each of the learner's 4 GPUs 0.6 for a rank of the policy; beside three of them 0.4 for the
# critic's one rank, the reference and the reward model.
PPO = ROOT / "configs/ppo.yaml"
LARGEST = [
    "cluster.nodes={learner: learner, rollout: rollout, labeler: labeler, scorer: learner}",
    "policy.learner={ranks: 4, gpus: 0.6}",
    "policy.algorithm.critic={gpus: 0.4}",
    "policy.reference={gpus: 0.4}",
    "policy.rewards.0.scorer={gpus: 0.4}",
    "policy.engine={count: 8, gpus: 1}",
    "labeler.engine={count: 8, gpus: 1}",
]

PAGE = ROOT / "docs/cluster.md"

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


@each_file
def test_roles_are_the_same_everywhere(path: Path):
    types = configuration(path)["available_node_types"]
    assert {role: (one["min_workers"], one["max_workers"]) for role, one in types.items()} == LEAST_AND_MOST
    assert configuration(path)["max_workers"] == 17  # 1 + 8 + 8
    assert {role: one["resources"][role] for role, one in types.items()} == COUNTED
    assert {role: one["resources"].get("GPU", 0) for role, one in types.items()} == GPUS
    # Each role is a resource of its own node type and of no other.
    for role in types:
        assert [other for other, one in types.items() if role in one["resources"]] == [role]


@each_file
def test_idle_nodes_are_given_back_after_ten_minutes(path: Path):
    config = configuration(path)
    assert config["idle_timeout_minutes"] == 10
    assert {one.get("idle_timeout_s", 600.0) for one in config["available_node_types"].values()} == {600.0}


@each_file
def test_the_largest_study_fits(path: Path):
    check_capacity(load_study(PPO, LARGEST), nodes(path))


@each_file
def test_the_study_of_the_page_fits(path: Path, tmp_path: Path):
    (block,) = re.findall(
        r"^    cluster: \{address.*?(?=\n\n)", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "study.yaml").write_text("name: page\n" + textwrap.dedent(block), encoding="utf-8")
    check_capacity(load_study(tmp_path / "study.yaml", []), nodes(path))


@each_file
@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("labeler.engine.count=9", "labeler.engine: asks for 9"),
        ("policy.engine.count=9", "policy.engine: asks for 9"),
        (
            "policy.learner={ranks: 5, gpus: 1}",
            "policy.learner: 5 actors of 2 CPUs and 1 GPUs and 1 learner each find no room",
        ),
        ("policy.learner={ranks: 17}", "policy.learner: asks for 17 x 1 = 17 learner"),
        ("cluster.nodes={labeler: judge}", "labeler.engine: asks for 8 x 1 = 8 judge and the cluster has 0"),
        # 4 x 1 policy + 0.4 critic > 4 GPUs.
        ("policy.learner={ranks: 4, gpus: 1}", "policy: its roles together"),
    ],
)
def test_one_more_than_the_files_allow_does_not(path: Path, override: str, named: str):
    with pytest.raises(ShortOfResources) as caught:
        check_capacity(load_study(PPO, [*LARGEST, override]), nodes(path))
    assert named in str(caught.value)
