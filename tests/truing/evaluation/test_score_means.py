import pytest

from truing.algorithms.statistics import wilson
from truing.evaluation.figure import Score
from truing.evaluation.score_means import by_item, mean_over_items, paired_difference, share_over_items


def scores(policy: str, *values: tuple[str, float | None]) -> list[Score]:
    return [Score(policy, "d", "", item, "", "m", value, "" if value is not None else "none") for item, value in values]


def test_outputs_of_one_prompt_are_averaged_first() -> None:
    # Items: (1 + 2 + 6) / 3 = 3 and 5, so 4; over the scores it would be 14 / 4.
    some = scores("a", ("p", 1), ("p", 2), ("q", 5), ("p", 6), ("q", None), ("r", None))
    assert by_item(some) == {"p": 3, "q": 5}
    found = mean_over_items(some, seed=0)
    assert found.interval is not None
    assert (found.interval.value, found.interval.n, found.missing) == (4, 2, 2)


def test_nothing_known_has_no_mean() -> None:
    found = mean_over_items(scores("a", ("p", None)), seed=0)
    assert (found.interval, found.missing) == (None, 1)
    assert share_over_items([], seed=0).interval is None


def test_a_share_of_none_is_not_certain() -> None:
    found = share_over_items(scores("a", *((str(i), 0.0) for i in range(10)), ("x", None)), seed=0)
    assert found.interval == wilson(0, 10)
    assert found.interval is not None
    # Wilson's upper end at 0 of n: z^2 / (n + z^2) = 3.8415 / 13.8415
    assert found.interval.high == pytest.approx(3.8415 / 13.8415, abs=1e-4)
    assert found.missing == 1
    # Two outputs of a prompt are not independent: no Wilson there.
    several = share_over_items(scores("a", ("p", 1), ("p", 0), ("q", 1)), seed=0)
    assert several.interval is not None
    assert (several.interval.value, several.interval.n) == (0.75, 2)


def test_differences_are_of_items_that_both_have() -> None:
    one = scores("a", ("p", 1), ("q", 5), ("r", 9), ("s", None))
    two = scores("b", ("q", 2), ("p", 2), ("t", 7))
    found = paired_difference(one, two, seed=0)
    assert found.interval is not None
    # p: -1, q: 3; r, s and t have not both.
    assert (found.interval.value, found.interval.n, found.missing) == (1, 2, 3)
    assert paired_difference(one, scores("b", ("z", 1)), seed=0).interval is None
