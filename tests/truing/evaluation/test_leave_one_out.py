import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.evaluation.diversity import distinct, ead, ngram_cosine_diversity
from truing.evaluation.leave_one_out import (
    cosine_without_each,
    distinct_without_each,
    ead_without_each,
    jackknife,
    jackknife_difference,
    without_each,
)

outputs = st.lists(st.lists(st.sampled_from("abc"), max_size=7).map(" ".join), min_size=2, max_size=6)


def test_of_a_mean_it_is_the_standard_error_of_the_mean() -> None:
    # Values 1, 2, 6: mean 3; without each 4, 3.5, 1.5. SE = sd / sqrt(3) with sd^2 = (4 + 1 + 9) / 2 = 7; t_2 = 4.30265.
    found = jackknife(3.0, [4.0, 3.5, 1.5])
    width = 4.30265 * math.sqrt(7 / 3)
    assert (found.value, found.n) == (3.0, 3)
    assert (found.low, found.high) == pytest.approx((3 - width, 3 + width), abs=1e-4)


def test_pairs_that_move_together_leave_no_doubt() -> None:
    found = jackknife_difference(5.0, [6.0, 5.5, 3.5], 3.0, [4.0, 3.5, 1.5])
    assert (found.value, found.low, found.high) == (2, 2, 2)
    with pytest.raises(ValueError, match="3 and 1 outputs: pair the two sets"):
        jackknife_difference(5.0, [6.0, 5.5, 3.5], 3.0, [4.0])


@pytest.mark.parametrize(("value", "left"), [(1.0, [1.0]), (1.0, [1.0, math.nan]), (math.nan, [1.0, 2.0])])
def test_too_little_has_no_interval(value: float, left: list[float]) -> None:
    with pytest.raises(ValueError, match="give two or more figures"):
        jackknife(value, left)


@given(outputs)
@settings(deadline=None, max_examples=40)
def test_the_short_cuts_are_the_long_way(texts: list[str]) -> None:
    assert distinct_without_each(texts) == pytest.approx(without_each(distinct, texts))
    assert ead_without_each(texts) == pytest.approx(without_each(ead, texts))
    assert cosine_without_each(texts) == pytest.approx(without_each(ngram_cosine_diversity, texts), nan_ok=True)
