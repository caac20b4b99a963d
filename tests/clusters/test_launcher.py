"""The cluster launcher's files for AWS and Google Cloud: accepted by Ray's own validation, complete, closed, free of secrets."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ray.autoscaler._private.util import validate_config

from tests.clusters.files import AWS, GCP, LAUNCHED, REFUSED, ROOT, prepared, read

CLIENTS = {AWS: "boto3", GCP: "google-api-python-client"}
COMMANDS = ("initialization_commands", "setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
SECRETS = {
    # AWS key ids; Google's API keys, OAuth tokens and keys of service accounts; private keys; Hub tokens.
    "AWS": r"\b(AKIA|ASIA)[0-9A-Z]{16}\b|secret_access_key",
    "Google": r"\bAIza[\w-]{30,}|\bya29\.|private_key_id|gcp_credentials",
    "any": r"BEGIN [A-Z ]*PRIVATE KEY|\bhf_\w{10,}",
}


@pytest.fixture(params=LAUNCHED, ids=lambda path: path.name)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def written(path: Path) -> dict[str, Any]:
    return read(path)


@pytest.fixture
def config(written: dict[str, Any]) -> dict[str, Any]:
    return prepared(written)


def test_ray_accepts_it(config: dict[str, Any]):
    validate_config(config)


@pytest.mark.parametrize("how", REFUSED)
def test_ray_refuses_what_is_wrong(config: dict[str, Any], how: str):
    break_it, error = REFUSED[how]
    break_it(config)
    with pytest.raises(error):
        validate_config(config)


def test_nothing_is_left_to_rays_defaults(written: dict[str, Any], config: dict[str, Any]):
    # `docker` and `cluster_synced_files` are empty by default, `auth` is filled in.
    assert set(config) - set(written) == {"docker", "cluster_synced_files"}
    assert not config["docker"]
    assert not config["cluster_synced_files"]
    # Stopped nodes keep a paid disk.
    assert config["provider"]["cache_stopped_nodes"] is False


def test_install_is_the_gpu_extra_of_this_project(config: dict[str, Any]):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    checkouts = [remote for remote, local in config["file_mounts"].items() if local == "."]
    assert len(checkouts) == 1
    assert "gpu" in project["optional-dependencies"]
    for commands in (config["head_setup_commands"], config["worker_setup_commands"]):
        installs = [command for command in commands if f'pip install -q "{checkouts[0]}[gpu]"' in command]
        assert len(installs) == 1


def test_the_clouds_client_is_where_the_autoscaler_runs(path: Path, config: dict[str, Any]):
    assert any(CLIENTS[path] in command for command in config["head_setup_commands"])
    assert not any(CLIENTS[path] in command for command in config["worker_setup_commands"])


def test_ray_of_the_instructions_is_the_pinned_one(path: Path):
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    pinned = next(line.split("==")[1] for line in dependencies if line.startswith("ray["))
    assert re.findall(r"ray\[default\]==([\d.]+)", path.read_text(encoding="utf-8")) == [pinned]


def test_nothing_is_open_and_nothing_is_secret(path: Path, written: dict[str, Any]):
    text = path.read_text(encoding="utf-8")
    head, worker = written["head_start_ray_commands"][-1], written["worker_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in head
    assert "0.0.0.0" not in text
    for command in (head, worker):
        assert "export RAY_AUTH_MODE=token;" in command
    # The token is copied from a file of the user.
    assert written["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    assert not [whose for whose, pattern in SECRETS.items() if re.search(pattern, text)]


def test_shell_can_read_every_command(config: dict[str, Any]):
    for command in (command for key in COMMANDS for command in config[key]):
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_sync_leaves_local_things_behind(written: dict[str, Any]):
    for name in written["rsync_filter"]:
        # rsync does not know git's exceptions.
        assert not [line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    ignored = {*written["rsync_exclude"], *(ROOT / ".gitignore").read_text(encoding="utf-8").split()}
    assert {".venv/", "/runs/", "__pycache__/"} <= ignored


def test_the_clouds_differ_in_what_is_theirs_alone():
    aws, gcp = read(AWS), read(GCP)
    differing = {key for key in aws | gcp if aws.get(key) != gcp.get(key)}
    assert differing == {"provider", "available_node_types", "initialization_commands", "head_setup_commands"}
    # Google's machines install their driver when they start; the rest is the same.
    assert gcp["initialization_commands"][: len(aws["initialization_commands"])] == aws["initialization_commands"]
