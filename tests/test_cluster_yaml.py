"""cluster.yaml is accepted by Ray's own validation, and says what the design asks of each role."""

import copy
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = ("initialization_commands", "setup_commands", "head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture
def written() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def prepared(written: dict[str, Any]) -> dict[str, Any]:
    """What `ray up` validates: the file over Ray's defaults for AWS. Needs neither boto3 nor a network."""
    return prepare_config(copy.deepcopy(written))


def test_ray_accepts_it(prepared: dict[str, Any]):
    validate_config(prepared)


@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        (lambda config: config.update(idle_timeout=5), jsonschema.ValidationError),
        (lambda config: config["available_node_types"]["rollout"].pop("resources"), jsonschema.ValidationError),
        (
            lambda config: config["available_node_types"]["learner"]["resources"].update(GPU=0.5),
            jsonschema.ValidationError,
        ),
        (lambda config: config.update(head_node_type="chief"), ValueError),
        (lambda config: config.update(max_workers=0), ValueError),
    ],
    ids=["unknown key", "no resources", "part of a GPU", "head type not listed", "fewer workers than the minimum"],
)
def test_ray_refuses_what_is_wrong(prepared: dict[str, Any], break_it: Any, error: type[Exception]):
    break_it(prepared)
    with pytest.raises(error):
        validate_config(prepared)


def test_nothing_is_left_to_rays_defaults(written: dict[str, Any], prepared: dict[str, Any]):
    # `docker` and `cluster_synced_files` are empty by default, `auth` is filled in.
    assert set(prepared) - set(written) == {"docker", "cluster_synced_files"}
    assert not prepared["docker"]
    assert not prepared["cluster_synced_files"]


def test_roles(prepared: dict[str, Any]):
    nodes = prepared["available_node_types"]
    assert prepared["head_node_type"] == "head"
    limits = {role: (node["min_workers"], node["max_workers"]) for role, node in nodes.items()}
    assert limits == {"head": (0, 0), "learner": (1, 1), "rollout": (0, 8), "labeler": (0, 8)}
    assert prepared["max_workers"] == 17  # 1 + 8 + 8
    assert {role for role, node in nodes.items() if node["resources"].get("GPU", 0)} == {
        "learner",
        "rollout",
        "labeler",
    }
    # Each role is a resource of its own node type and of no other.
    for role in nodes:
        assert [other for other, node in nodes.items() if role in node["resources"]] == [role]


def test_rollouts_and_labelers_alone_are_spot(prepared: dict[str, Any]):
    markets = {
        role: node["node_config"].get("InstanceMarketOptions", {}).get("MarketType", "on demand")
        for role, node in prepared["available_node_types"].items()
    }
    assert markets == {"head": "on demand", "learner": "on demand", "rollout": "spot", "labeler": "spot"}
    assert prepared["provider"]["cache_stopped_nodes"] is False


def test_install_is_the_gpu_extra_of_this_project(prepared: dict[str, Any]):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    checkouts = [remote for remote, local in prepared["file_mounts"].items() if local == "."]
    assert len(checkouts) == 1
    assert "gpu" in project["optional-dependencies"]
    for commands in (prepared["head_setup_commands"], prepared["worker_setup_commands"]):
        installs = [command for command in commands if f'pip install -q "{checkouts[0]}[gpu]"' in command]
        assert len(installs) == 1


def test_ray_of_the_instructions_is_the_pinned_one():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pinned = next(line.split("==")[1] for line in dependencies if line.startswith("ray["))
    named = re.findall(r"ray\[default\]==([\d.]+)", (ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    assert named == [pinned]


def test_nothing_is_open_and_nothing_is_secret(written: dict[str, Any]):
    text = yaml.safe_dump(written)
    head, worker = written["head_start_ray_commands"][-1], written["worker_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head
    assert "0.0.0.0" not in text
    for command in (head, worker):
        assert "export RAY_AUTH_MODE=token;" in command
    # The token is copied from a file of the user. AWS key ids, private keys and Hub tokens have these beginnings.
    assert written["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    assert not re.search(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|BEGIN [A-Z ]*PRIVATE KEY|\bhf_\w{10,}|secret_access_key", text)


def test_shell_can_read_every_command(prepared: dict[str, Any]):
    for command in (command for key in COMMANDS for command in prepared[key]):
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_sync_leaves_local_things_behind(written: dict[str, Any]):
    for name in written["rsync_filter"]:
        # rsync does not know git's exceptions.
        assert not [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    ignored = {*written["rsync_exclude"], *(ROOT / ".gitignore").read_text(encoding="utf-8").split()}
    assert {".venv/", "/runs/", "__pycache__/"} <= ignored
