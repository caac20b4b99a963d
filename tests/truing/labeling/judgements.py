"""Judged pairs for the tests, by hand and by hypothesis."""

from dataclasses import replace

from hypothesis import strategies as st

from truing.labeling.consensus import OrderedLogprobs, preference_from_orders
from truing.labeling.judged import Judged

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
    criterion: str = "overall",
) -> Judged:
    return Judged(preference_from_orders(ab, ba), ab, ba, human_first, domain, length_gap, criterion)


def with_p(p: float, *, human_first: bool) -> Judged:
    return replace(judged(human_first=human_first), p=p)


pairs = st.lists(
    st.builds(
        judged,
        label_logprobs,
        label_logprobs,
        human_first=st.booleans(),
        length_gap=st.integers(-3, 3),
        domain=st.sampled_from(["chat", "code"]),
        criterion=st.sampled_from(["coverage", "overall"]),
    ),
    min_size=1,
    max_size=12,
)
