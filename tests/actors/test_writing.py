"""Which prompts make a batch, in which slices, and which are put off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.writing import Batch, Draft, Fresh, Plan, fresh
from truing.records import Rollout


def draft(key: str, versions: tuple[int, ...] = (), *, full: int = 4) -> Draft:
    return Draft(key, 0, [1], [7] * len(versions), [-1.0] * len(versions), list(versions), False, full)


def batch(groups: list[list[Draft]], enough: int, version: int = 0, staleness: int = 2) -> Batch:
    return Batch(groups, enough=enough, version=version, staleness=staleness)


def test_the_second_time_in_a_batch_the_numbers_go_on() -> None:
    # Three completions each: b has 0 to 2, then 3 to 5, then 6 to 8.
    found = fresh(["b", "a", "b", "b"], 3)
    assert found == [Fresh("b", 0), Fresh("a", 0), Fresh("b", 3), Fresh("b", 6)]


def test_a_prompt_that_is_gone_on_with_keeps_its_numbers() -> None:
    one, two = (Rollout("b", "?", [1], [], [], "", False, [], number) for number in (3, 4))
    assert fresh(["b", "a", "b"], 2, [[one, two]]) == [Fresh("b", 5), Fresh("a", 0), Fresh("b", 7)]


def test_a_draft_is_done_when_it_ends_or_is_full() -> None:
    assert not draft("a", (0, 0, 0)).done
    assert draft("a", (0, 0, 0, 0)).done
    ended = draft("a", (0,))
    ended.finished = True
    assert ended.done


def test_a_prompt_is_done_with_the_last_of_its_completions() -> None:
    groups = [[draft("a"), draft("a")], [draft("b"), draft("b")]]
    found = batch(groups, enough=1)
    found.done(groups[0][0])
    found.done(groups[1][1])
    assert not found.complete
    found.done(groups[1][0])
    assert found.complete
    assert list(found.slices(1)) == [[1]]
    assert found.left() == [0]


def test_slices_are_handed_out_as_they_fill_and_the_last_may_be_smaller() -> None:
    groups = [[draft(key)] for key in "abcdef"]
    found = batch(groups, enough=5)
    assert list(found.slices(2)) == []
    for place in (4, 0):
        found.done(groups[place][0])
    # Within a slice, in the order of the call.
    assert list(found.slices(2)) == [[0, 4]]
    assert list(found.slices(2)) == []
    for place in (5, 2, 1):
        found.done(groups[place][0])
    assert found.complete
    assert list(found.slices(2)) == [[2, 5], [1]]
    assert found.left() == [3]
    # One that is done when there are enough waits for the next batch.
    found.done(groups[3][0])
    assert list(found.slices(2)) == []
    assert found.left() == [3]


def test_a_prompt_that_was_put_off_too_long_keeps_its_place() -> None:
    """Version 5, staleness 2: what was begun in 3 is waited for, what was begun in 4 is not."""
    groups = [[draft("old", (3,))], [draft("young", (4,))], [draft("new")], [draft("newer")]]
    found = batch(groups, enough=2, version=5)
    for place in (2, 3, 1):
        found.done(groups[place][0])
    # One place of the two is the old one's.
    assert list(found.slices(1)) == [[2]]
    assert not found.complete
    found.done(groups[0][0])
    assert found.complete
    assert list(found.slices(1)) == [[0]]
    assert found.left() == [1, 3]


def test_what_is_interrupted_fills_up_in_order() -> None:
    groups = [[draft(key)] for key in "abcd"]
    found = batch(groups, enough=3)
    found.done(groups[2][0])
    found.fill()
    assert list(found.slices(5)) == [[0, 1, 2]]
    assert found.left() == [3]


@pytest.mark.parametrize(
    ("plan", "prompts", "sizes"),
    [
        (Plan(4, 0, slice_size=8), 8, (8, 0)),
        (Plan(4, 0, slice_size=3), 8, (3, 3, 2, 0)),
        (Plan(4, 0, slice_size=3, spare=2), 8, (3, 3, 2)),
        (Plan(4, 0, slice_size=4, spare=3), 3, (3,)),
        (Plan(4, 0, slice_size=4), 0, (0,)),
    ],
)
def test_lengths_of_the_lists_are_foretold(plan: Plan, prompts: int, sizes: tuple[int, ...]) -> None:
    assert plan.sizes(prompts) == sizes


@given(st.permutations(range(7)), st.integers(0, 3), st.integers(1, 5), st.sets(st.integers(0, 6)))
def test_lists_have_the_lengths_foretold_and_hold_each_prompt_once(
    order: list[int], spare: int, size: int, old: set[int]
) -> None:
    groups = [[draft(str(i), (0,) if i in old else (9,))] for i in range(7)]
    found = batch(groups, enough=7 - spare, version=9)
    lists: list[list[int]] = []
    for place in order:
        found.done(groups[place][0])
        lists += found.slices(size)
        if found.complete:
            break
    lists.append(found.left())
    assert tuple(map(len, lists)) == Plan(1, 0, size, spare).sizes(7)
    assert sorted(place for one in lists for place in one) == list(range(7))
    # No old one is put off while a young one has a place.
    assert len(old & set(lists[-1])) == max(0, len(old) - (7 - spare))
