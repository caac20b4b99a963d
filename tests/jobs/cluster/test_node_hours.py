"""Node-hours: what looks come to, over nodes that come and go and drivers that follow each other."""

import json
from pathlib import Path

import pytest

from jobs.cluster.node_hours import LONGEST, NodeHours, Seen, cost, read_record
from truing.errors import TruingError

HEAD, SMALL = "head", "2 CPUs"


def test_a_node_that_joins_and_leaves(tmp_path: Path) -> None:
    """Looks at 100, 108, 116 and 124 s. The first counts no time; each other one the 8 s before it, of the nodes it sees."""
    driver = NodeHours(tmp_path)
    driver.look([HEAD], 100)
    driver.look([HEAD, SMALL, SMALL], 108)
    driver.look([HEAD, SMALL], 116)
    driver.look([HEAD], 124)
    # head: 3 x 8 s at 4 looks; the others: 2 x 8 + 1 x 8 s at 2 looks.
    assert driver.record == read_record(tmp_path) == {HEAD: Seen(1, 24.0, 4), SMALL: Seen(2, 24.0, 2)}


def test_two_drivers_one_after_the_other(tmp_path: Path) -> None:
    """Their clocks have nothing to do with each other, and the time between them is nobody's."""
    first = NodeHours(tmp_path)
    first.look([HEAD], 1000)
    first.look([HEAD], 1008)
    second = NodeHours(tmp_path)
    assert second.record == {HEAD: Seen(1, 8.0, 2)}
    second.look([HEAD, HEAD], 3)
    second.look([HEAD, HEAD], 9)
    # 8 s, then 6 s of two nodes.
    assert read_record(tmp_path) == {HEAD: Seen(2, 20.0, 4)}
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_a_gap_counts_as_one_interval_at_most(tmp_path: Path) -> None:
    driver = NodeHours(tmp_path)
    driver.look([HEAD], 0)
    driver.look([HEAD], 3600)
    assert driver.record[HEAD].seconds == LONGEST == 10


def test_what_they_cost() -> None:
    record = {HEAD: Seen(1, 7200.0, 900), SMALL: Seen(3, 1800.0, 100)}
    # 2 h at 0.5 and half an hour at 3; without its price a kind is in no sum.
    assert cost(record, {HEAD: 0.5, SMALL: 3.0}) == 2.5
    assert cost(record, {HEAD: 0.5}) == 1.0
    assert record[SMALL].cost(None) is None


def test_there_is_room_for_another_look_or_not(tmp_path: Path) -> None:
    driver = NodeHours(tmp_path)
    for second in range(0, 80, 8):
        driver.look([HEAD], second)
    # 72 s so far, and at most 10 s until the next look, at 3600 an hour: 1 a second.
    assert driver.has_room([HEAD], {HEAD: 3600.0}, 82)
    assert not driver.has_room([HEAD], {HEAD: 3600.0}, 81.9)
    assert not driver.has_room([HEAD, HEAD], {HEAD: 3600.0}, 82)
    assert driver.has_room([SMALL], {HEAD: 3600.0}, 72)


def test_a_kill_takes_the_last_line_at_most(tmp_path: Path) -> None:
    driver = NodeHours(tmp_path)
    for second in (0, 8, 16):
        driver.look([HEAD], second)
    (file,) = tmp_path.glob("*.jsonl")
    file.write_text(file.read_text()[:-5])
    assert read_record(tmp_path) == {HEAD: Seen(1, 8.0, 2)}


@pytest.mark.parametrize(
    "line", ["much", "[]", json.dumps({"seconds": 8}), json.dumps({"seconds": 8, "nodes": [HEAD]})]
)
def test_a_line_that_is_no_look_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(line + "\n")
    with pytest.raises(TruingError, match=r"a\.jsonl: .* is no look at nodes; mend the line, or delete the file"):
        read_record(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TruingError, match="cannot be written"):
        NodeHours(tmp_path / "file" / "nodes").look([HEAD], 0)
