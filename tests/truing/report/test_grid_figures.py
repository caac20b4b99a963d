import math

import pytest

from truing.report.contents import Estimate
from truing.report.grid_figures import apart, shift_name, side


def test_a_shift_is_named_in_words_and_one_of_the_users_as_he_names_it() -> None:
    shifts = ("id", "ood_domain", "ood_style", "longer prompts")
    assert [shift_name(shift) for shift in shifts] == [
        "in distribution",
        "other domain",
        "other style",
        "longer prompts",
    ]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.51, 0.6, 1),
        (0.4, 0.49, -1),
        (0.5, 0.6, 0),  # it holds the half
        (0.4, 0.5, 0),
        (0.55, 0.55, 0),  # all alike among few: no verdict
        (None, None, 0),
        (math.nan, math.nan, 0),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(low: float | None, high: float | None, expected: int) -> None:
    assert side(Estimate(0.55, low, high, 12), 0.5) == expected
    assert side(None, 0.5) == 0


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((0.6, 0.7), (0.4, 0.5), 1),
        ((0.5, 0.6), (0.4, 0.5), 0),  # they meet in 0.5
        ((0.7, 0.7), (0.4, 0.5), 0),
        ((None, None), (0.4, 0.5), 0),
    ],
)
def test_two_are_apart_where_their_intervals_have_no_point_in_common(
    one: tuple[float | None, float | None], other: tuple[float, float], expected: int
) -> None:
    first, second = Estimate(0.65, *one, 9), Estimate(0.45, *other, 9)
    assert (apart(first, second), apart(second, first)) == (expected, -expected)
