"""A run over a toy whose whole state is a few numbers: resuming equals going on, and no kill leaves it without a checkpoint."""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from tests.actors.examples import Here
from tests.trainers.counter import Counter
from trainers.run import UPDATE, Run, read_metrics
from truing.errors import ConfigError


class Cursor:
    """State that the driver keeps."""

    def __init__(self) -> None:
        self.position = 0

    def state(self) -> dict[str, int]:
        return {"position": self.position}

    def restore(self, state: dict[str, int]) -> None:
        self.position = state["position"]


class Trainer:
    """A run of its own process, so to speak: everything is made anew."""

    def __init__(self, folder: Path, every: int = 3, keep: int = 1) -> None:
        self.learner, self.cursor, self.seen = Counter(), Cursor(), []
        self.run = Run(
            folder,
            every=every,
            groups={"learner": Here(self.learner)},
            state={"cursor": self.cursor},
            on_step=self.seen.append,
            keep=keep,
        )

    def steps(
        self, total: int, *, stop_in: int | None = None, best: Collection[int] = (), last: int | None = None
    ) -> list[int]:
        """Train; in the middle of step `stop_in` the process ends. `best` steps are named so; `last` stops the training."""
        done: list[int] = []
        for step in self.run.steps(total):
            with self.run.time("update"):
                value = self.learner.update()
            self.cursor.position += 2
            if step in best:
                self.run.best()
            if step == last:
                self.run.stop()
            if step == stop_in:
                break
            self.run.report(loss=value / 8, parts={"a": float(step)})
            done.append(step)
        return done


def without_timings(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "timings"} for row in read_metrics(folder / "metrics.jsonl")]


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("checkpoint-*"))


@pytest.fixture
def whole(tmp_path: Path) -> list[dict[str, Any]]:
    """Metrics of eight steps without a stop."""
    Trainer(tmp_path / "whole").steps(8)
    return without_timings(tmp_path / "whole")


# --- metrics ----------------------------------------------------------------------------------------------------------


def test_each_step_writes_its_figures_and_timings(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    assert trainer.steps(2) == [0, 1]
    rows = read_metrics(tmp_path / "metrics.jsonl")
    # (1·31 + 7) mod 1009 = 38, (38·31 + 7) mod 1009 = 1185 - 1009 = 176; a loss is an eighth of it
    assert [row["loss"] for row in rows] == [38 / 8, 176 / 8]
    assert [row["step"] for row in rows] == [0, 1]
    assert [row["parts"] for row in rows] == [{"a": 0.0}, {"a": 1.0}]
    for row in rows:
        assert row["timings"].keys() == {"update", "step", "spans"}
        assert 0 <= row["timings"]["update"] <= row["timings"]["step"]
    assert trainer.seen == rows


def test_a_timer_adds_up_within_a_step_and_starts_again_in_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr("trainers.run.time.perf_counter", lambda: float(next(clock)))
    unix = iter((1000.0, 1006.0))
    monkeypatch.setattr("trainers.run.time.time", lambda: next(unix))
    run = Run(tmp_path, every=10, groups={}, state={})
    for step in run.steps(2):
        for _ in range(2 - step):
            with run.time("a"):
                pass
        run.report(loss=0.0)
    timings = [row["timings"] for row in read_metrics(tmp_path / "metrics.jsonl")]
    # The clock moves by 1 at each look. Step 0 looks at 0, 1-2, 3-4, 5; step 1 at 6, 7-8, 9.
    spans = [one.pop("spans") for one in timings]
    assert timings == [{"a": 2.0, "step": 5.0}, {"a": 1.0, "step": 3.0}]
    # Beginnings are in Unix time: 1000 where the clock shows 0.
    assert spans == [
        [["a", 1001.0, 1.0], ["a", 1003.0, 1.0], ["step", 1000.0, 5.0]],
        [["a", 1007.0, 1.0], ["step", 1006.0, 3.0]],
    ]


def test_a_step_without_a_report_does_not_repeat_the_last_one(tmp_path: Path) -> None:
    run = Run(tmp_path, every=10, groups={}, state={})
    for step in run.steps(2):
        if step == 0:
            run.report(loss=1.0)
    assert [row.get("loss") for row in read_metrics(tmp_path / "metrics.jsonl")] == [1.0, None]


def test_metrics_that_are_not_there_or_not_whole(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    assert read_metrics(file) == []
    # The process ended while it wrote the last line: even a part that ends in a brace is none.
    for torn in ('{"step": 1, "lo', '{"step": 1, "parts": {"a": 1.0}', ""):
        file.write_text('{"step": 0}\n' + torn)
        assert read_metrics(file) == [{"step": 0}]


# --- resuming ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_in", [0, 2, 3, 4, 5, 7])
def test_a_stopped_run_equals_an_uninterrupted_one(tmp_path: Path, whole: list[dict[str, Any]], stop_in: int) -> None:
    folder = tmp_path / "stopped"
    assert Trainer(folder).steps(8, stop_in=stop_in) == list(range(stop_in))
    again = Trainer(folder)
    # Checkpoints are written after steps 2 and 5.
    first = stop_in // 3 * 3
    assert again.steps(8) == list(range(first, 8))
    assert without_timings(folder) == whole
    assert again.cursor.position == 2 * 8
    assert again.learner.value == whole[-1]["loss"] * 8


def test_figures_of_steps_that_will_be_done_again_are_cut(tmp_path: Path) -> None:
    Trainer(tmp_path).steps(8, stop_in=5)
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [0, 1, 2, 3, 4]
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "lo')
    steps = Trainer(tmp_path).run.steps(8)
    assert next(steps) == 3
    assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [0, 1, 2]


def test_figures_without_a_checkpoint_are_all_cut(tmp_path: Path) -> None:
    Trainer(tmp_path).steps(8, stop_in=2)
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2
    assert next(Trainer(tmp_path).run.steps(8)) == 0
    assert read_metrics(tmp_path / "metrics.jsonl") == []


def test_a_finished_run_has_no_steps_left(tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    again = Trainer(tmp_path / "whole")
    assert again.steps(8) == []
    assert without_timings(tmp_path / "whole") == whole
    # Its state is there all the same, for what comes after training.
    assert again.learner.value == whole[-1]["loss"] * 8
    assert again.cursor.position == 16


def test_more_steps_go_on_from_the_end(tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    assert Trainer(tmp_path / "short").steps(4) == [0, 1, 2, 3]
    # The last step writes a checkpoint, whatever `every` says.
    assert checkpoints(tmp_path / "short") == ["checkpoint-000004"]
    assert Trainer(tmp_path / "short").steps(8) == [4, 5, 6, 7]
    assert without_timings(tmp_path / "short") == whole


def test_fewer_steps_than_done_are_refused_and_nothing_is_lost(tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    folder = tmp_path / "whole"
    message = rf"^{folder}: is at step 8 and 5 are asked; give steps=8 or more, or a new name$"
    with pytest.raises(ConfigError, match=message):
        Trainer(folder).steps(5)
    assert without_timings(folder) == whole
    assert Trainer(folder).steps(8) == []


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_one_checkpoint_is_kept_with_groups_and_state_together(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer.steps(8)
    assert checkpoints(tmp_path) == ["checkpoint-000008"]
    folder = tmp_path / "checkpoint-000008"
    assert json.loads((folder / "state.json").read_text()) == {
        "done": 8, "stopped": False, "state": {"cursor": {"position": 16}},
    }  # fmt: skip
    assert (folder / "learner" / "value").read_text() == str(trainer.learner.value)


def test_what_a_kill_left_unfinished_is_ignored_and_removed(tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    folder = tmp_path / "killed"
    Trainer(folder).steps(8, stop_in=4)
    part = folder / "checkpoint-000006.part"
    shutil.copytree(folder / "checkpoint-000003", part)
    (part / "learner" / "value").write_text("half")
    (part / "state.json").unlink()
    assert Trainer(folder).steps(8) == [3, 4, 5, 6, 7]
    assert not part.exists()
    assert without_timings(folder) == whole


def test_of_two_checkpoints_the_later_counts(tmp_path: Path, whole: list[dict[str, Any]]) -> None:
    # Killed between the new one's arrival and the old one's removal.
    folder = tmp_path / "killed"
    Trainer(folder).steps(8, stop_in=4)
    shutil.copytree(folder / "checkpoint-000003", tmp_path / "older")
    Trainer(folder).steps(8, stop_in=7)
    shutil.copytree(tmp_path / "older", folder / "checkpoint-000003")
    assert checkpoints(folder) == ["checkpoint-000003", "checkpoint-000006"]
    assert Trainer(folder).steps(8) == [6, 7]
    assert without_timings(folder) == whole
    assert checkpoints(folder) == ["checkpoint-000008"]


@pytest.mark.parametrize("fault", ["save", "state", "rename"])
def test_the_old_checkpoint_stays_until_the_new_one_is_there(
    tmp_path: Path, whole: list[dict[str, Any]], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "full"
    Trainer(folder).steps(8, stop_in=4)
    trainer = Trainer(folder)
    target = {"save": trainer.learner, "state": trainer.cursor, "rename": Path}[fault]

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(target, fault, full_disk)
    with pytest.raises(OSError, match="No space left"):
        trainer.steps(8)
    monkeypatch.undo()
    # The new one, which was to come after step 5, is there in part; the driver's state is asked for before it is begun.
    part = [] if fault == "state" else ["checkpoint-000006.part"]
    assert checkpoints(folder) == ["checkpoint-000003", *part]
    assert Trainer(folder).steps(8) == [3, 4, 5, 6, 7]
    assert without_timings(folder) == whole


def test_the_old_checkpoint_is_removed_after_the_new_one_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(tmp_path)
    seen: list[list[str]] = []
    rmtree = shutil.rmtree

    def look(path: Path, **options: Any) -> None:
        if path.exists():
            seen.append(checkpoints(tmp_path))
        rmtree(path, **options)

    monkeypatch.setattr("trainers.run.shutil.rmtree", look)
    trainer.steps(6)
    assert seen == [["checkpoint-000003", "checkpoint-000006"]]


@pytest.mark.parametrize(("updated", "where"), [(False, "step"), (True, "beginning")])
def test_a_step_whose_update_is_made_is_not_done_once_more(tmp_path: Path, updated: bool, where: str) -> None:
    # There is no checkpoint yet: what the learner has got from its update can be undone at the beginning alone.
    trainer = Trainer(tmp_path)
    next(iter(trainer.run.steps(8)))
    if updated:
        with trainer.run.time(UPDATE):
            trainer.learner.update()
    assert trainer.run.rewind(intact=True) == where


# --- the best step, and the last ---------------------------------------------------------------------------------------


def bests(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("best-*"))


def value_after(step: int) -> int:
    """The learner's number when `step` is done."""
    learner = Counter()
    return [learner.update() for _ in range(step + 1)][-1]


def test_the_best_steps_weights_are_given_back(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer.steps(8, best=(1, 4))
    assert bests(tmp_path) == ["best-000005"]
    assert trainer.learner.value == value_after(7)
    trainer.run.take_best()
    assert trainer.learner.value == value_after(4)


def test_where_no_step_was_named_the_last_weights_stay(tmp_path: Path) -> None:
    trainer = Trainer(tmp_path)
    trainer.steps(8)
    trainer.run.take_best()
    assert trainer.learner.value == value_after(7)


@pytest.mark.parametrize("stop_in", [0, 1, 2, 3, 4, 5, 6, 7])
def test_a_stopped_run_ends_with_the_same_best(tmp_path: Path, whole: list[dict[str, Any]], stop_in: int) -> None:
    folder = tmp_path / "stopped"
    Trainer(folder).steps(8, stop_in=stop_in, best=(1, 4))
    again = Trainer(folder)
    again.steps(8, best=(1, 4))
    assert without_timings(folder) == whole
    again.run.take_best()
    assert again.learner.value == value_after(4)


def test_a_best_beyond_the_checkpoint_is_not_the_best_yet(tmp_path: Path) -> None:
    # Killed in step 5; the checkpoint is that after step 2. What step 4 will be is open again.
    Trainer(tmp_path).steps(8, stop_in=5, best=(4,))
    assert bests(tmp_path) == ["best-000005"]
    again = Trainer(tmp_path)
    again.steps(8, best=())
    assert bests(tmp_path) == []
    again.run.take_best()
    assert again.learner.value == value_after(7)


def test_the_best_that_the_checkpoint_knows_outlives_a_better_one(tmp_path: Path) -> None:
    # Killed in step 5; the checkpoint is that after step 2. Done again, step 4 need not be better than step 1 by a hair.
    Trainer(tmp_path).steps(8, stop_in=5, best=(0, 1, 4))
    assert bests(tmp_path) == ["best-000002", "best-000005"]
    again = Trainer(tmp_path)
    again.steps(8, best=())
    assert bests(tmp_path) == ["best-000002"]
    again.run.take_best()
    assert again.learner.value == value_after(1)


def test_a_file_that_a_kill_left_half_written_stays_out_of_the_way(tmp_path: Path) -> None:
    Trainer(tmp_path).steps(8, stop_in=4)
    (tmp_path / ".actors.json.part").write_text("[", encoding="utf-8")
    assert Trainer(tmp_path).steps(8) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("torn", ["best-000002", "checkpoint-000003"])
def test_a_folder_that_a_kill_left_half_written_is_no_folder(
    tmp_path: Path, whole: list[dict[str, Any]], torn: str
) -> None:
    folder = tmp_path / "killed"
    Trainer(folder).steps(8, stop_in=4, best=(1,))
    part = (folder / torn).rename(folder / f"{torn.partition('-')[0]}-000005.part")
    (part / "learner" / "value").write_text("")
    again = Trainer(folder)
    again.steps(8, best=(1,) if torn[0] == "c" else (5,))
    assert not part.exists()
    assert without_timings(folder) == whole
    again.run.take_best()
    assert again.learner.value == value_after(1 if torn[0] == "c" else 5)


@pytest.mark.parametrize("fault", ["save", "rename"])
def test_the_old_best_stays_until_the_new_one_is_there(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(tmp_path, every=100)
    target = {"save": trainer.learner, "rename": Path}[fault]
    trainer.steps(4, best=(1,))
    before = bests(tmp_path)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(target, fault, full_disk)
    with pytest.raises(OSError, match="No space left"):
        trainer.steps(8, best=(5,))
    monkeypatch.undo()
    assert bests(tmp_path) == [*before, "best-000006.part"]


def test_a_stop_is_final_and_has_a_checkpoint_of_its_own(tmp_path: Path) -> None:
    assert Trainer(tmp_path).steps(8, last=3) == [0, 1, 2, 3]
    assert checkpoints(tmp_path) == ["checkpoint-000004"]
    again = Trainer(tmp_path)
    assert again.steps(8) == []
    assert again.learner.value == value_after(3)
    assert len(without_timings(tmp_path)) == 4


def test_so_many_checkpoints_are_kept_as_were_asked_for(tmp_path: Path) -> None:
    Trainer(tmp_path, every=1, keep=3).steps(8, best=(1, 4))
    assert checkpoints(tmp_path) == ["checkpoint-000006", "checkpoint-000007", "checkpoint-000008"]
    # Of the best there is one, however many checkpoints there are.
    assert bests(tmp_path) == ["best-000005"]
    again = Trainer(tmp_path, every=1, keep=3)
    assert again.steps(9) == [8]
    assert again.learner.value == value_after(8)
