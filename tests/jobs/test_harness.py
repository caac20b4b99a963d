"""`truing harness`: what is refused before anything starts, a run's figures and files, and the command on a real Ray."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.harness import HarnessEngine
from jobs.context import Context
from jobs.harness import Asked, Harnessed, harness, load_tasks, own_alone, show
from jobs.harness_answers import StoredAnswers
from tests.jobs.conftest import LEARN, Call
from tests.jobs.drive import truing
from truing.config.load import load_study
from truing.config.roles import Engine
from truing.errors import ConfigError
from truing.records import Row

ITEMS = [
    {"q": "Which is better?", "choices": ["1", "2", "the first"], "gold": 0},
    {"q": "Name a fruit.", "choices": ["an apple", "a stone"], "gold": 0},
    {"q": "Is bread food?", "choices": ["no", "yes"], "gold": 1},
    {"q": "word " * 400, "choices": ["yes", "yes"], "gold": 1},
]


@pytest.fixture(scope="module")
def own_tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task of choices, one of answers, and the group of both."""
    folder = tmp_path_factory.mktemp("own")
    file = folder / "items.jsonl"
    file.write_text("\n".join(json.dumps(item) for item in ITEMS), encoding="utf-8")
    data = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(file)}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "doc_to_text": "{{q}}",
    }
    choices = {
        **data,
        "task": "own_choices",
        "output_type": "multiple_choice",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")
        ],
        "metadata": {"version": 2.0},
    }
    answers = {
        **data,
        "task": "own_answers",
        "output_type": "generate_until",
        "doc_to_target": "{{choices[gold]}}",
        "generation_kwargs": {"until": ["."], "max_gen_toks": 8},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    group = {
        "group": "own",
        "task": ["own_choices"],
        "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": True}],
        "metadata": {"version": 3.0},
    }
    for name, content in (("choices", choices), ("answers", answers), ("group", group)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


# --- refused before anything starts -----------------------------------------------------------------------------------


def refused(cli: Call, tiny: str, storage: Path, *options: str) -> str:
    done = cli(
        "harness", str(LEARN), f"storage={storage}", f"model.path={tiny}", f"labeler.model.path={tiny}", *options
    )
    assert done.code == 2, done.tail()
    assert done.err.count("\n") == 1
    assert not storage.exists()
    return done.err.strip()


def test_a_machine_without_lm_eval_is_told_what_to_install(
    cli: Call, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    line = refused(cli, tiny, tmp_path / "runs", "--tasks", "arc_easy")
    assert line == "truing: harness: lm-eval is not installed; pip install 'truing[evaluation]'"


def test_a_policy_that_is_not_trained_is_named(cli: Call, tiny: str, tmp_path: Path) -> None:
    line = refused(cli, tiny, tmp_path / "runs", "--tasks", "arc_easy", "--policy", "dpo")
    folder = tmp_path / "runs" / "learn" / "dpo" / "model"
    assert line == f"truing: {folder}: this policy is not there yet; run `truing train` or `truing pipeline` first"
    line = refused(cli, tiny, tmp_path / "runs", "--tasks", "arc_easy", "--policy", str(tmp_path))
    assert "is not a language model" in line


def test_a_command_without_tasks_is_told_so(cli: Call, tiny: str, tmp_path: Path) -> None:
    assert "Missing option '--tasks'" in refused(cli, tiny, tmp_path / "runs")
    line = refused(cli, tiny, tmp_path / "runs", "--tasks", " , ")
    assert line == "truing: harness: no task is named; give --tasks NAME,…"


def test_lm_evals_own_tasks_are_read_where_one_of_them_is_asked_for(own_tasks: Path) -> None:
    assert own_alone(Asked(("own_choices", "own_answers"), include=str(own_tasks)))
    assert not own_alone(Asked(("own_choices", "arc_easy"), include=str(own_tasks)))
    assert not own_alone(Asked(("arc_easy",)))


def test_unknown_tasks_and_tasks_that_are_not_run_are_named(own_tasks: Path) -> None:
    with pytest.raises(ConfigError, match=r"^harness: there is no task 'own_choice'; did you mean own_choices"):
        load_tasks(Asked(("own_choice",), include=str(own_tasks)), defaults=False)
    with pytest.raises(ConfigError, match=r"^harness: there is no task 'zzz'; `lm_eval ls tasks` lists them; own ones"):
        load_tasks(Asked(("zzz",), include=str(own_tasks)), defaults=False)
    (code,) = load_tasks(Asked(("own_answers",), include=str(own_tasks)), defaults=False)
    assert code.config.task == "own_answers"
    (own_tasks / "unsafe.yaml").write_text(
        (own_tasks / "answers.yaml").read_text().replace("own_answers", "own_code") + "unsafe_code: true\n"
    )
    with pytest.raises(
        ConfigError, match=r"^harness: task own_code runs code that the model writes, which is not done"
    ):
        load_tasks(Asked(("own_code",), include=str(own_tasks)), defaults=False)
    (own_tasks / "absent.yaml").write_text(
        (own_tasks / "answers.yaml").read_text().replace("own_answers", "own_absent").replace("items.jsonl", "no.jsonl")
    )
    with pytest.raises(ConfigError, match=r"^harness: the data of task own_absent cannot be loaded \("):
        load_tasks(Asked(("own_absent",), include=str(own_tasks)), defaults=False)


def test_a_folder_of_own_tasks_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^harness: --include {tmp_path}/own: there is no such folder$"):
        load_tasks(Asked(("arc_easy",), include=str(tmp_path / "own")))


# --- a run, with one engine in this process ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def context(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Context:
    overrides = [f"storage={tmp_path_factory.mktemp('runs')}", f"model.path={tiny}", f"labeler.model.path={tiny}"]
    return Context.of(load_study(LEARN, [*overrides, "model.context=256"]))


class Here(StoredAnswers):
    """Rows go through JSON, as they do on their way to a worker, and to an engine of this process."""

    asked: list[tuple[str, int]]

    def __init__(self, context: Context, folder: str) -> None:
        super().__init__(context, folder, Engine())
        model = context.study.model
        self.engine = HarnessEngine(folder, model, Engine(cpus=1, dtype="float32", max_sequences=8))
        self.asked = []

    def _answered(self, title: str, table: str, rows: list[Row], answer: Any) -> list[Row]:
        self.asked.append((table, len(rows)))
        found = json.loads(json.dumps(answer(self.engine, json.loads(json.dumps(rows)))))
        assert [row["id"] for row in found] == [row["id"] for row in rows]
        return found


@pytest.fixture(scope="module")
def answers(context: Context) -> Iterator[Here]:
    before = dict(os.environ)
    yield Here(context, context.start_folder)
    os.environ.clear()
    os.environ.update(before)


def run(context: Context, own_tasks: Path, answers: Here, *names: str, **how: Any) -> Harnessed:
    asked = Asked(names, include=str(own_tasks), **how)
    return harness(context, asked, load_tasks(asked, defaults=False), context.start_folder, answers)


@pytest.fixture(scope="module")
def done(context: Context, own_tasks: Path, answers: Here) -> Harnessed:
    return run(context, own_tasks, answers, "own", "own_answers")


def test_every_figure_has_its_task_version_and_n(done: Harnessed) -> None:
    found = {(one.task, one.metric): one for one in done.figures}
    assert set(found) == {
        ("own", "acc"), ("own_choices", "acc"), ("own_choices", "acc_norm"), ("own_answers", "exact_match")
    }  # fmt: skip
    assert {one.task: one.version for one in done.figures} == {"own": "3.0", "own_choices": "2.0", "own_answers": "1.0"}
    assert all(one.n == 4 and one.value is not None for one in done.figures)
    one = found["own_choices", "acc"]
    assert one.value is not None
    assert one.value in {0.0, 0.25, 0.5, 0.75}  # the last item's choices are equal, and the first of them is wrong
    # Sample deviation of hits over the root of n: √(p (1 - p) · 4/3) / 2.
    assert one.standard_error == pytest.approx((one.value * (1 - one.value) * 4 / 3) ** 0.5 / 2)
    assert found["own", "acc"].value == one.value


def test_questions_and_what_was_cut_are_counted(done: Harnessed, answers: Here) -> None:
    # 3 + 2 + 2 + 2 choices and 4 answers; the last question is longer than 256 tokens.
    assert answers.asked[:2] == [("continuations", 9), ("written", 4)] or answers.asked[:2] == [
        ("written", 4), ("continuations", 9)
    ]  # fmt: skip
    assert (done.questions, done.cut, done.unsaid) == (13, 2 + 1, 0)


def test_figures_are_kept_beside_those_of_other_askings(
    done: Harnessed, context: Context, own_tasks: Path, answers: Here
) -> None:
    path = context.run.path / "evaluation" / "harness.json"
    (first,) = json.loads(path.read_text(encoding="utf-8"))
    assert first["figures"] == [asdict(one) for one in done.figures]
    assert first["lm_eval"] == done.lm_eval
    run(context, own_tasks, answers, "own_choices", limit=2)
    run(context, own_tasks, answers, "own_choices", limit=2)
    whole, trial = json.loads(path.read_text(encoding="utf-8"))
    assert whole == first
    assert (trial["asked"]["limit"], trial["figures"][0]["n"]) == (2, 2)


def test_items_are_kept_with_their_replies(done: Harnessed, context: Context) -> None:
    items = [row for row in context.run.table("evaluation/harness/items").rows() if row["task"] == "own_choices"]
    by_number = {row["item"]: row for row in items}
    assert set(by_number) == {0, 1, 2, 3}
    (acc,) = [one for one in done.figures if (one.task, one.metric) == ("own_choices", "acc")]
    whole = [json.loads(row["metrics"])["acc"] for row in by_number.values()]
    assert sum(whole) / 4 == acc.value
    assert [len(json.loads(by_number[i]["replies"])) for i in range(4)] == [3, 2, 2, 2]
    equal = json.loads(by_number[3]["replies"])
    assert equal[0] == equal[1]


def test_a_model_without_a_chat_template_is_asked_without(context: Context, own_tasks: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(context.start_folder, plain)
    (plain / "chat_template.jinja").unlink()
    asked = Asked(("own_answers",), include=str(own_tasks), chat=True)
    tasks = load_tasks(asked, defaults=False)
    with pytest.raises(ConfigError, match=f"^harness: model {plain} has no chat template; leave --chat out$"):
        harness(context, asked, tasks, str(plain), StoredAnswers(context, str(plain), Engine()))


def test_one_table_shows_it(done: Harnessed, capsys: pytest.CaptureFixture[str]) -> None:
    show(done)
    shown = capsys.readouterr().out
    assert "own_answers" in shown
    assert "exact_match" in shown
    assert "3 contexts cut on the left to fit model.context" in " ".join(shown.split())
    assert f"lm-eval {done.lm_eval}, 13 questions" in shown


# --- the command, on a real Ray ---------------------------------------------------------------------------------------


def test_the_command_asks_nothing_twice(tiny: str, own_tasks: Path, tmp_path: Path) -> None:
    models = (f"storage={tmp_path}", f"model.path={tiny}", f"labeler.model.path={tiny}")
    arguments = ("harness", str(LEARN), *models, "--tasks", "own_choices,own_answers", "--include", str(own_tasks))
    first = truing(tmp_path, *arguments).expect(0)
    assert "own_choices" in first.out
    folder = tmp_path / "learn" / "evaluation"
    stored = sorted((folder / "harness" / "continuations").glob("*.parquet"))
    assert stored
    kept = (folder / "harness.json").read_text(encoding="utf-8")
    again = truing(tmp_path, *arguments).expect(0)
    assert "own_choices" in again.out
    assert (folder / "harness.json").read_text(encoding="utf-8") == kept
    assert sorted((folder / "harness" / "continuations").glob("*.parquet")) == stored
