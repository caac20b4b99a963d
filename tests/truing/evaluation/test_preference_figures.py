import pytest

from truing.evaluation.figure import Figure, Score
from truing.evaluation.length_control import Gamed, length_controlled_win_rate
from truing.evaluation.preference_figures import (
    BASELINE_LENGTH,
    LENGTH,
    PREFERENCE,
    LengthControl,
    preference_figures,
)  # fmt: skip

WINS: list[float | None] = [1.0, 0.0, 0.5, 0.9, 0.2, None, 0.7]
OWN, BASE = [10, 25, 30, 44, 50, 61, 70], [20, 20, 20, 20, 20, 20, 30]


def scores(policy: str, wins: list[float | None] = WINS, lengths: bool = True) -> list[Score]:
    columns: dict[str, list[float | None]] = {PREFERENCE: wins}
    if lengths:
        columns |= {LENGTH: [*OWN], BASELINE_LENGTH: [*BASE]}
    return [
        Score(policy, "d", "", str(i), "base", metric, value, "" if value is not None else "no verdict")
        for metric, column in columns.items()
        for i, value in enumerate(column)
    ]


def figures(some: list[Score], control: LengthControl | None = None) -> dict[tuple[str, str], Figure]:
    found = preference_figures(some, data="d", shift="id", control=control, seed=0)
    return {(figure.policy, figure.metric): figure for figure in found}


def test_counts_by_hand() -> None:
    found = figures(scores("a"))
    # 1, 0, .5, .9, .2, .7: sum 3.3 of 6; three wins, one draw, two losses: (3 + .5) / 6.
    assert found["a", "win rate"].value == pytest.approx(55)
    assert (found["a", "win rate"].n, found["a", "win rate"].missing) == (6, 1)
    assert found["a", "win rate"].note == "against base"
    assert found["a", "discrete win rate"].value == pytest.approx(100 * 3.5 / 6)
    assert [found["a", name].value for name in ("wins", "draws", "losses")] == [3, 1, 2]
    # 290 characters in 7 outputs: 41.43, cut off.
    assert (found["a", "average length"].value, found["a", "average length"].n) == (41, 7)


def test_the_best_comes_first_and_who_has_no_verdict_last() -> None:
    found = figures([*scores("none", [None] * 7), *scores("low", [0.0] * 7), *scores("high", [1.0] * 7)])
    assert list(dict.fromkeys(policy for policy, _ in found)) == ["high", "low", "none"]
    assert (found["none", "win rate"].value, found["none", "win rate"].missing) == (None, 7)
    assert found["none", "win rate"].note == "no comparison has a verdict"
    assert ("low", "average length") not in figures(scores("low", lengths=False))


def test_length_control_is_the_librarys() -> None:
    table = [0.5, -0.5, 1.0, 0.0, 0.25, -1.0, 2.0]
    gamed = Gamed([0.6, 0.4], [-1.0, 1.0], [0.5, 0.5], 1)
    minimal = figures(scores("a"), LengthControl("minimal", None, None, 0))["a", "length-controlled win rate, minimal"]
    published = figures(scores("a"), LengthControl("v1", table, gamed, 3))["a", "length-controlled win rate, v1"]
    assert minimal.value == length_controlled_win_rate(WINS, BASE, OWN, resamples=0).length_controlled
    assert (minimal.low, minimal.n, minimal.missing) == (None, 6, 1)
    expected = length_controlled_win_rate(WINS, BASE, OWN, difficulty=table, gamed=gamed, resamples=3, seed=0)
    assert published.value == expected.length_controlled
    assert published.note.startswith("interval from 3 refits")


def test_an_estimate_without_an_interval_says_why() -> None:
    # Five verdicts: a resample of the seven rows would have to hold all five to be fitted, and neither of these two does.
    five: list[float | None] = [1.0, 0.0, 0.5, None, 0.2, None, 0.7]
    found = figures(scores("a", five), LengthControl("minimal", None, None, 2))[
        "a", "length-controlled win rate, minimal"
    ]
    assert found.value == length_controlled_win_rate(five, BASE, OWN, resamples=0).length_controlled
    assert (found.low, found.n, found.missing) == (None, 5, 2)
    assert found.note == "no interval: most resamples have too few different instructions"


def test_too_few_verdicts_for_length_control_say_so() -> None:
    few = scores("a", [1.0, 0.0, 1.0, 1.0, None, None, None])
    found = figures(few, LengthControl("minimal", None, None, 0))["a", "length-controlled win rate, minimal"]
    assert found.value is None
    assert "4 judged instructions" in found.note
