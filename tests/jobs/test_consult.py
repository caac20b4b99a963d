"""Consulting without a cluster: what goes to the second labeler, whose failures count, and under which name labels are found."""

import math
from collections import Counter
from pathlib import Path

from actors.spending import Usage
from jobs.askings import askings
from jobs.consult import Consulted, _unsure, stored
from jobs.labelers import LABELS, label_row, request
from jobs.requests import Ledger, write_requests
from jobs.store import Table
from jobs.sweep import Swept
from truing.config.labeling import Style
from truing.labeling.asking import Judgement
from truing.labeling.consensus import OrderedLogprobs
from truing.records import canonical_pair

PAIRS = [canonical_pair(f"Question {i}?", f"Yes {i}.", f"No {i}.", "any")[0] for i in range(5)]
WAYS = askings([{"*": "helpful"}], [Style(), Style(exemplars=1)], ["overall"], ("any",))
SURE = Judgement(OrderedLogprobs(0.0, -math.inf), OrderedLogprobs(-math.inf, 0.0))
# One order for each response: P = 1/2.
UNSURE = Judgement(OrderedLogprobs(0.0, -math.inf), OrderedLogprobs(0.0, -math.inf))


def answered(table: Table, found: dict[tuple[int, str], Judgement]) -> None:
    rows = [request(pair, asking, name, "judge") for pair in PAIRS for name, asking in WAYS.items()]
    write_requests(rows, table, 100)
    places = {pair.id: i for i, pair in enumerate(PAIRS)}
    known = [(row, found.get((places[row["pair"]], row["asking"]))) for row in rows]
    table.append([label_row(row, WAYS[row["asking"]], one) for row, one in known if one], LABELS)


def test_what_is_not_answered_or_not_sure_in_every_way_goes_on(tmp_path: Path) -> None:
    table, (one, two) = Table(tmp_path / "judge"), WAYS
    # 0 is sure both times; 1 is unsure once; 2 has no answer; 3 has one answer; 4 is sure of the other response.
    found = {(0, one): SURE, (0, two): SURE, (1, one): SURE, (1, two): UNSURE, (3, one): SURE}
    answered(table, found | {(4, one): SURE.swap(), (4, two): SURE.swap()})
    passed_on = [pair for pair, _ in _unsure(lambda: ((pair, {}) for pair in PAIRS), table, 0.75, (one, two))]
    assert passed_on == PAIRS[1:4]


def test_a_label_is_found_under_the_name_that_its_way_has_now(tmp_path: Path) -> None:
    table, (one, _) = Table(tmp_path / "judge"), WAYS
    answered(table, {(0, one): SURE})
    assert list(stored(table)) == [(PAIRS[0].id, one)]
    # A second template joins the study, so that the ways get longer names: the question, and its id, are the same.
    both = askings([{"*": "helpful"}, {"*": "summarize"}], [Style()], ["overall"], ("any",))
    write_requests([request(PAIRS[0], asking, name, "judge") for name, asking in both.items()], table, 100)
    assert list(stored(table)) == [(PAIRS[0].id, f"helpful: {one}")]


def test_each_labeler_s_share_is_of_its_own_questions() -> None:
    def swept(total: int, failed: int) -> Swept:
        ledger = Ledger(total=total, answered=total - failed, failed=failed, passing=0, again=0, retried=0)
        return Swept(ledger, Counter(), Usage())

    done = Consulted({"one": swept(20, 0), "two": swept(8, 6), "three": swept(0, 0)}, {"one": 0, "two": 0, "three": 0})
    # 6 of 8 is three quarters, whoever else was asked; who was asked nothing has failed on nothing.
    assert done.unanswered == {"one": 0.0, "two": 0.75, "three": 0.0}
    assert (done.asked, done.failed) == (28, 6)
