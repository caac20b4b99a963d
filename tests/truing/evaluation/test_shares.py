import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.evaluation.shares import Label, share_of
from truing.records import Failed, Unparsable

labels = st.lists(st.sampled_from([True, False, None, Unparsable("?"), Failed("timeout")]), max_size=12)


def test_a_share_is_over_those_that_say_yes_or_no() -> None:
    # Two of three say yes; the other four say nothing. Wilson, z^2 = 3.841459: centre (2/3 + z^2/6) / (1 + z^2/3) =
    # .57310; half-width z sqrt(2/27 + z^2/36) / (1 + z^2/3) = .36544.
    found = share_of([True, True, False, None, Unparsable("?"), Unparsable(""), Failed("lost")])
    assert found.share is not None
    assert (found.share.value, found.share.n) == (2 / 3, 3)
    assert (found.share.low, found.share.high) == pytest.approx((0.20766, 0.93854), abs=1e-4)
    assert (found.unparsable, found.failed, found.missing) == (2, 1, 1)


def test_none_of_few_is_not_never() -> None:
    # z^2 / (n + z^2) = 3.841459 / 8.841459
    found = share_of([False] * 5).share
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0, 0, 0.43448), abs=1e-4)


def test_no_label_is_no_share() -> None:
    assert share_of([]).share is None
    assert share_of([None, Unparsable("")]).share is None


@given(labels)
@settings(max_examples=30)
def test_every_label_is_counted_once(some: list[Label]) -> None:
    found = share_of(some)
    n = found.share.n if found.share else 0
    assert n + found.unparsable + found.failed + found.missing == len(some)
