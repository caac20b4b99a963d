from hypothesis import given, settings
from hypothesis import strategies as st

from truing.evaluation.shares import Label, share_of
from truing.records import Failed, Unparsable

labels = st.lists(st.sampled_from([True, False, None, Unparsable("?"), Failed("timeout")]), max_size=12)


def test_a_share_is_over_those_that_say_yes_or_no() -> None:
    # Two of three say yes; the other four say nothing.
    found = share_of([True, True, False, None, Unparsable("?"), Unparsable(""), Failed("lost")], seed=0)
    assert found.share is not None
    assert (found.share.value, found.share.n) == (2 / 3, 3)
    assert (found.unparsable, found.failed, found.missing) == (2, 1, 1)


def test_no_label_is_no_share() -> None:
    assert share_of([], seed=0).share is None
    assert share_of([None, Unparsable("")], seed=0).share is None


@given(labels)
@settings(deadline=None, max_examples=30)
def test_every_label_is_counted_once(some: list[Label]) -> None:
    found = share_of(some, seed=0)
    n = found.share.n if found.share else 0
    assert n + found.unparsable + found.failed + found.missing == len(some)
