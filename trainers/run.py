"""A training run: steps with resume, timers, metrics, atomic checkpoints."""

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from actors.group import ActorGroup
from truing.errors import ConfigError


class Stateful(Protocol):
    """Something whose whole state is a few numbers."""

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Take a state back."""
        ...


class Run:
    """Metrics and checkpoints of one trainer in one folder. The state is saved together, new before old is deleted."""

    def __init__(
        self,
        folder: Path,
        *,
        every: int,
        groups: Mapping[str, ActorGroup[Any]],
        state: Mapping[str, Stateful],
        on_step: Any = None,
        keep: int = 1,
    ) -> None:
        """`every`: steps between checkpoints, of which the last `keep` stay."""
        self._folder, self._every, self._groups, self._state = folder, every, dict(groups), dict(state)
        self._on_step, self._kept = on_step, keep
        self._stopped = self._is_best = False
        self._row: Mapping[str, Any] = {}
        self._timings: dict[str, float] = {}
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
                f"{self._folder}: is at step {done} and {total} are asked; give steps={done} or more, or a new name"
            )
        for step in range(done, total):
            if self._stopped:
                return
            self._row, self._timings = {}, {}
            begun = time.perf_counter()
            yield step
            self._timings["step"] = time.perf_counter() - begun
            if self._is_best:
                self._write(f"best-{step + 1:06d}", {})
                self._is_best = False
            self._close_step(step)
            if self._stopped or (step + 1) % self._every == 0 or step + 1 == total:
                self._save(step + 1)

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
        yield
        self._timings[what] = self._timings.get(what, 0.0) + time.perf_counter() - begun

    def report(self, **metrics: float | dict[str, float]) -> None:
        """Keep this step's figures; they are written when the step ends."""
        self._row = metrics

    def _close_step(self, step: int) -> None:
        row = {"step": step, **self._row, "timings": {k: round(v, 3) for k, v in self._timings.items()}}
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self._on_step:
            self._on_step(row)

    def _folders(self, kind: str) -> list[Path]:
        return sorted(path for path in self._folder.glob(f"{kind}-*") if path.suffix != ".part")

    def _resume(self) -> int:
        for part in self._folder.glob("*.part"):
            shutil.rmtree(part)
        kept = self._folders("checkpoint")
        done = 0
        if kept:
            folder = kept[-1].resolve()
            saved = json.loads((folder / "state.json").read_text())
            done, self._stopped = saved["done"], saved["stopped"]
            for name, member in self._state.items():
                member.restore(saved["state"][name])
            self._give(folder)
        for later in self._folders("best"):
            if int(later.name.partition("-")[2]) > done:
                shutil.rmtree(later)
        self._cut_metrics(done)
        return done

    def _give(self, folder: Path) -> None:
        for name, group in self._groups.items():
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
        state = {name: member.state() for name, member in self._state.items()}
        self._write(f"checkpoint-{done:06d}", {"done": done, "stopped": self._stopped, "state": state}, self._kept)

    def _write(self, name: str, state: dict[str, Any], keep: int = 1) -> None:
        """A folder under a temporary name, then renamed; only then older ones of its kind go."""
        folder = (self._folder / name).resolve()
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for member, group in self._groups.items():
            (part / member).mkdir()
            group.broadcast(_save, str(part / member))
        (part / "state.json").write_text(json.dumps(state))
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
        for path in self._folders(name.partition("-")[0])[:-keep]:
            shutil.rmtree(path)


def _save(member: Any, folder: str) -> None:
    member.save(Path(folder))


def _load(member: Any, folder: str) -> None:
    member.load(Path(folder))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Rows of a metrics file; none where there is no file. A last line without its end was being written: no row."""
    if not path.exists():
        return []
    *whole, _ = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in whole]
