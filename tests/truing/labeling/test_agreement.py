import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.truing.labeling.judgements import FIRST, judged, pairs, with_p
from truing.labeling.agreement import Gate, trust_report
from truing.labeling.calibration import before_and_after
from truing.labeling.judged import Judged


@given(pairs)
@settings(max_examples=15)
def test_naming_the_pairs_the_other_way_round_changes_no_figure_but_ties(sample: list[Judged]) -> None:
    sample = [pair for pair in sample if not pair.tied] or [judged()]
    assert trust_report([pair.swap() for pair in sample], seed=0) == trust_report(sample, seed=0)


@given(pairs)
@settings(max_examples=15)
def test_swapping_twice_gives_the_pair_back(sample: list[Judged]) -> None:
    for pair in sample:
        there = pair.swap()
        assert (there.p, there.human_first, there.length_gap) == (1 - pair.p, not pair.human_first, -pair.length_gap)
        assert (there.ab, there.ba) == (pair.ba, pair.ab)
        assert there.agrees == pair.agrees or pair.tied
        assert (there.flips, there.entropy) == (pair.flips, pytest.approx(pair.entropy))
        assert replace(there.swap(), p=pair.p) == pair


def test_report_by_domain_and_length() -> None:
    # Absolute gaps 0 10 20 100 100: median 20. The labeler agrees unless the human choice is much shorter.
    sample = [
        judged(domain="b", length_gap=0),
        judged(domain="a", length_gap=10),
        judged(domain="a", length_gap=-20),
        judged(domain="a", length_gap=100),
        judged(domain="b", length_gap=100, human_first=False),
    ]
    report = trust_report(sample, seed=0)
    assert report.overall.alignment.value == 0.8
    assert {domain: (each.alignment.n, each.alignment.value) for domain, each in report.by_domain.items()} == {
        "a": (3, 1.0),
        "b": (2, 0.5),
    }
    assert [(group, each.n, each.value) for group, each in report.alignment_by_length.items()] == [
        ("human choice shorter by more than 20", 1, 0.0),
        ("human choice shorter by at most 20", 1, 1.0),
        ("human choice equally long", 1, 1.0),
        ("human choice longer by at most 20", 1, 1.0),
        ("human choice longer by more than 20", 1, 1.0),
    ]


def test_rows_make_a_table() -> None:
    rows = trust_report([judged(length_gap=3), judged(FIRST, FIRST, domain="code")], seed=0).as_rows()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert all(list(row) == ["scope", "group", "figure", "value", "low", "high", "n"] for row in rows)
    assert len({(row["scope"], row["group"], row["figure"]) for row in rows}) == len(rows)
    shares = {row["group"]: row["value"] for row in rows if row["figure"] == "same position rate"}
    assert shares == {"all": 0.5, "chat": 0.0, "code": 1.0}
    firsts = {row["group"]: (row["value"], row["n"]) for row in rows if row["figure"] == "first among same position"}
    assert firsts == {"all": (1.0, 1), "chat": (None, 0), "code": (1.0, 1)}


def test_gate_names_every_reason() -> None:
    # Of four pairs, one disagrees with the human mark and another follows the position (a tie, which counts as a).
    report = trust_report([judged(), judged(), judged(human_first=False), judged(FIRST, FIRST)], seed=0)
    assert Gate(min_alignment=0.75, max_flip_rate=0.25, max_unparsable=0.1).reasons(report, {"judge": 0.1}) == []
    alignment_reason, flip_reason, unparsable_reason = Gate(0.8, 0.2, 0.1).reasons(report, {"judge": 0.15})
    assert alignment_reason.startswith("Alignment with humans is 75.0% [")
    assert alignment_reason.endswith("of 4 pairs, below the required 80.0%.")
    assert "order of the responses in 25.0% [" in flip_reason
    assert unparsable_reason == "15.0% of the replies cannot be parsed, above the allowed 10.0%."


def test_an_unknown_share_does_not_pass_the_gate() -> None:
    assert len(Gate(0.0, 1.0, 1.0).reasons(trust_report([judged()], seed=0), {"judge": math.nan})) == 1


def test_the_gate_looks_at_the_worst_labeler_and_names_it() -> None:
    # 0 %, 12 % and 3 %: 5 % in the mean, which 10 % would let pass.
    report = trust_report([judged()], seed=0)
    shares = {"one": 0.0, "two": 0.12, "three": 0.03}
    (reason,) = Gate(0.0, 1.0, max_unparsable=0.1).reasons(report, shares)
    assert reason == "12.0% of the replies of two cannot be parsed, above the allowed 10.0%."
    assert Gate(0.0, 1.0, max_unparsable=0.12).reasons(report, shares) == []
    # One of which nothing is known is the worst.
    assert "of three" in Gate(0.0, 1.0, 1.0).reasons(report, {**shares, "three": math.nan})[0]


def test_nothing_judged_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pair carries both"):
        trust_report([], seed=0)
    with pytest.raises(ValueError, match="not in \\[0, 1\\]"):
        with_p(math.nan, human_first=True)


def test_report_by_criterion() -> None:
    sample = [
        judged(criterion="coverage", domain="news"),
        judged(criterion="coverage", domain="chat", human_first=False),
        judged(criterion="coherence", domain="chat"),
    ]
    report = trust_report(sample, seed=0)
    assert {name: each.alignment.value for name, each in report.by_criterion.items()} == {
        "coherence": 1.0,
        "coverage": 0.5,
    }
    assert {names: each.alignment.value for names, each in report.by_domain_and_criterion.items()} == {
        ("chat", "coherence"): 1.0,
        ("chat", "coverage"): 0.0,
        ("news", "coverage"): 1.0,
    }
    groups = {row["group"] for row in report.as_rows() if row["scope"] == "domain and criterion"}
    assert groups == {"chat / coherence", "chat / coverage", "news / coverage"}
    assert trust_report(sample[:2], seed=0).by_criterion == {}


def test_the_same_pairs_under_five_criteria_are_no_surer() -> None:
    pairs = [replace(judged(human_first=i % 3 > 0), pair=str(i)) for i in range(40)]
    names = ("coherence", "coverage", "fluency", "overall", "relevance")
    report = trust_report([replace(pair, criterion=name) for name in names for pair in pairs], seed=0)
    alone = trust_report(pairs, seed=0)
    assert vars(report.overall.alignment) == pytest.approx(vars(alone.overall.alignment))
    assert report.overall.alignment.n == 40
    # A criterion alone, and a domain of which every pair is asked by all.
    assert {name: each.alignment for name, each in report.by_criterion.items()} == dict.fromkeys(
        names, alone.overall.alignment
    )
    assert report.by_domain["chat"].alignment.n == 40
    ties = {row["n"] for row in report.as_rows() if (row["scope"], row["figure"]) == ("all", "ties")}
    assert ties == {200}


def test_report_by_confidence_and_with_human_ties() -> None:
    # p = .55 right, .58 wrong: one of two in the lowest tenth; .95 (as .05 for b) right.
    sample = [with_p(0.55, human_first=True), with_p(0.58, human_first=False), with_p(0.05, human_first=False)]
    report = trust_report(sample, seed=0, human_ties=4)
    assert [(group, each.n, each.value) for group, each in report.alignment_by_confidence.items()] == [
        ("0.5-0.6", 2, 0.5),
        ("0.9-1.0", 1, 1.0),
    ]
    assert [row["value"] for row in report.as_rows() if row["figure"] == "human ties left out"] == [4]


def test_gate_names_the_weakest_group() -> None:
    # chat agrees in 2 of 2; code in 1 of 2, a miss of .3; the position decides in none.
    sample = [judged(), judged(), judged(domain="code"), judged(domain="code", human_first=False)]
    report = trust_report(sample, seed=0)
    gate = Gate(min_alignment=0.8, max_flip_rate=0.0, max_unparsable=0.0)
    reasons = gate.reasons(report, {"judge": 0.0})
    assert len(reasons) == 2
    assert reasons[1].startswith("Worst is domain 'code': aligned in 50.0% [")
    assert reasons[1].endswith("the verdict changes with the order in 0.0%.")
    assert gate.weakest(report) == reasons[1]
    assert len(gate.reasons(report, {"judge": 1.0})) == 3
    # All together reach 75 %: the gate opens, though code alone would not.
    passing = Gate(min_alignment=0.75, max_flip_rate=0.0, max_unparsable=0.0)
    assert passing.reasons(report, {"judge": 0.0}) == []
    assert passing.weakest(report) is not None
    assert Gate(0.5, 0.0, 0.0).weakest(report) is None


def test_gate_weighs_flips_against_alignment() -> None:
    # coherence agrees (a tie counts as a) but flips: a miss of .8. coverage never agrees: a miss of .1, then of .9.
    sample = [judged(FIRST, FIRST, criterion="coherence"), judged(criterion="coverage", human_first=False)]
    assert "criterion 'coherence'" in (Gate(0.1, 0.2, 0.0).weakest(trust_report(sample, seed=0)) or "")
    assert "criterion 'coverage'" in (Gate(0.9, 0.2, 0.0).weakest(trust_report(sample, seed=0)) or "")


# --- asked in one order only -----------------------------------------------------------------------------------------

ONE_ORDER = replace(judged(), both_orders=False)
UNPROVEN = "The labeler was asked in one order only, so that nothing is known of its consistency."


def test_the_gate_does_not_open_for_a_labeler_of_one_order() -> None:
    report = trust_report([ONE_ORDER] * 3, seed=0)
    assert Gate(min_alignment=0.0, max_flip_rate=1.0, max_unparsable=1.0).reasons(report, {"judge": 0.0}) == [UNPROVEN]
    assert report.overall.alignment.value == 1.0
    # One pair that was asked in both orders, and there is a rate to look at.
    assert Gate(0.0, 0.0, 0.0).reasons(trust_report([ONE_ORDER, judged()], seed=0), {"judge": 0.0}) == []
    (reason,) = Gate(0.0, 0.2, 0.0).reasons(trust_report([ONE_ORDER, judged(FIRST, FIRST)], seed=0), {"judge": 0.0})
    assert "in 100.0% [100.0%, 100.0%] of 1 pairs, above the allowed 20.0%." in reason


def test_the_weakest_of_several_groups_of_one_order_has_no_flips() -> None:
    # code is never right: a miss of .5; chat misses nothing.
    wrong = replace(judged(domain="code", human_first=False), both_orders=False)
    report = trust_report([ONE_ORDER, ONE_ORDER, wrong], seed=0)
    worst = "Worst is domain 'code': aligned in 0.0% [0.0%, 0.0%] of 1 pairs."
    assert Gate(0.5, 0.0, 0.0).reasons(report, {"judge": 0.0}) == [UNPROVEN, worst]
    assert Gate(0.0, 0.0, 0.0).weakest(report) is None


def test_rows_of_one_order_have_no_value_and_count_no_pair() -> None:
    rows = trust_report([ONE_ORDER, judged(FIRST, FIRST, domain="code")], seed=0).as_rows()
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    for figure in ("flip rate", "same position rate"):
        shares = {row["group"]: (row["value"], row["n"]) for row in rows if row["figure"] == figure}
        assert shares == {"all": (1.0, 1), "chat": (None, 0), "code": (1.0, 1)}
    assert {row["group"]: row["n"] for row in rows if row["figure"] == "alignment" and row["scope"] == "domain"} == {
        "chat": 1,
        "code": 1,
    }


def test_calibration_has_no_flip_rate_to_show_for_a_labeler_of_one_order() -> None:
    fitted, held_out = [judged()] * 4, [ONE_ORDER] * 3
    found = before_and_after([*fitted, *held_out], range(4), use_length=False, folds=2, seed=0)
    assert found.flip_rate is None
    assert "flip rate" not in {row["figure"] for row in found.as_rows()}
    assert (found.before.alignment.n, found.changed.n) == (3, 3)
    # Beside one that was asked in both orders, that one's. A mirrored pair is calibrated as any other.
    mixed = before_and_after([*fitted, *held_out, judged(FIRST, FIRST)], range(4), use_length=False, folds=2, seed=0)
    assert [(row["value"], row["n"]) for row in mixed.as_rows() if row["figure"] == "flip rate"] == [(1.0, 1)]
    assert found.map.calibrated(ONE_ORDER) == replace(found.map.calibrated(judged()), both_orders=False)
