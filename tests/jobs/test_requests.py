"""The ledger of a pass: each request once, what failed left out, nothing rewritten that is done."""

from pathlib import Path

import pytest

from jobs.requests import Ledger, requests, shards, standing, write_requests
from jobs.store import Table
from truing.errors import TruingError
from truing.records import Row


def rows(*numbers: int) -> list[Row]:
    return [{"id": f"row-{i}", "number": i, "note": None, "list": [i, 0.5]} for i in numbers]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "labels")


def test_requests_come_back_as_they_were_given_in_shards(table: Table) -> None:
    assert write_requests(iter(rows(0, 1, 2, 3, 4)), table, 2) == Ledger(5, 0, 0, 0, 0, 0)
    assert len(shards(table)) == 3
    assert list(requests(table)) == rows(0, 1, 2, 3, 4)


def test_the_same_request_is_written_once(table: Table) -> None:
    # 0 three times and 1 twice: two requests, three given again.
    assert write_requests(rows(0, 1, 0, 1, 0), table, 8) == Ledger(2, 0, 0, 0, 3, 0)
    assert list(requests(table)) == rows(0, 1)


def test_what_is_answered_counts_and_what_failed_is_left_out(table: Table) -> None:
    table.append([{"id": "row-0"}])
    table.dead_letters.append([{"id": "row-1", "reason": "too long"}])
    ledger = write_requests(rows(0, 1, 2, 3), table, 8)
    assert ledger == Ledger(total=4, answered=1, failed=1, passing=0, again=0, retried=0)
    assert ledger.open == 2
    assert [row["id"] for row in requests(table)] == ["row-0", "row-2", "row-3"]


def test_how_it_stands_is_counted_anew(table: Table) -> None:
    table.dead_letters.append([{"id": "row-1", "reason": "too long"}])
    ledger = write_requests(rows(0, 1, 2, 3), table, 8)
    table.append([{"id": "row-0"}, {"id": "row-2"}, {"id": "another"}])
    table.dead_letters.append([{"id": "row-3", "reason": "odd"}])
    assert standing(table, ledger) == Ledger(total=4, answered=2, failed=2, passing=0, again=0, retried=0)


def test_what_may_pass_has_failed_in_this_pass_and_is_open_in_the_next(table: Table) -> None:
    ledger = write_requests(rows(0, 1, 2, 3), table, 8)
    table.append([{"id": "row-0"}, {"id": "row-1"}])
    # 1 was answered after all, by a worker that took over.
    table.passing.append([{"id": "row-1", "reason": "HTTP 500"}, {"id": "row-2", "reason": "HTTP 500"}])
    table.dead_letters.append([{"id": "row-3", "reason": "too long"}])
    found = standing(table, ledger)
    assert found == Ledger(total=4, answered=2, failed=2, passing=1, again=0, retried=0)
    assert found.open == 0
    assert write_requests(rows(0, 1, 2, 3), table, 8) == Ledger(4, 2, 1, 0, 0, 0)
    assert [row["id"] for row in requests(table)] == ["row-0", "row-1", "row-2"]
    assert not table.passing.folder.exists()


def test_rows_that_were_asked_more_often_than_answered_were_retried(table: Table) -> None:
    table.asked.mkdir(parents=True)
    # One worker was handed 4 rows and died, the next 4 and 2; of the last batch one was not asked after all.
    (table.asked / "one").write_text("4\n")
    (table.asked / "two").write_text("4\n2\n-1\n")
    table.append([{"id": f"row-{i}"} for i in range(4)])
    table.dead_letters.append([{"id": "row-4", "reason": "odd"}])
    # 4 + 4 + 2 - 1 asked, 5 different ones.
    assert write_requests(rows(0, 1, 2, 3, 4), table, 8).retried == 4


def times(table: Table) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in table.requests.iterdir()}


def test_what_is_done_is_not_written_again(table: Table) -> None:
    write_requests(rows(0, 1, 2), table, 2)
    table.append([{"id": "row-0"}, {"id": "row-1"}])
    table.dead_letters.append([{"id": "row-2", "reason": "odd"}])
    before = times(table)
    assert write_requests(rows(0, 1, 2), table, 2).open == 0
    assert times(table) == before
    # Other requests, all answered too: they are.
    assert write_requests(rows(0, 1), table, 2).open == 0
    assert list(requests(table)) == rows(0, 1)


def test_what_failed_meanwhile_is_left_out_of_the_next_pass(table: Table) -> None:
    write_requests(rows(0, 1, 2), table, 2)
    table.dead_letters.append([{"id": "row-2", "reason": "odd"}])
    assert write_requests(rows(0, 1, 2), table, 2).open == 2
    assert list(requests(table)) == rows(0, 1)


def test_a_part_that_was_written_and_not_committed_is_no_answer(table: Table) -> None:
    """What a killed writer leaves: a note that is pending, and a file that may be torn."""
    table.append([{"id": "row-0"}])
    table.ledger.mkdir()
    (table.ledger / "abc_000001.pending.parquet").write_bytes(b"")
    (table.folder / "abc_000001-0.parquet").write_bytes(b"PAR1 and no more")
    assert table.ids() == {"row-0"}
    assert write_requests(rows(0, 1), table, 8).open == 1


def test_a_folder_that_is_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TruingError, match="cannot be written"):
        write_requests(rows(0), Table(tmp_path / "file" / "labels"), 8)
