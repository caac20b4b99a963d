"""What a run has spent: summed over processes, kept when one dies, never read half."""

from pathlib import Path

import pytest

from actors.account import Account, RunAccount
from truing.errors import TruingError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spent" / "labeler"


def test_an_amount_fits_below_the_limit_or_is_not_added() -> None:
    account = Account()
    assert account.add(3, limit=5)
    assert not account.add(2.5, limit=5)
    assert account.total == 3
    assert account.add(2, limit=5)
    assert account.add(7)
    assert account.total == 12


def test_what_others_have_spent_and_set_aside_counts(folder: Path) -> None:
    one, two = RunAccount(folder), RunAccount(folder)
    assert one.add(4, limit=10)
    assert two.add(5, limit=10)
    assert not one.add(2, limit=10)
    assert two.add(-3)  # It cost 2 of the 5.
    assert one.add(2, limit=10)
    assert one.total == RunAccount(folder).total == 8


def test_the_question_that_found_no_room_is_remembered(folder: Path) -> None:
    one = RunAccount(folder)
    assert one.refused == 0
    one.refuse(2.5)
    assert RunAccount(folder).refused == 2.5


def test_nothing_that_is_free_is_written(folder: Path) -> None:
    RunAccount(folder).add(0.0, limit=1)
    assert list(folder.glob("*.log")) == []


def test_a_line_that_is_not_whole_yet_is_not_read(folder: Path) -> None:
    one = RunAccount(folder)
    (folder / "other.log").write_text("1.5\n0.2")
    assert one.add(1)
    assert one.total == 2.5
    (folder / "other.log").write_text("1.5\n0.25\n")
    assert one.add(1)
    assert one.total == 3.75


def test_a_log_that_holds_no_numbers_and_a_folder_that_is_none_are_named(folder: Path) -> None:
    account = RunAccount(folder)
    (folder / "other.log").write_text("much\n")
    with pytest.raises(TruingError, match=r"other\.log: 'much' is no amount; mend the line"):
        account.add(1)
    folder.parent.joinpath("file").write_text("")
    with pytest.raises(TruingError, match=r"file: cannot be written .* so that no budget can be kept"):
        RunAccount(folder.parent / "file")
