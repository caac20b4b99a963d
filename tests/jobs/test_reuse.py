"""Labels of another run folder: taken over where the same was asked, and not asked again."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jobs.labelers import LABELS
from jobs.requests import write_requests
from jobs.reuse import check_reuse, take_over
from jobs.store import Table
from truing.errors import ConfigError
from truing.records import Row


def asked(*numbers: int, way: str = "base") -> list[Row]:
    return [{"id": f"q{i}", "pair": f"p{i}", "asking": way} for i in numbers]


def label(i: int, way: str = "base") -> Row:
    return dict.fromkeys(LABELS.names) | {"id": f"q{i}", "pair": f"p{i}", "asking": way, "logp_first_ab": -float(i)}


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A run folder: labels of marked pairs, of pairs, and of a set; and those of another labeler."""
    run = tmp_path / "earlier"
    (run / "labels").mkdir(parents=True)
    (run / "study.yaml").write_text("name: earlier\n")
    Table(run / "labels" / "marked" / "judge").append([label(0)], LABELS)
    Table(run / "labels" / "pairs" / "judge").append([label(1), label(2)], LABELS)
    Table(run / "agreement" / "ours" / "judge").append([label(3, "helpful: base")], LABELS)
    Table(run / "labels" / "pairs" / "other").append([label(4)], LABELS)
    return run


def test_what_others_have_asked_is_taken_and_not_asked(tmp_path: Path, earlier: Path) -> None:
    table = Table(tmp_path / "run" / "labels" / "pairs" / "judge")
    # q0 and q1 are wanted of the four that the labeler has answered there, q3 is called otherwise here; q4 is not its own.
    assert take_over(asked(0, 1, 3, 4, 5), table, [str(earlier)]) == 3
    assert {row["id"]: (row["asking"], row["logp_first_ab"]) for row in table.read()} == {
        "q0": ("base", -0.0), "q1": ("base", -1.0), "q3": ("base", -3.0),
    }  # fmt: skip
    ledger = write_requests(asked(0, 1, 3, 4, 5), table, 8)
    assert (ledger.total, ledger.answered, ledger.open, ledger.retried) == (5, 3, 2, 0)
    # What Ray Data reads to know what is done
    entered = [row["id"] for path in table.ledger.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert sorted(entered) == ["q0", "q1", "q3"]


def test_taking_over_again_changes_nothing(tmp_path: Path, earlier: Path) -> None:
    table = Table(tmp_path / "run" / "labels" / "pairs" / "judge")
    first = take_over(asked(0, 1, 5), table, [str(earlier)])
    files = sorted(tmp_path.rglob("*.parquet"))
    assert take_over(asked(0, 1, 5), table, [str(earlier)]) == first == 2
    assert sorted(tmp_path.rglob("*.parquet")) == files
    # Without the other run folder: what was taken stays, and is still counted.
    assert take_over(asked(0, 1, 5), table, []) == 2
    assert table.times_asked() == 2


def test_what_was_asked_here_is_not_taken(tmp_path: Path, earlier: Path) -> None:
    table = Table(tmp_path / "run" / "labels" / "pairs" / "judge")
    table.append([label(1)], LABELS)
    assert take_over(asked(1, 2), table, [str(earlier)]) == 1
    assert sorted(row["id"] for row in table.read()) == ["q1", "q2"]


def test_what_stopped_half_way_is_finished(tmp_path: Path, earlier: Path) -> None:
    table = Table(tmp_path / "run" / "labels" / "pairs" / "judge")
    # The note was written; the labels were not.
    Table(table.folder.with_name("judge.reused")).append([{"id": "q1", "run": "earlier"}])
    assert take_over(asked(1, 2), table, [str(earlier)]) == 2
    # The labels were written; the ledger was not.
    for path in table.ledger.glob("*.parquet"):
        path.unlink()
    assert take_over(asked(1, 2), table, [str(earlier)]) == 2
    assert len(list(table.ledger.glob("*.parquet"))) == 1


def test_labels_that_their_run_has_not_committed_are_not_taken(tmp_path: Path, earlier: Path) -> None:
    other = Table(earlier / "labels" / "pairs" / "judge")
    other.ledger.mkdir()
    (part,) = other.folder.glob("*.parquet")
    (other.ledger / f"{part.stem}.pending.parquet").write_bytes(b"")
    assert take_over(asked(0, 1, 2), Table(tmp_path / "run" / "labels" / "pairs" / "judge"), [str(earlier)]) == 1


def test_a_table_takes_nothing_from_itself(earlier: Path) -> None:
    table = Table(earlier / "labels" / "pairs" / "judge")
    assert take_over(asked(0, 1, 2), table, [str(earlier)]) == 1
    assert sorted(row["id"] for row in table.read()) == ["q0", "q1", "q2"]


def test_without_run_folders_nothing_is_read(tmp_path: Path) -> None:
    def broken():
        raise AssertionError("the requests were read")
        yield

    assert take_over(broken(), Table(tmp_path / "labels" / "judge"), []) == 0


def test_a_path_that_is_not_a_run_folder(tmp_path: Path, earlier: Path) -> None:
    check_reuse([str(earlier)])
    with pytest.raises(ConfigError) as caught:
        check_reuse([str(earlier), str(tmp_path)])
    assert str(caught.value) == (
        f"label.reuse: {tmp_path} is not a run folder (it has no study.yaml); give the folder of an earlier run,"
        " e.g. runs/first"
    )
