"""The figures of every step, sent on to TensorBoard, MLflow or Weights & Biases. metrics.jsonl is what they are filled from.

A run that goes on after a kill hands its tracker all earlier rows again, and a tracker leaves alone the steps that it has: none is
there twice and none is missing, even where the tracker was added, or had failed, in the middle of the run.
"""

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from trainers.run import read_metrics
from truing.config import tracking
from truing.errors import ConfigError
from truing.records import Failed, attempted

PACKAGES = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
}


class Tracker(Protocol):
    """Takes the figures of each step."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Keep the figures of a step. A step that is there already stays as it is."""
        ...

    def close(self, *, finished: bool) -> None:
        """Nothing more comes; `finished` is false when the training was stopped before its end."""
        ...


def flat(row: Mapping[str, Any], above: str = "") -> dict[str, float]:
    """The numbers of a row by their paths, `parts/finished`; texts, truth values and what is absent are no figures."""
    figures: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            figures |= flat(value, f"{above}{name}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            figures[f"{above}{name}"] = float(value)
    return figures


def check_trackers(trackers: Sequence[tracking.Tracker]) -> None:
    """Fail before anything is trained, where a tracker cannot work at all.

    Raises:
        ConfigError: its package is not installed; W&B is to be online and has no key.
    """
    for tracker in trackers:
        for package in PACKAGES[tracker.kind]:
            spec = find_spec(package)
            if spec is None or spec.origin is None:  # a folder of that name, such as W&B leaves, is no package
                raise ConfigError(f"trackers: {package} is not installed; pip install 'truing[trackers]'")
        if isinstance(tracker, tracking.Wandb) and tracker.mode == "online" and not os.environ.get("WANDB_API_KEY"):
            raise ConfigError("trackers: wandb has no key; set WANDB_API_KEY, or take mode: offline")


class TensorBoard:
    """Event files, flushed every step. A run that goes on purges them from the first step that is to come again."""

    def __init__(self, _: tracking.TensorBoard, folder: Path, start: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._logged = folder / "logged"
        known = int(self._logged.read_text()) if self._logged.exists() else 0
        self._next = min(known, start)
        self._writer = SummaryWriter(str(folder), purge_step=self._next)

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Write, flush, then note that the step is there."""
        if step < self._next:
            return
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()
        self._next = step + 1
        _write(self._logged, str(self._next))

    def close(self, *, finished: bool) -> None:  # noqa: ARG002 - event files do not say how a run ended
        """Close the event file."""
        self._writer.close()


class MlFlow:
    """The stage's run in an MLflow store; its id is in the folder. A run that goes on takes it up, and leaves its steps alone."""

    def __init__(self, settings: tracking.MlFlow, folder: Path, _: int) -> None:
        # A server that is away holds the training up for half a minute, not for the quarter of an hour of MLflow's defaults.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow.tracking import MlflowClient

        store = settings.uri or f"sqlite:///{(folder / 'mlflow.db').resolve()}"
        place = {"uri": store, "experiment": settings.experiment}
        self._client = MlflowClient(store)
        noted = folder / "run.json"
        known = json.loads(noted.read_text()) if noted.exists() else {}
        self._steps: set[int] = set()
        if {name: known.get(name) for name in place} == place:
            self._run = known["run"]
            self._client.update_run(self._run, status="RUNNING")
            self._steps = self._held()
            return
        found = self._client.get_experiment_by_name(settings.experiment)
        # What MLflow would keep beside the figures (nothing, here) goes to the same folder, not to the working directory.
        beside = None if settings.uri else (folder / "artifacts").resolve().as_uri()
        experiment = found.experiment_id if found else self._client.create_experiment(settings.experiment, beside)
        self._run = self._client.create_run(experiment, run_name=_title(folder)).info.run_id
        _write(noted, json.dumps(place | {"run": self._run}))

    def _held(self) -> set[int]:
        names = self._client.get_run(self._run).data.metrics
        return {one.step for name in names for one in self._client.get_metric_history(self._run, name)}

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One batch a step. MLflow refuses some characters in a name: they become `_`."""
        if step in self._steps:
            return
        from mlflow.entities import Metric

        now = round(time.time() * 1000)
        metrics = [Metric(re.sub(r"[^\w\-. :/]", "_", name), value, now, step) for name, value in figures.items()]
        self._client.log_batch(self._run, metrics)
        self._steps.add(step)

    def close(self, *, finished: bool) -> None:
        """Finished, or killed: a run that is taken up again is running again."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


class Wandb:
    """The stage's run in Weights & Biases; its id is in the folder. Online, a run that goes on takes up where the server is.
    Offline, it writes one whole folder anew in place of the one before: `wandb sync` of a run's parts would not join them."""

    def __init__(self, settings: tracking.Wandb, folder: Path, _: int) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        noted = folder / "run_id"
        if not noted.exists():
            _write(noted, uuid.uuid4().hex)
        name, online = noted.read_text(), settings.mode == "online"
        for before in (folder / "wandb").glob(f"offline-run-*-{name}"):
            shutil.rmtree(before, ignore_errors=True)
        self._run = wandb.init(
            project=settings.project,
            id=name,
            name=_title(folder),
            dir=str(folder),
            mode=settings.mode,
            resume="allow" if online else None,
            reinit="create_new",
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
                init_timeout=30,
                finish_timeout=8,
                finish_timeout_raises=True,
            ),
        )
        self._next = self._run.step

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """One row of the history."""
        if step < self._next:
            return
        self._run.log(dict(figures), step=step, commit=True)
        self._next = step + 1

    def close(self, *, finished: bool) -> None:
        """Send what is left, for eight seconds at most; what stays behind is in the folder, for `wandb sync`."""
        self._run.finish(exit_code=0 if finished else 1)


def opened(settings: tracking.Tracker, folder: Path, start: int) -> Tracker:
    """The tracker that a section names, in a folder of its own; `start`: the first step that this run does."""
    folder.mkdir(parents=True, exist_ok=True)
    match settings:
        case tracking.TensorBoard():
            return TensorBoard(settings, folder, start)
        case tracking.MlFlow():
            return MlFlow(settings, folder, start)
        case tracking.Wandb():
            return Wandb(settings, folder, start)


class Trackers:
    """All trackers of one stage. One that fails is dropped with a warning, and the training goes on without it."""

    def __init__(self, settings: Sequence[tracking.Tracker], folder: Path, warn: Callable[[str], None]) -> None:
        """`folder`: the stage's; `warn` takes one line.

        Raises:
            ConfigError: as for `check_trackers`.
        """
        check_trackers(settings)
        self._settings, self._folder, self._warn = tuple(settings), folder, warn
        self._open: dict[str, Tracker] = {}
        self._dropped: dict[str, Failed] = {}
        self._begun = False

    def log(self, row: Mapping[str, Any]) -> None:
        """Hand a row of metrics.jsonl on; the first one opens the trackers and brings them up to it."""
        step = int(row["step"])
        if not self._begun:
            self._begin(step)
        for kind, tracker in list(self._open.items()):
            self._note(kind, attempted(partial(tracker.log, step, _figures(row)), f"at step {step}"))

    def close(self, *, finished: bool) -> None:
        """Close them all, and say again which were dropped."""
        if finished and not self._begun and (rows := self._rows()):
            self._begin(rows[-1]["step"] + 1)  # the kill came after the last step: they may lack what it had not sent
        for kind, tracker in list(self._open.items()):
            self._note(kind, attempted(partial(tracker.close, finished=finished), "as it was closed"))
        for kind, failed in self._dropped.items():
            self._warn(f"trackers: {kind} is not complete, it failed {failed.reason}; metrics.jsonl has every step")
        self._open, self._dropped = {}, {}

    def _begin(self, start: int) -> None:
        self._begun = True
        for settings in self._settings:
            self._note(settings.kind, attempted(partial(self._open_one, settings, start), "as it was opened"))

    def _open_one(self, settings: tracking.Tracker, start: int) -> None:
        tracker = opened(settings, self._folder / "trackers" / settings.kind, start)
        self._open[settings.kind] = tracker
        for row in self._rows():
            if row["step"] < start:
                tracker.log(row["step"], _figures(row))

    def _rows(self) -> list[dict[str, Any]]:
        return read_metrics(self._folder / "metrics.jsonl") if self._settings else []

    def _note(self, kind: str, failed: Failed | None) -> None:
        """A tracker that failed is dropped, and said to be."""
        if failed is not None:
            self._dropped[kind] = failed
            self._open.pop(kind, None)
            self._warn(f"trackers: {kind} failed {failed.reason}; the training goes on without it")


def _figures(row: Mapping[str, Any]) -> dict[str, float]:
    return flat({name: value for name, value in row.items() if name != "step"})


def _title(folder: Path) -> str:
    """`STUDY/STAGE`, of STUDY/STAGE/trackers/KIND."""
    stage = folder.resolve().parents[1]
    return f"{stage.parent.name}/{stage.name}"


def _write(path: Path, text: str) -> None:
    """Under a temporary name, then renamed: a kill leaves the old text or the new one."""
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
