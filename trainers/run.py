"""A training run: steps with resume, timers, metrics, atomic checkpoints."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from actors.group import ActorGroup
from trainers.metrics import read_metrics
from truing.errors import ConfigError


class Stateful(Protocol):
    """Something whose whole state is a few numbers."""

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take a state back."""
        ...


UPDATE = "update"
"""The phase of a step in which weights change."""


class Run:
    """Metrics and checkpoints of one trainer in one folder. The state is saved together, new before old is deleted.

    `folder` holds them. `groups` are the actors whose weights are part of the state.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int,
        groups: Mapping[str, ActorGroup[Any]],
        state: Mapping[str, Stateful],
        on_step: Any = None,
        keep: int = 1,
        at_rest: Callable[[], bool] = lambda: True,
    ) -> None:
        """`every`: steps between checkpoints, of which the last `keep` stay. `at_rest`: no work is under way, so that the
        state can be had without waiting.
        """
        self.folder, self.groups = folder, dict(groups)
        self._every, self._state, self._at_rest = every, dict(state), at_rest
        self._on_step, self._kept = on_step, keep
        self._first = self._states()
        self._begun: tuple[int, dict[str, Any]] | None = None
        self._again: tuple[int, dict[str, Any]] | None = None
        self._stopped = self._is_best = False
        self._row: Mapping[str, Any] = {}
        self._timings: dict[str, float] = {}
        self._spans: list[list[str | float]] = []
        self._epoch = 0.0  # Unix time at which the step's clock showed 0
        self._metrics = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)

    def steps(self, total: int) -> Iterator[int]:
        """Numbers of the steps that are still to be done, after the last checkpoint has been taken up.

        Raises:
            ConfigError: the checkpoint is beyond `total`.
        """
        done = self._resume()
        if done > total:
            raise ConfigError(
                f"{self.folder}: is at step {done} and {total} are asked; give steps={done} or more, or a new name"
            )
        for step in range(done, total):
            if self._stopped:
                return
            self._row, self._timings, self._spans = {}, {}, []
            self._begun = (step, self._states()) if self._at_rest() else None
            begun = time.perf_counter()
            self._epoch = time.time() - begun
            yield step
            self._took("step", begun)
            if self._is_best:
                self._write(f"best-{step + 1:06d}", {})
                self._drop_older()
                self._is_best = False
            self._close_step(step)
            if self._stopped or (step + 1) % self._every == 0 or step + 1 == total:
                self._save(step + 1)

    def rewind(self, *, intact: bool) -> Literal["step", "checkpoint", "beginning"]:
        """After a loss, have the next `steps` begin anew with the step that was under way, the last checkpoint, or the beginning.

        `intact`: the actors whose state is kept are all there. If they had begun to change, their weights come from the
        checkpoint all the same; from the beginning, they must be started anew. Before a step has begun it may be called again,
        when more was lost.
        """
        self._again = (self._again or self._begun) if intact else None
        self._begun = None
        if self._again is not None:
            return "step"
        return "checkpoint" if self._folders("checkpoint") else "beginning"

    def stop(self) -> None:
        """No more steps after this one, in this run or one that resumes it."""
        self._stopped = True

    def best(self) -> None:
        """Keep this step's weights as the best so far."""
        self._is_best = True

    def take_best(self) -> None:
        """Give the actors the best step's weights back; where none was named they keep the last step's."""
        for folder in self._folders("best")[-1:]:
            self._give(folder.resolve())

    @contextmanager
    def time(self, what: str) -> Iterator[None]:
        """Add the seconds of a block to this step's timings."""
        begun = time.perf_counter()
        if what == UPDATE:
            self._begun = None  # from here on the weights may be others than when the step began
        yield
        self._took(what, begun)

    def _took(self, what: str, begun: float) -> None:
        seconds = time.perf_counter() - begun
        self._timings[what] = self._timings.get(what, 0.0) + seconds
        self._spans.append([what, round(self._epoch + begun, 3), round(seconds, 3)])

    def report(self, **metrics: float | dict[str, float]) -> None:
        """Keep this step's figures; they are written when the step ends."""
        self._row = metrics

    def _close_step(self, step: int) -> None:
        # Spans: name, Unix time of the beginning, seconds. Among the timings, for no two runs share them either.
        timings = {**{k: round(v, 3) for k, v in self._timings.items()}, "spans": self._spans}
        row = {"step": step, **self._row, "timings": timings}
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self._on_step:
            self._on_step(row)

    def _folders(self, kind: str) -> list[Path]:
        return sorted(path for path in self.folder.glob(f"{kind}-*") if path.suffix != ".part")

    def _resume(self) -> int:
        for kind in ("checkpoint", "best"):
            for part in self.folder.glob(f"{kind}-*.part"):
                shutil.rmtree(part)
        kept = self._folders("checkpoint")
        done, self._stopped, states = 0, False, self._first
        if self._again is not None:
            done, states = self._again
        elif kept:
            saved = json.loads((kept[-1] / "state.json").read_text())
            done, self._stopped, states = saved["done"], saved["stopped"], saved["state"]
        for name, member in self._state.items():
            member.restore(states[name])
        if self._again is None and kept:
            self._give(kept[-1].resolve())
        self._again, self._is_best = None, False
        for later in self._folders("best"):
            if _number(later) > done:
                shutil.rmtree(later)
        self._cut_metrics(done)
        return done

    def _states(self) -> dict[str, Any]:
        return {name: member.state() for name, member in self._state.items()}

    def _give(self, folder: Path) -> None:
        for name, group in self.groups.items():
            group.broadcast(_load, str(folder / name))

    def _cut_metrics(self, done: int) -> None:
        """Drop figures of steps after the checkpoint: they will be done again."""
        if not self._metrics.exists():
            return
        kept = [row for row in read_metrics(self._metrics) if row["step"] < done]
        part = self._metrics.with_suffix(".jsonl.new")
        part.write_text("".join(f"{json.dumps(row)}\n" for row in kept), encoding="utf-8")
        part.replace(self._metrics)

    def _save(self, done: int) -> None:
        state = {"done": done, "stopped": self._stopped, "state": self._states()}
        self._write(f"checkpoint-{done:06d}", state)
        self._drop_older()

    def _drop_older(self) -> None:
        """What nothing goes on from: all but the last checkpoints, the best so far, and the best that the last checkpoint knows."""
        kept, bests = self._folders("checkpoint"), self._folders("best")
        known = [best for best in bests if kept and _number(best) <= _number(kept[-1])]
        for path in {*kept[: -self._kept], *bests} - {*known[-1:], *bests[-1:]}:
            shutil.rmtree(path)

    def _write(self, name: str, state: dict[str, Any]) -> None:
        """A folder under a temporary name, then renamed."""
        folder = (self.folder / name).resolve()
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for member, group in self.groups.items():
            (part / member).mkdir()
            group.broadcast(_save, str(part / member))
        (part / "state.json").write_text(json.dumps(state))
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)


def _number(folder: Path) -> int:
    """Steps that were done when it was written."""
    return int(folder.name.partition("-")[2])


def _save(member: Any, folder: str) -> None:
    member.save(Path(folder))


def _load(member: Any, folder: str) -> None:
    member.load(Path(folder))
