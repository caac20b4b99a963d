import math

import pytest

from truing.algorithms.statistics import Interval
from truing.evaluation.figure import Place, Score

PLACE = Place("ppo", "TL;DR", "id", "")


def test_a_figure_keeps_value_interval_and_n() -> None:
    found = PLACE.figure("words", "words", Interval(3.0, 2.0, 4.0, 7), missing=2)
    assert (found.policy, found.data, found.shift, found.variant, found.temperature) == ("ppo", "TL;DR", "id", "", None)
    assert (found.value, found.low, found.high, found.n, found.missing) == (3.0, 2.0, 4.0, 7, 2)


def test_what_is_undefined_is_none_with_a_reason() -> None:
    assert PLACE.figure("words", "words", None).note == "undefined: nothing to compute it from"
    found = PLACE.figure("words", "words", None, missing=2, note="no output")
    assert (found.value, found.n, found.missing, found.note) == (None, 0, 2, "no output")
    assert PLACE.plain("wins", "count", math.nan, 0).value is None
    # A ladder whose resamples are mostly undefined has NaN for ends.
    found = PLACE.figure("rating", "Elo", Interval(1000.0, math.nan, math.nan, 9))
    assert (found.value, found.low, found.high) == (1000.0, None, None)


def test_a_score_without_a_value_says_why() -> None:
    assert Score("a", "d", "", "1", "", "words", None, "no output").value is None
    with pytest.raises(ValueError, match="words of '1' has no value: give the reason"):
        Score("a", "d", "", "1", "", "words", None)
    with pytest.raises(ValueError, match="words of '1' is nan: give None, and the reason"):
        Score("a", "d", "", "1", "", "words", math.nan)
