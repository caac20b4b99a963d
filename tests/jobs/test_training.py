"""Around a trainer: trackers, opened before anything is trained and closed however it ends; which preferences it sees."""

import random
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from jobs import training
from jobs.compared import comparisons, preference_rows, split_rows
from jobs.store import RunFolder
from jobs.training import training_run
from tests.jobs.drive import write_lines
from tests.trainers.stored_figures import scalars
from trainers.run import read_metrics
from truing.config.stages import HumanLabels
from truing.config.tracking import MlFlow, TensorBoard
from truing.config.training import Dpo, LabelSource, RewardModel
from truing.data.judged import Judged
from truing.errors import ConfigError
from truing.records import Row

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
    kept = RewardModel(checkpoint_every=2)
    with training_run(folder, {}, {}, kept, title="toy", total=total, trackers=trackers) as run:
        for step in run.steps(total):
            if step == interrupted_in:
                raise KeyboardInterrupt
            run.report(loss=float(step))


# --- which preferences are trained on, and which are tested -----------------------------------------------------------


def _row(prompt: str, source: str, number: int = 0, **given: object) -> Row:
    plain = {"chosen": f"good {number}", "rejected": f"bad {number}", "p_chosen": 0.9, "weight": 1.0, "strength": None}
    return (
        {"id": f"{source}-{prompt}-{number}", "prompt": prompt, "source": source, "domain": "default"} | plain | given
    )


ROWS = [
    *(_row(f"p{i}", "ai", n) for i in range(20) for n in range(2)),
    *(_row(f"p{i}", "marked", 7) for i in range(10, 40)),
]
"""Twenty prompts of the labeler's, two pairs each; thirty of people's, ten of them the same."""


def _prompts(rows: Sequence[Row], source: str) -> set[str]:
    return {row["prompt"] for row in rows if row["source"] == source}


def test_shares_are_exact_for_each_source() -> None:
    # A quarter of 20, half of 30.
    sources = {"ai": LabelSource(holdout=0.25), "marked": LabelSource(holdout=0.5)}
    _, test = split_rows(ROWS, sources)
    assert (len(_prompts(test, "ai")), len(_prompts(test, "marked"))) == (5, 15)
    # A tested prompt is tested with all its pairs.
    assert len([row for row in test if row["source"] == "ai"]) == 10
    # One not named has the default of a tenth.
    _, test = split_rows(ROWS, {"ai": LabelSource(holdout=0.0)})
    assert (len(_prompts(test, "ai")), len(_prompts(test, "marked"))) == (0, 3)


@pytest.mark.parametrize("holdouts", [(0.25, 0.5), (1.0, 0.1), (0.0, 0.9), (0.0, 0.0)])
def test_nothing_of_a_tested_prompt_is_trained_on_whatever_its_source(holdouts: tuple[float, float]) -> None:
    sources = {name: LabelSource(holdout=share) for name, share in zip(("ai", "marked"), holdouts, strict=True)}
    training, test = split_rows(ROWS, sources)
    assert not {row["prompt"] for row in training} & {row["prompt"] for row in test}
    # What is in neither is another source's pair of a tested prompt.
    there = {row["id"] for row in training} | {row["id"] for row in test}
    tested = {row["prompt"] for row in test}
    assert all(row["prompt"] in tested for row in ROWS if row["id"] not in there)
    assert len(there) == len(training) + len(test)


def test_the_split_hangs_on_the_prompts_texts_alone() -> None:
    sources = {"ai": LabelSource(holdout=0.3), "marked": LabelSource(holdout=0.3)}
    training, test = split_rows(ROWS, sources)
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    again = split_rows([row | {"id": f"other {i}"} for i, row in enumerate(shuffled)], sources)
    for source in ("ai", "marked"):
        assert [_prompts(some, source) for some in again] == [_prompts(some, source) for some in (training, test)]
    # A larger share tests the same prompts, and others.
    more = split_rows(ROWS, {name: LabelSource(holdout=0.6) for name in sources})[1]
    assert _prompts(test, "ai") < _prompts(more, "ai")


def test_sources_weigh_and_are_tempered_in_training_and_stand_as_they_are_in_the_test() -> None:
    settings = RewardModel(sources={"ai": LabelSource(weight=0.5, temperature=0.0), "marked": LabelSource(weight=0)})
    training = [_row("a", "ai"), _row("a", "marked", 1), _row("b", "marked"), _row("c", "other", strength=2.0)]
    items, count = comparisons(training, [_row("d", "ai"), _row("e", "marked", strength=3.0)], settings, margin=0.25)
    # b has nothing but a pair without weight: it is no item of a batch.
    assert ([one.prompt for one in items], count) == (["a", "c", "d", "e"], 2)
    a, c, d, e = (one.judged for one in items)
    # 0.9 made hard by temperature 0; the weight of ½; people's pair of `a` stays, without weight.
    assert a == (Judged(0, 1, 1.0, 0.5, 0.0), Judged(2, 3, 0.9, 0.0, 0.0))
    # ¼ of a reward for each unit of strength.
    assert c == (Judged(0, 1, 0.9, 1.0, 0.5),)
    assert (d, e) == ((Judged(0, 1, 0.9, 1.0, 0.0),), (Judged(0, 1, 0.9, 1.0, 0.75),))


def _context(run: Path) -> Any:
    return SimpleNamespace(run=RunFolder(run))


def test_preferences_of_earlier_runs_are_read_and_each_counts_once(tmp_path: Path) -> None:
    first, second = tmp_path / "round-1", tmp_path / "round-2"
    RunFolder(first).table("preferences").append([_row("a", "ai"), _row("b", "ai")])
    RunFolder(second).table("preferences").append([_row("b", "ai"), _row("c", "ai")])
    found = preference_rows(_context(second), RewardModel(earlier=(str(first),)), "reward_model")
    assert sorted(row["prompt"] for row in found) == ["a", "b", "c"]
    assert sorted(row["prompt"] for row in preference_rows(_context(second), RewardModel(), "x")) == ["b", "c"]


def test_named_sets_of_people_are_read_beside_what_is_stored(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run").table("preferences").append([_row("a", "ai")])
    given = write_lines(tmp_path / "p.jsonl", [{"prompt": "Why?", "chosen": "So.", "rejected": "Because."}])
    settings = Dpo(data=(HumanLabels(path=str(given), name="people"),), sources={"people": LabelSource(weight=2.0)})
    found = preference_rows(_context(tmp_path / "run"), settings, "dpo")
    assert [(row["prompt"], row["source"]) for row in found] == [("a", "ai"), ("Why?", "people")]


@pytest.mark.parametrize("stage", ["reward_model", "dpo"])
def test_a_source_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, stage: str) -> None:
    RunFolder(tmp_path).table("preferences").append([_row("a", "ai"), _row("b", "marked")])
    with pytest.raises(ConfigError) as error:
        preference_rows(_context(tmp_path), RewardModel(sources={"humans": LabelSource()}), stage)
    assert str(error.value) == (
        f"{stage}.sources names 'humans' and no preference is of that source; there are ai, marked"
    )
