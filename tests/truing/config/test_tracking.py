from pathlib import Path

import pytest

from truing.config.load import load_study
from truing.config.tracking import MlFlow, TensorBoard, Wandb
from truing.errors import ConfigError


def test_each_kind_with_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text("name: a\ntrackers: [{kind: tensorboard}, {kind: mlflow}, {kind: wandb, project: p}]")
    assert load_study(path, []).trackers == (TensorBoard(), MlFlow(uri="", experiment="truing"), Wandb(project="p"))
    assert load_study(path, ["trackers.2.mode=online"]).trackers[2] == Wandb(project="p", mode="online")
    assert Wandb().mode == "offline"


KINDS = "input tag 'mlfow' found using 'kind' does not match any of the expected tags: 'tensorboard', 'mlflow', 'wandb'"
PASSWORD = "uri holds a password, which would be stored; leave it out and set MLFLOW_TRACKING_PASSWORD"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{kind: mlfow}", f"trackers.0: {KINDS}"),
        ("{project: p}", "trackers.0: has no kind; add kind: mlflow or tensorboard or wandb"),
        ("{kind: wandb, projct: p}", "trackers.0.wandb.projct: there is no such key; did you mean 'project'?"),
        ("{kind: wandb, mode: live}", "trackers.0.wandb.mode: input should be 'offline' or 'online', got 'live'"),
        ("{kind: wandb}, {kind: wandb}", "trackers: wandb is there twice: keep one"),
        ("{kind: mlflow, uri: 'https://me:secret@host'}", f"trackers.0.mlflow: {PASSWORD}"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, given: str, message: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"name: a\ntrackers: [{given}]")
    with pytest.raises(ConfigError) as error:
        load_study(path, [])
    assert str(error.value) == f"{path}: {message}"
