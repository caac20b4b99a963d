import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.evaluation.feedback import incorporated

answers = st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=15)


def test_by_hand() -> None:
    # Refined .9 .8 .7 and one failure: mean .8. Unchanged: pairs (.9, .1), (.7, .3): mean .2, differences .8, .4, mean .6.
    found = incorporated(
        [0.9, 0.8, 0.7, None], unchanged=[0.1, math.nan, 0.3, 0.5], shuffled=[0.9, 0.8, 0.7, 0.2], seed=0
    )
    assert found.mean.value == pytest.approx(0.8)
    assert (found.n, found.n_missing) == (3, 1)
    assert found.unchanged is not None
    assert found.unchanged.mean.value == pytest.approx(0.2)
    assert found.unchanged.difference.value == pytest.approx(0.6)
    assert (found.unchanged.difference.low, found.unchanged.difference.high) == pytest.approx((0.4, 0.8))
    assert (found.unchanged.n, found.unchanged.n_missing) == (2, 2)
    # The judge says the same to feedback that belongs elsewhere: it does not see the feedback.
    assert found.shuffled is not None
    assert (found.shuffled.difference.low, found.shuffled.difference.high) == pytest.approx((0, 0), abs=1e-12)
    assert found.shuffled.n == 3


def test_pairs_are_resampled_together() -> None:
    # Items differ a great deal, refined and control by .1 each time: the interval of the difference has no width.
    control = [0.0, 0.3, 0.6, 0.9] * 5
    found = incorporated([p + 0.1 for p in control], unchanged=control, seed=0)
    assert found.unchanged is not None
    assert found.unchanged.difference.high - found.unchanged.difference.low < 1e-9
    assert found.mean.high - found.mean.low > 0.1


def test_controls_that_were_not_asked_or_failed() -> None:
    found = incorporated([0.5, 0.6], shuffled=[None, None], seed=0)
    assert found.unchanged is None
    assert found.shuffled is None


@given(answers, st.data())
@settings(max_examples=8)
def test_counts_add_up_and_roles_mirror(refined: list[float | None], data: st.DataObject) -> None:
    control = data.draw(st.lists(st.one_of(st.none(), st.floats(0, 1)), min_size=len(refined), max_size=len(refined)))
    if all(p is None for p in refined) or all(p is None for p in control):
        return
    one = incorporated(refined, unchanged=control, seed=0)
    other = incorporated(control, unchanged=refined, seed=0)
    assert one.n + one.n_missing == len(refined)
    assert (one.unchanged is None) == (other.unchanged is None)
    if one.unchanged is not None and other.unchanged is not None:
        assert one.unchanged.difference.value == pytest.approx(-other.unchanged.difference.value)
        assert one.unchanged.n + one.unchanged.n_missing == len(refined)


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="none of 2 refinements has an answer"):
        incorporated([None, math.nan], seed=0)
    with pytest.raises(ValueError, match="shuffled has 1 answers for 2 refinements"):
        incorporated([0.1, 0.2], shuffled=[0.1], seed=0)
    with pytest.raises(ValueError, match="unchanged holds 1\\.2, not a probability"):
        incorporated([0.1, 0.2], unchanged=[0.1, 1.2], seed=0)
