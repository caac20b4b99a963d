"""The real packages: what they stored is read back, after a run that was killed in the middle and went on."""

import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.trainers.stored_figures import history, metric, scalars, stored_runs
from trainers import trackers
from trainers.run import Run, read_metrics
from trainers.trackers import Trackers, check_trackers, flat
from truing.config.tracking import MlFlow, TensorBoard, Wandb
from truing.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SECRET = "5ec2e7" * 7
TOTAL = 8
# Checkpoints come after 3 and 6 steps. A kill after step 4 (the fifth) leaves one at 3, so that 3 and 4 are done twice.
# State doubles from 1: the reward of step n is 2^(n+1), whoever counts from the checkpoint.
REWARDS = [(step, 2.0 ** (step + 1)) for step in range(TOTAL)]
FINISHED = [(step, -0.5 * step) for step in range(TOTAL)]


# --- rows ----------------------------------------------------------------------------------------


def test_a_row_is_flattened_to_the_paths_of_its_numbers() -> None:
    row = {
        "step": 3,
        "reward": 0.5,
        "parts": {"finished": -1, "deep": {"er": 2.5}},
        "checksum": "abc",
        "absent": None,
        "stopped": True,
        "none": {},
    }
    assert flat(row) == {"step": 3.0, "reward": 0.5, "parts/finished": -1.0, "parts/deep/er": 2.5}


def test_a_figure_that_is_not_a_number_stays_one() -> None:
    assert math.isnan(flat({"reward": float("nan")})["reward"])


# --- a kill, and going on ------------------------------------------------------------------------


def run_process(folder: Path, total: int, killed_after: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.trainers.tracked_run", str(folder), str(total), str(killed_after)]
    environment = {**os.environ, "WANDB_API_KEY": SECRET}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a stage that was killed after step 4, then went on to its end."""
    folder = tmp_path_factory.mktemp("study") / "policy"
    killed = run_process(folder, TOTAL, killed_after=4)
    assert killed.returncode == -9, killed.stderr
    assert [row["step"] for row in read_metrics(folder / "metrics.jsonl")] == [0, 1, 2, 3, 4]
    went_on = run_process(folder, TOTAL, killed_after=-1)
    assert (went_on.returncode, went_on.stdout) == (0, ""), went_on.stderr
    assert went_on.stderr == ""
    return folder


def test_tensorboard_has_every_step_once(resumed: Path) -> None:
    assert scalars(resumed, "reward") == REWARDS
    assert scalars(resumed, "parts/finished") == FINISHED


def test_mlflow_has_every_step_once_in_one_run(resumed: Path) -> None:
    client, runs = stored_runs(resumed)
    assert [(run.info.run_name, run.info.status) for run in runs] == [(f"{resumed.parent.name}/policy", "FINISHED")]
    assert metric(client, runs[0], "reward") == REWARDS
    assert metric(client, runs[0], "parts/finished") == FINISHED


def test_wandb_has_one_folder_with_every_step_once(resumed: Path) -> None:
    assert [(row["_step"], row["reward"]) for row in history(resumed)] == REWARDS
    assert [(row["_step"], row["parts/finished"]) for row in history(resumed)] == FINISHED


def test_the_key_of_wandb_is_written_nowhere(resumed: Path) -> None:
    files = [path for path in resumed.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_nothing_is_left_in_the_working_directory(resumed: Path) -> None:
    assert [name for name in ("mlruns", "wandb", "mlflow.db", "runs") if (ROOT / name / "policy").exists()] == []
    assert sorted(path.name for path in (resumed / "trackers").iterdir()) == ["mlflow", "tensorboard", "wandb"]


def test_a_tracker_that_comes_late_gets_the_steps_before(tmp_path: Path) -> None:
    """Four steps without a tracker, a checkpoint after the third: TensorBoard is told of 0 to 2, then of what is done."""
    train(tmp_path, 4, (), killed_after=3)
    assert train(tmp_path, 5, (TensorBoard(),)) == []
    assert [step for step, _ in scalars(tmp_path, "reward")] == [0, 1, 2, 3, 4]


def test_a_kill_after_the_last_step_is_made_up_for(tmp_path: Path) -> None:
    """All is trained and the checkpoint is whole, and the tracker knows of nothing."""
    train(tmp_path, 3, ())
    assert train(tmp_path, 3, (TensorBoard(),)) == []
    assert [step for step, _ in scalars(tmp_path, "reward")] == [0, 1, 2]


def test_another_store_gets_a_run_of_its_own(tmp_path: Path) -> None:
    """The id in the folder belongs to the store that gave it."""
    folder = tmp_path / "policy"
    uris = [f"sqlite:///{tmp_path / name}" for name in ("one.db", "two.db")]
    train(folder, 1, (MlFlow(uri=uris[0]),))
    assert train(folder, 2, (MlFlow(uri=uris[1]),)) == []
    for uri, steps in zip(uris, ([0], [0, 1]), strict=True):
        client, runs = stored_runs(folder, uri)
        assert [step for step, _ in metric(client, runs[0], "reward")] == steps


def test_a_stopped_training_is_told_to_mlflow_and_a_name_it_refuses_is_mended(tmp_path: Path) -> None:
    tracked = Trackers((MlFlow(),), tmp_path / "policy", print)
    tracked.log({"step": 0, "parts": {"50 % shorter": 1.0}, "reward": float("nan")})
    tracked.close(finished=False)
    client, (run,) = stored_runs(tmp_path / "policy")
    assert run.info.status == "KILLED"
    assert metric(client, run, "parts/50 _ shorter") == [(0, 1.0)]
    assert [math.isnan(value) for _, value in metric(client, run, "reward")] == [True]


class Server:
    """A W&B server that has the first steps of the run."""

    def __init__(self, step: int) -> None:
        self.step, self.rows = step, {}

    def log(self, figures: Mapping[str, float], step: int, commit: bool) -> None:
        assert commit
        self.rows[step] = dict(figures)


def test_online_wandb_goes_on_where_the_server_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    server, asked = Server(step=2), {}
    monkeypatch.setattr(wandb, "init", lambda **given: asked.update(given) or server)
    (tmp_path / "run_id").write_text("abc")
    tracker = trackers.Wandb(Wandb(mode="online"), tmp_path, 3)
    for step in range(4):
        tracker.log(step, {"reward": step})
    assert (asked["id"], asked["resume"], asked["mode"]) == ("abc", "allow", "online")
    assert server.rows == {2: {"reward": 2}, 3: {"reward": 3}}


# --- failures ------------------------------------------------------------------------------------


class Faulty:
    """Fails in its second step, and would fail in every one after it."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self.calls.append(step)
        if step > 0:
            raise OSError(f"disk full [at {step}]\nmore of it")

    def close(self, *, finished: bool) -> None:
        raise AssertionError("a dropped tracker is not called again")


def test_a_tracker_that_fails_is_dropped_and_said_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, faulty = trackers.opened, Faulty()
    monkeypatch.setattr(trackers, "opened", lambda one, *rest: faulty if isinstance(one, MlFlow) else real(one, *rest))
    lines = train(tmp_path, 4, (MlFlow(), TensorBoard()))
    assert lines == [
        "trackers: mlflow failed at step 1 (OSError: disk full [at 1]); the training goes on without it",
        "trackers: mlflow is not complete, it failed at step 1 (OSError: disk full [at 1]); metrics.jsonl has every step",
    ]
    assert faulty.calls == [0, 1]
    assert [step for step, _ in scalars(tmp_path, "reward")] == [0, 1, 2, 3]
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 4


def test_a_tracker_that_cannot_be_opened_is_dropped_too(tmp_path: Path) -> None:
    (tmp_path / "trackers").mkdir(parents=True)
    (tmp_path / "trackers" / "tensorboard").write_text("a file where a folder should be")
    lines = train(tmp_path, 2, (TensorBoard(),))
    assert [line.partition(" (")[0] for line in lines] == [
        "trackers: tensorboard failed as it was opened",
        "trackers: tensorboard is not complete, it failed as it was opened",
    ]


def test_what_a_dropped_tracker_missed_comes_with_the_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails from step 1 on; the run is killed after step 4 and goes on from 3: 1 and 2 are taken from metrics.jsonl."""
    log = trackers.TensorBoard.log

    def failing(self: trackers.TensorBoard, step: int, figures: Mapping[str, float]) -> None:
        if step > 0:
            raise OSError("disk full")
        log(self, step, figures)

    with monkeypatch.context() as broken:
        broken.setattr(trackers.TensorBoard, "log", failing)
        assert len(train(tmp_path, 6, (TensorBoard(),), killed_after=4)) == 1
    assert train(tmp_path, 6, (TensorBoard(),)) == []
    assert [step for step, _ in scalars(tmp_path, "reward")] == [0, 1, 2, 3, 4, 5]


def test_ctrl_c_in_a_tracker_is_not_taken_for_its_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trackers, "opened", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Trackers((TensorBoard(),), tmp_path, print).log({"step": 0})


@pytest.mark.parametrize(
    ("settings", "package"),
    [(TensorBoard(), "tensorboard"), (MlFlow(), "mlflow"), (MlFlow(), "sqlalchemy"), (Wandb(), "wandb")],
)
def test_a_package_that_is_missing(settings: Any, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_trackers([settings])
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError) as error:
        check_trackers([settings])
    assert str(error.value) == f"trackers: {package} is not installed; pip install 'truing[trackers]'"


def test_online_wandb_wants_its_key_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(ConfigError) as error:
        check_trackers([Wandb(mode="online")])
    assert str(error.value) == "trackers: wandb has no key; set WANDB_API_KEY, or take mode: offline"
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    check_trackers([Wandb(mode="online")])


# --- a run in this process -----------------------------------------------------------------------


def train(folder: Path, total: int, settings: tuple[Any, ...], killed_after: int = -1) -> list[str]:
    """A run in this process; the warnings. The loop is left alone, unclosed, right after the step `killed_after`."""
    lines: list[str] = []
    tracked = Trackers(settings, folder, lines.append)
    run = Run(folder, every=3, groups={}, state={}, on_step=tracked.log)
    for step in run.steps(total):
        if step == killed_after + 1 and killed_after >= 0:
            return lines
        run.report(reward=float(step))
    tracked.close(finished=True)
    return lines
