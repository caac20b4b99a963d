"""A training run's trackers: opened before anything is trained, closed however it ends."""

import sys
from pathlib import Path

import pytest

from jobs import training
from jobs.training import training_run
from tests.trainers.stored_figures import scalars
from trainers.run import read_metrics
from truing.config.tracking import MlFlow, TensorBoard
from truing.errors import ConfigError

BOARD = (TensorBoard(),)


def test_a_missing_package_is_said_before_anything_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError) as error:
        _train(tmp_path, 3, trackers=(TensorBoard(), MlFlow()))
    assert str(error.value) == "trackers: mlflow is not installed; pip install 'truing[trackers]'"
    assert not (tmp_path / "metrics.jsonl").exists()


def test_every_step_goes_to_the_tracker(tmp_path: Path) -> None:
    _train(tmp_path, 3)
    assert scalars(tmp_path, "loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]


def test_an_interrupted_run_closes_its_trackers_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[bool] = []

    class Watched(training.Trackers):
        def close(self, *, finished: bool) -> None:
            closed.append(finished)
            super().close(finished=finished)

    monkeypatch.setattr(training, "Trackers", Watched)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path, 6, interrupted_in=3)
    _train(tmp_path, 6)
    assert closed == [False, True]
    # The checkpoint after two steps is what it goes on from: step 2 is done twice and is there once.
    assert [step for step, _ in scalars(tmp_path, "loss")] == [0, 1, 2, 3, 4, 5]


def test_a_failed_tracker_is_one_line_of_text_on_the_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "trackers").write_text("a file where the folder should be")
    _train(tmp_path, 2)
    lines = [line for line in capsys.readouterr().out.splitlines() if "trackers:" in line]
    assert len(lines) == 2
    assert lines[0].startswith("trackers: tensorboard failed as it was opened (NotADirectoryError: [Errno 20] ")
    assert lines[0].endswith("; the training goes on without it")
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2


def _train(
    folder: Path,
    total: int,
    *,
    trackers: tuple[TensorBoard | MlFlow, ...] = BOARD,
    interrupted_in: int = -1,
) -> None:
    with training_run(folder, {}, {}, every=2, keep=1, title="toy", total=total, trackers=trackers) as run:
        for step in run.steps(total):
            if step == interrupted_in:
                raise KeyboardInterrupt
            run.report(loss=float(step))
