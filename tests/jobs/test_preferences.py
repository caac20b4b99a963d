"""From stored labels and marks to the preference set, by hand."""

import math
from pathlib import Path
from typing import Any

import pytest

from jobs.askings import askings
from jobs.labelers import LABELS, label_row, request
from jobs.preferences import write_preferences
from jobs.requests import write_requests
from jobs.store import Table
from tests.jobs.drive import write_lines
from truing.config.labeling import EngineLabeler, Style
from truing.config.stages import HumanLabels
from truing.labeling.asking import Asking, Judgement
from truing.labeling.calibration import LogisticMap
from truing.labeling.consensus import OrderedLogprobs
from truing.records import Pair, canonical_pair

LABELER = EngineLabeler()
PAIRS = [canonical_pair(f"Question {i}?", f"Yes {i}.", f"No {i}, not at all.", "any")[0] for i in range(3)]
# The odds of the first label are e² in the order as given, 1/e in the other: P = (σ(2) + σ(1))/2.
FOUND = Judgement(OrderedLogprobs(-1.0, -3.0), OrderedLogprobs(-2.0, -1.0))
P = (1 / (1 + math.exp(-2)) + 1 / (1 + math.exp(-1))) / 2


def ways(*criteria: str, template: str = "helpful") -> dict[str, Asking]:
    return askings([{"*": template}], [Style()], criteria or ("overall",), ("any",))


def written(
    folder: Path,
    asked: dict[str, Asking],
    found: dict[tuple[str, str], Judgement],
    maps: dict[str, LogisticMap] | None = None,
    marked: tuple[HumanLabels, ...] = (),
) -> list[dict[str, Any]]:
    from jobs.labelers import member

    labels = Table(folder / "labels" / member(LABELER).id)
    rows = [request(pair, asking, name, "judge") for pair in PAIRS for name, asking in asked.items()]
    write_requests(rows, labels, 2)
    answered = [row for row in rows if (row["pair"], row["asking"]) in found]
    labels.append([label_row(r, asked[r["asking"]], found[r["pair"], r["asking"]]) for r in answered], LABELS)
    table = Table(folder / "preferences")
    counts = write_preferences(table, [labels], folder / "labels", LABELER, "judge", asked, maps or {}, marked)
    stored = table.rows()
    assert sum(counts.values()) == len(stored)
    return stored


def of(rows: list[dict[str, Any]], pair: Pair) -> dict[str, Any]:
    (found,) = [row for row in rows if row["id"] == pair.id]
    return found


def test_p_chosen_is_the_mean_of_both_orders_and_never_below_a_half(tmp_path: Path) -> None:
    asked = ways()
    (name,) = asked
    rows = written(tmp_path, asked, {(PAIRS[0].id, name): FOUND, (PAIRS[1].id, name): FOUND.swap()})
    one, two = of(rows, PAIRS[0]), of(rows, PAIRS[1])
    assert (one["chosen"], one["p_chosen"]) == (PAIRS[0].first, pytest.approx(P))
    assert (two["chosen"], two["p_chosen"]) == (PAIRS[1].second, pytest.approx(P))
    assert (one["chosen_first"], two["chosen_first"]) == (True, False)
    assert (one["logp_first_ab"], one["logp_second_ba"]) == (-1.0, -1.0)
    # The third one was not answered.
    assert len(rows) == 2


def test_a_template_that_asks_for_the_worse_is_turned_round(tmp_path: Path) -> None:
    asked = ways(template="harmless")
    (name,) = asked
    row = of(written(tmp_path, asked, {(PAIRS[0].id, name): FOUND}), PAIRS[0])
    assert (row["chosen"], row["p_chosen"]) == (PAIRS[0].second, pytest.approx(P))


def test_several_criteria_give_their_mean(tmp_path: Path) -> None:
    asked = ways("coherence", "coverage", template="summarize")
    one, two = asked
    sure = Judgement(OrderedLogprobs(0.0, -math.inf), OrderedLogprobs(-math.inf, 0.0))
    found = {(PAIRS[0].id, one): FOUND, (PAIRS[0].id, two): sure, (PAIRS[1].id, one): FOUND}
    rows = written(tmp_path, asked, found)
    # (P + 1)/2; the other pair lacks a criterion.
    assert of(rows, PAIRS[0])["p_chosen"] == pytest.approx((P + 1) / 2)
    assert of(rows, PAIRS[0])["logp_first_ab"] is None
    assert len(rows) == 1


def test_calibration_is_applied(tmp_path: Path) -> None:
    asked = ways()
    (name,) = asked
    calibration = LogisticMap(logit=-0.5, length=0.01, penalty=1.0, pairs=10)
    row = of(written(tmp_path, asked, {(PAIRS[0].id, name): FOUND}, {name: calibration}), PAIRS[0])
    # x = (2 - (-1))/2 = 1.5; the gap of the two texts is that of the pair as it is stored.
    gap = len(PAIRS[0].first) - len(PAIRS[0].second)
    p = 1 / (1 + math.exp(0.5 * 1.5 - 0.01 * gap))
    assert row["p_chosen"] == pytest.approx(max(p, 1 - p))
    assert (row["chosen"] == PAIRS[0].first) == (p >= 0.5)


def test_marked_pairs_of_several_sources_are_weighed(tmp_path: Path) -> None:
    one = [{"prompt": f"a{i}", "first": "x", "second": "y", "human": "first"} for i in range(3)]
    two = [{"prompt": "b", "first": "x", "second": "y", "human": "tie"}]
    sources = (
        HumanLabels(path=str(write_lines(tmp_path / "one.jsonl", one)), name="one", weight=1.0),
        HumanLabels(path=str(write_lines(tmp_path / "two.jsonl", two)), name="two", weight=3.0),
    )
    rows = written(tmp_path, ways(), {}, marked=sources)
    weights = {row["labeler"]: row["weight"] for row in rows}
    # Four pairs in all: "one" has a quarter of the weight over three pairs, "two" three quarters over one.
    assert weights == {"people, one": pytest.approx(1 / 3), "people, two": pytest.approx(3.0)}
    assert {row["labeler"]: row["p_chosen"] for row in rows} == {"people, one": 1.0, "people, two": 0.5}
    assert {row["chosen"] for row in rows if row["labeler"] == "people, one"} == {"x"}
    assert {row["source"] for row in rows} == {"marked"}


def test_where_votes_are_known_p_is_their_share(tmp_path: Path) -> None:
    votes = {"a": ["2", "2", "1"], "b": ["1", "tie", "1"], "c": ["2", "2", "2"]}
    rows = [{"prompt": key, "first": "x", "second": "y", "votes": one} for key, one in votes.items()]
    coding: dict[str, Any] = {"1": "first", "2": "second", "tie": "tie"}
    source = HumanLabels(path=str(write_lines(tmp_path / "votes.jsonl", rows)), name="people", coding=coding)
    found = {row["prompt"]: row for row in written(tmp_path, ways(), {}, marked=(source,))}
    # Two of three; one, a half and one of three; all.
    assert {key: row["p_chosen"] for key, row in found.items()} == pytest.approx({"a": 2 / 3, "b": 2.5 / 3, "c": 1})
    assert {key: row["chosen"] for key, row in found.items()} == {"a": "y", "b": "x", "c": "y"}


def test_the_set_is_replaced_as_a_whole(tmp_path: Path) -> None:
    asked = ways()
    (name,) = asked
    written(tmp_path, asked, {(pair.id, name): FOUND for pair in PAIRS})
    table = Table(tmp_path / "preferences")
    assert len(table.rows()) == 3
    from jobs.labelers import member

    labels = Table(tmp_path / "labels" / member(LABELER).id)
    write_requests([request(PAIRS[0], asked[name], name, "judge")], labels, 2)
    write_preferences(table, [labels], tmp_path / "labels", LABELER, "judge", asked, {}, ())
    assert [row["id"] for row in table.rows()] == [PAIRS[0].id]
