"""The run folder: parts that are written once, stages that are finished once, and a disk that is full."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.run_path import run_address, run_path
from jobs.store import RunFolder, Table, read_json, write_json
from truing.config.study import Study
from truing.errors import ConfigError, TruingError
from truing.records import Row, content_id

ROWS: list[Row] = [{"id": "b", "text": "two"}, {"id": "a", "text": "one"}]


def parts(table: Table) -> list[Path]:
    return sorted(table.folder.glob("part-*.parquet"))


def full(path: Path) -> None:
    """Make every write to a path fail as on a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to("/dev/full")


# --- tables ----------------------------------------------------------------------------------------


def test_rows_come_back_in_the_order_of_their_ids(tmp_path: Path):
    table = Table(tmp_path / "t")
    table.append(ROWS)
    assert table.rows() == [ROWS[1], ROWS[0]]
    assert table.ids() == {"a", "b"}


def test_a_table_that_was_never_written_is_empty(tmp_path: Path):
    table = Table(tmp_path / "t")
    table.append([])
    assert table.rows() == []
    assert table.ids() == set()
    assert not table.folder.exists()


def test_appending_the_same_rows_again_adds_no_part(tmp_path: Path):
    table = Table(tmp_path / "t")
    table.append(ROWS)
    table.append(list(reversed(ROWS)))
    assert len(parts(table)) == 1
    assert len(table.rows()) == 2


def test_a_row_in_two_parts_is_one_row(tmp_path: Path):
    """A worker that died after writing its part: the batch is cut otherwise on the next run."""
    table = Table(tmp_path / "t")
    table.append(ROWS)
    table.append(ROWS[:1])
    assert len(parts(table)) == 2
    assert [row["id"] for row in table.rows()] == ["a", "b"]


def test_what_a_killed_writer_left_is_no_part(tmp_path: Path):
    table = Table(tmp_path / "t")
    table.append(ROWS)
    (table.folder / ".part-0123456789abcdef.parquet.17.part").write_bytes(b"PAR1 cut o")
    assert table.ids() == {"a", "b"}
    assert len(table.rows()) == 2


def test_select_keeps_the_order_that_was_asked_and_leaves_out_what_is_absent(tmp_path: Path):
    table = Table(tmp_path / "t")
    table.append(ROWS)
    assert [row["id"] for row in table.select(["b", "never", "a"])] == ["b", "a"]


def test_a_full_disk_is_named_and_leaves_no_part(tmp_path: Path):
    table = Table(tmp_path / "t")
    name = f"part-{content_id(['a', 'b'])}.parquet"
    full(table.folder / f".{name}.{os.getpid()}.part")
    with pytest.raises(TruingError) as caught:
        table.append(ROWS)
    assert str(caught.value).startswith(f"{table.folder}: cannot be written (")
    assert "No space left on device" in str(caught.value)
    assert str(caught.value).endswith("free space or give another storage=...")
    assert parts(table) == []


# --- stages ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figure:
    value: float
    n: int


def test_a_finished_stage_gives_its_report_back(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    assert run.finished("reward_model", "k1") is None
    run.finish("reward_model", "k1", {"accuracy": Figure(0.75, 60)})
    assert run.finished("reward_model", "k1") == {"accuracy": {"value": 0.75, "n": 60}}
    assert run.report_of("reward_model") == {"accuracy": {"value": 0.75, "n": 60}}
    assert run.report_of("policy") is None


def test_a_stage_finished_with_other_inputs_is_not_taken_for_this_one(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    run.finish("reward_model", "k1", {})
    (run.path / "reward_model").mkdir()
    with pytest.raises(ConfigError) as caught:
        run.finished("reward_model", "k2")
    assert str(caught.value) == (
        f"{run.path}: its reward model was made with other settings or data; give name=... for a new run,"
        f" or delete {run.path}/stages/reward_model.json and {run.path}/reward_model to do it again"
    )


def test_what_is_to_be_deleted_is_there(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    run.finish("label", "k1", {})
    (run.path / "labels").mkdir()
    (run.path / "preferences").mkdir()
    remedy = "its label was made with other settings or data; give name=... for a new run, or delete"
    with pytest.raises(ConfigError) as caught:
        run.finished("label", "k2")
    # No folder is called `label`, and no trust.json was written here. Labels that were paid for stay.
    folders = f"{run.path}/stages/label.json and {run.path}/preferences"
    assert str(caught.value) == f"{run.path}: {remedy} {folders} to do it again"
    write_json(run.path / "trust.json", {})
    with pytest.raises(ConfigError) as caught:
        run.finished("label", "k2")
    assert str(caught.value) == f"{run.path}: {remedy} {folders} and {run.path}/trust.json to do it again"


def test_checkpoints_of_other_inputs_are_refused(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    folder = run.claim("policy", "k1")
    assert run.claim("policy", "k1") == folder
    with pytest.raises(ConfigError) as caught:
        run.claim("policy", "k2")
    assert str(caught.value) == (
        f"{folder}: holds checkpoints made with other settings or data; give name=... for a new run, or delete {folder}"
    )


def test_seconds_of_a_stage_add_up_over_runs(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    run.add_seconds("train", 1.5)
    run.add_seconds("label", 1.0)
    run.add_seconds("train", 2.0)
    assert run.seconds() == {"train": 3.5, "label": 1.0}


def test_json_is_replaced_as_a_whole(tmp_path: Path):
    path = tmp_path / "a" / "b.json"
    assert read_json(path) is None
    write_json(path, {"n": 1})
    write_json(path, {"n": 2})
    assert read_json(path) == {"n": 2}
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]


def test_json_refuses_what_it_cannot_hold(tmp_path: Path):
    with pytest.raises(TypeError, match="set is not JSON-able"):
        write_json(tmp_path / "a.json", {"ids": {1, 2}})


# --- a folder that cannot be written ---------------------------------------------------------------


def test_prepare_makes_the_folder_and_leaves_nothing_in_it(tmp_path: Path):
    run = RunFolder(tmp_path / "a" / "run")
    run.prepare()
    assert run.path.is_dir()
    assert not list(run.path.iterdir())


def test_prepare_notices_a_full_disk(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    full(run.path / f".write-test-{os.getpid()}")
    with pytest.raises(TruingError) as caught:
        run.prepare()
    expected = f"{run.path}: cannot be written (No space left on device); free space or give another storage=..."
    assert str(caught.value) == expected


def test_json_on_a_full_disk_keeps_the_old_file(tmp_path: Path):
    path = tmp_path / "a.json"
    write_json(path, {"n": 1})
    full(tmp_path / ".a.json.part")
    with pytest.raises(TruingError, match="cannot be written \\(No space left on device\\)"):
        write_json(path, {"n": 2})
    assert read_json(path) == {"n": 1}


def test_json_below_a_file_is_one_line_too(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(TruingError, match="cannot be written \\(Not a directory\\)"):
        write_json(tmp_path / "file" / "stages" / "a.json", {})


# --- where a run is --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("storage", "address"),
    [
        ("runs", "runs/mine"),
        ("/mnt/runs/", "/mnt/runs/mine"),
        ("s3://bucket", "s3://bucket/mine"),
        ("s3://bucket/some/runs/", "s3://bucket/some/runs/mine"),
        ("s3://b/p?endpoint_override=http://127.0.0.1:1&scheme=http", "s3://b/p/mine?endpoint_override=http://127.0.0.1:1&scheme=http"),
        ("gs://bucket/runs?location=eu", "gs://bucket/runs/mine?location=eu"),
        ("file:///mnt/runs", "file:///mnt/runs/mine"),
    ],
)  # fmt: skip
def test_where_a_run_is_kept(storage: str, address: str):
    assert run_address(Study.model_validate({"name": "mine", "storage": storage})) == address


def test_a_run_at_a_uri_is_worked_on_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRUING_CACHE", str(tmp_path))
    folders = [run_path(Study.model_validate({"name": "mine", "storage": f"s3://b/{end}"})) for end in ("x", "y")]
    assert [folder.relative_to(tmp_path).parts[::2] for folder in folders] == [("runs", "mine")] * 2
    assert folders[0] != folders[1]
    assert run_path(Study.model_validate({"name": "mine", "storage": "runs"})) == Path("runs/mine")
