import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors import vector
from truing.labeling.agreement import Gate, Judged, alignment, calibration, calibration_error, figures, trust_report
from truing.labeling.consensus import OrderedLogprobs, inverted, preference_from_orders

EVEN = OrderedLogprobs(-0.7, -0.7)
FIRST = OrderedLogprobs(-0.1, -2.5)
SECOND = OrderedLogprobs(-2.5, -0.1)

label_logprobs = st.builds(OrderedLogprobs, st.sampled_from([-2.0, -1.0, -0.5]), st.sampled_from([-2.0, -1.0, -0.5]))


def judged(
    ab: OrderedLogprobs = FIRST,
    ba: OrderedLogprobs = SECOND,
    *,
    human_first: bool = True,
    domain: str = "chat",
    length_gap: int = 0,
) -> Judged:
    return Judged(preference_from_orders(ab, ba), ab, ba, human_first, domain, length_gap)


def with_p(p: float, *, human_first: bool) -> Judged:
    return replace(judged(human_first=human_first), p=p)


pairs = st.lists(st.builds(judged, label_logprobs, label_logprobs, human_first=st.booleans()), min_size=1, max_size=12)


def swapped(pair: Judged) -> Judged:
    return Judged(inverted(pair.p), pair.ba, pair.ab, not pair.human_first, pair.domain, -pair.length_gap)


def test_alignment_reproduces_the_vector() -> None:
    # argmax 0 1 0 (a tie) 0 1 against humans 0 1 1 1 0: two of five agree.
    case = vector("rlaif_alignment")
    sample = [
        with_p(p, human_first=human == 0)
        for (p, _), human in zip(case["input"]["P"], case["input"]["human"], strict=True)
    ]
    assert alignment(sample, seed=0).value == pytest.approx(case["expected"], abs=case["tolerance"])
    assert figures(sample, seed=0).ties == 1


def test_position_figures_reproduce_the_vector() -> None:
    # Winning positions (ab, ba): 1 2, 2 2, 1 1, 2 1. Two of four pairs follow the position, one each way.
    case = vector("rlaif_position")
    orders = zip(case["input"]["logp_AB"], case["input"]["logp_BA"], strict=True)
    found = figures([judged(OrderedLogprobs(*ab), OrderedLogprobs(*ba)) for ab, ba in orders], seed=0)
    assert found.same_position_rate.value == case["expected"]["same_position_rate"]
    assert found.same_position_first is not None
    assert found.same_position_first.value == case["expected"]["first_pos_share_among_same"]
    assert found.same_position_first.n == 2
    assert found.position_p_value == 1.0
    assert found.flip_rate.value == 0.5


def test_a_labeler_that_follows_the_position_is_found_out() -> None:
    found = figures([judged(FIRST, FIRST)] * 10, seed=0)
    assert found.same_position_rate.value == 1.0
    assert found.same_position_first is not None
    assert found.same_position_first.value == 1.0
    assert found.position_p_value == pytest.approx(2 / 1024)  # ten heads or ten tails in ten tosses
    assert found.ties == 10


def test_without_a_position_habit_there_is_no_share_to_report() -> None:
    found = figures([judged(FIRST, SECOND)] * 3, seed=0)
    assert found.same_position_rate.value == 0.0
    assert found.same_position_first is None
    assert found.position_p_value == 1.0


def test_flips_are_same_positions_and_half_ties() -> None:
    assert [judged(ab, ba).flips for ab, ba in [(FIRST, SECOND), (SECOND, FIRST), (EVEN, EVEN)]] == [False] * 3
    assert [judged(ab, ba).flips for ab, ba in [(FIRST, FIRST), (SECOND, SECOND), (EVEN, FIRST)]] == [True] * 3
    assert judged(EVEN, FIRST).same_position is None


@given(pairs)
@settings(deadline=None, max_examples=15)
def test_flip_rate_is_same_position_rate_plus_half_ties(sample: list[Judged]) -> None:
    found = figures(sample, seed=0)
    half_ties = sum((pair.ab.winner is None) != (pair.ba.winner is None) for pair in sample) / len(sample)
    assert found.flip_rate.value == pytest.approx(found.same_position_rate.value + half_ties)


@given(pairs)
@settings(deadline=None, max_examples=15)
def test_naming_the_pairs_the_other_way_round_changes_no_figure_but_ties(sample: list[Judged]) -> None:
    sample = [pair for pair in sample if not pair.tied] or [judged()]
    assert figures([swapped(pair) for pair in sample], seed=0) == figures(sample, seed=0)


def test_entropy_and_mass_by_hand() -> None:
    # p = 1/2 has ln 2 nats, p = 1 none: mean ln 2 / 2.
    sample = [with_p(0.5, human_first=True), with_p(1.0, human_first=True)]
    assert figures(sample, seed=0).mean_entropy.value == pytest.approx(math.log(2) / 2)
    weak = OrderedLogprobs(math.log(0.2), math.log(0.1))
    strong = OrderedLogprobs(math.log(0.3), math.log(0.6))
    assert judged(weak, strong).label_mass == pytest.approx((0.3 + 0.9) / 2)


def test_calibration_by_hand() -> None:
    # Confidence .9 .9 .9 .7 (p = .1 is .9 for b); agreeing: yes yes no, yes. Bins: .9 -> 2/3, .7 -> 1.
    sample = [
        with_p(0.9, human_first=True),
        with_p(0.1, human_first=False),
        with_p(0.9, human_first=False),
        with_p(0.7, human_first=True),
    ]
    low, high = calibration(sample)
    assert (low.low, low.high) == pytest.approx((0.65, 0.7))
    assert (low.n, low.confidence, low.accuracy) == pytest.approx((1, 0.7, 1.0))
    assert (high.low, high.high) == pytest.approx((0.85, 0.9))
    assert (high.n, high.confidence, high.accuracy) == pytest.approx((3, 0.9, 2 / 3))
    # 3/4 |2/3 - .9| + 1/4 |1 - .7| = .175 + .075
    assert calibration_error(sample, seed=0).value == pytest.approx(0.25)


@given(pairs)
@settings(deadline=None, max_examples=15)
def test_calibration_error_is_read_off_the_bins(sample: list[Judged]) -> None:
    bins = calibration(sample)
    assert sum(each.n for each in bins) == len(sample)
    from_bins = sum(each.n / len(sample) * abs(each.accuracy - each.confidence) for each in bins)
    assert calibration_error(sample, seed=0).value == pytest.approx(from_bins)


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
    assert Gate(min_alignment=0.75, max_flip_rate=0.25, max_unparsable=0.1).reasons(report, 0.1) == []
    alignment_reason, flip_reason, unparsable_reason = Gate(0.8, 0.2, 0.1).reasons(report, 0.15)
    assert alignment_reason.startswith("Alignment with humans is 75.0% [")
    assert alignment_reason.endswith("of 4 pairs, below the required 80.0%.")
    assert "order of the responses in 25.0% [" in flip_reason
    assert unparsable_reason == "15.0% of the replies cannot be parsed, above the allowed 10.0%."


def test_an_unknown_share_does_not_pass_the_gate() -> None:
    assert len(Gate(0.0, 1.0, 1.0).reasons(trust_report([judged()], seed=0), math.nan)) == 1


def test_nothing_judged_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pair carries both"):
        trust_report([], seed=0)
    with pytest.raises(ValueError, match="not in \\[0, 1\\]"):
        with_p(math.nan, human_first=True)
