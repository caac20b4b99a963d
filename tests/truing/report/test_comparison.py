"""What two runs have in common, how far it changed, and what parts it: numbers worked out by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.truing.report.recorded_example import figure
from truing.evaluation.figure import Figure
from truing.report.comparison import ABSENT, Change, Pair, changes, compare


def ends(value: float | None, low: float | None = None, high: float | None = None) -> Figure:
    known = None if low is None or high is None else (low, high)
    return figure("sft", "words", value, ends=known, note="" if value is not None else "no words")


@pytest.mark.parametrize(
    ("left", "right", "difference", "state"),
    [
        (ends(20, 18, 22), ends(25, 23, 27), 5, "apart"),
        (ends(25, 23, 27), ends(20, 18, 22), -5, "apart"),
        (ends(20, 18, 22), ends(24, 21, 27), 4, "overlap"),
        (ends(20, 18, 22), ends(24, 22, 26), 4, "overlap"),  # they meet in 22
        (ends(20, 10, 30), ends(21, 20, 22), 1, "overlap"),  # one inside the other
        (ends(20, 18, 22), ends(20, 17, 23), 0, "equal"),
        (ends(20), ends(20), 0, "equal"),
        (ends(20), ends(25, 23, 27), 5, "unknown"),
        (ends(1, 1, 1), ends(0.5, 0.2, 0.8), -0.5, "unknown"),  # all alike among few: no verdict
        (ends(None), ends(25, 23, 27), None, "unknown"),
        (ends(None), ends(None), None, "unknown"),
    ],
)
def test_the_difference_and_what_the_intervals_say(
    left: Figure, right: Figure, difference: float | None, state: str
) -> None:
    pair = Pair(left, right)
    assert (pair.difference, pair.state) == (difference, state)


SPAN = st.tuples(*[st.floats(-1e6, 1e6)] * 3).map(sorted)


@given(SPAN, SPAN)
def test_a_pair_turned_round_has_the_same_state_and_the_opposite_difference(a: list[float], b: list[float]) -> None:
    left, right = ends(a[1], a[0], a[2]), ends(b[1], b[0], b[2])
    there, back = Pair(left, right), Pair(right, left)
    assert there.state == back.state
    assert there.difference == -(back.difference or 0.0)
    if there.state == "apart":
        assert abs(there.difference or 0.0) >= max(b[0] - a[2], a[0] - b[2]) > 0


def test_figures_pair_by_everything_that_says_where_they_are_from() -> None:
    one = ends(20, 18, 22)
    others = [
        replace(one, policy="ppo"), replace(one, data="CNN"), replace(one, shift="news"), replace(one, temperature=0.7),
        replace(one, variant="b"), replace(one, metric="characters"), replace(one, unit="words"),
    ]  # fmt: skip
    found = compare([one, *others[:3]], [*others[3:], replace(one, value=21)])
    assert [(p.left.value, p.right.value) for p in found.pairs] == [(20, 21)]
    assert list(found.only_left) == others[:3]
    assert list(found.only_right) == others[3:]
    assert (found.counted("overlap"), found.counted("apart")) == (1, 0)


def test_figures_of_one_name_pair_in_their_order_and_none_is_lost() -> None:
    one, two, three = ends(1), ends(2), ends(3)
    found = compare([one, two, three], [three, one])
    assert [(p.left.value, p.right.value) for p in found.pairs] == [(1, 3), (2, 1)]
    assert found.only_left == (three,)


def test_pairs_keep_the_order_of_the_first_run() -> None:
    words, characters = ends(20), replace(ends(90), metric="characters")
    found = compare([characters, words], [words, characters])
    assert [pair.left.metric for pair in found.pairs] == ["characters", "words"]
    assert compare([], [words]).pairs == ()


def test_two_studies_differ_by_key_as_an_override_names_it() -> None:
    left = {
        "name": "a", "storage": "runs", "seed": 0, "sft": None, "policy": {"kind": "rloo", "steps": 20, "kl": {"beta": 0.1}},
        "evaluate": {"recorded": [{"path": "x"}, {"path": "y"}]},
    }  # fmt: skip
    right = {
        "name": "b", "storage": "elsewhere", "seed": 0, "sft": {"epochs": 1}, "policy": {"kind": "rloo", "kl": {"beta": 0.2}},
        "evaluate": {"recorded": [{"path": "z"}]},
    }  # fmt: skip
    assert changes(left, right) == [
        Change("sft", None, {"epochs": 1}),
        Change("policy.steps", 20, ABSENT),
        Change("policy.kl.beta", 0.1, 0.2),
        Change("evaluate.recorded.0.path", "x", "z"),
        Change("evaluate.recorded.1", {"path": "y"}, ABSENT),
    ]
    assert changes(left, left) == []
