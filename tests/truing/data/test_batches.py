from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.data.batches import Tokens, micro_batches, pad

lengths = st.lists(st.integers(1, 200), max_size=40)
budgets = st.integers(1, 1000)


def sequence(length: int) -> Tokens:
    return Tokens([5] * (length // 2), [6] * (length - length // 2))


# --- micro-batches -------------------------------------------------------------------------------


def test_micro_batches_by_hand() -> None:
    # Rows are padded to multiples of 8. Longest first: 16, 10, 8, 3.
    # 16: rows of 16, two fit 32: {16, 10}; then 8: rows of 8, four would fit: {8, 3}
    assert micro_batches([10, 3, 8, 16], 32) == [[3, 0], [2, 1]]
    # A pair takes two rows: {16} is 2·16 = 32, {10} is 2·16, {8, 3} is 4·8
    assert micro_batches([10, 3, 8, 16], 32, per_item=2) == [[3], [0], [2, 1]]
    # 40 exceeds the budget alone, and is alone
    assert micro_batches([3, 40, 8], 32) == [[1], [2, 0]]
    assert micro_batches([], 32) == []


@given(lengths, budgets, st.integers(1, 2))
def test_each_item_is_in_one_group(items: list[int], budget: int, per_item: int) -> None:
    groups = micro_batches(items, budget, per_item)
    assert sorted(i for group in groups for i in group) == list(range(len(items)))


@given(lengths, budgets, st.integers(1, 2))
def test_padded_groups_stay_within_the_budget(items: list[int], budget: int, per_item: int) -> None:
    for group in micro_batches(items, budget, per_item):
        padded = pad([sequence(items[i]) for i in group for _ in range(per_item)])
        assert padded.ids.numel() <= budget or len(group) == 1


@given(lengths, budgets)
def test_groups_are_as_full_as_the_budget_allows(items: list[int], budget: int) -> None:
    groups = micro_batches(items, budget)
    for group, following in pairwise(groups):
        wider = pad([sequence(items[i]) for i in [*group, following[0]]])
        assert wider.ids.numel() > budget


# --- padding -------------------------------------------------------------------------------------


def test_padding_by_hand() -> None:
    # Token 0 is a token like any other: what is padding is said by the masks.
    padded = pad([Tokens([7, 0], [0, 9]), Tokens([], [3]), Tokens([4], [])])
    assert padded.ids.tolist() == [[7, 0, 0, 9, 0, 0, 0, 0], [3, *[0] * 7], [4, *[0] * 7]]
    assert padded.attention.tolist() == [[True] * 4 + [False] * 4, [True] + [False] * 7, [True] + [False] * 7]
    assert padded.response.tolist() == [[False, False, True, True] + [False] * 4, [True] + [False] * 7, [False] * 8]


@pytest.mark.parametrize(("longest", "width"), [(1, 8), (8, 8), (9, 16), (16, 16)])
def test_rows_are_rounded_up_to_eight(longest: int, width: int) -> None:
    assert pad([sequence(longest), sequence(1)]).ids.shape == (2, width)


@given(st.lists(st.builds(Tokens, st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9))), min_size=1, max_size=6))
def test_the_masks_give_every_sequence_back(sequences: list[Tokens]) -> None:
    padded = pad(sequences)
    for row, tokens in enumerate(sequences):
        assert padded.ids[row][padded.attention[row]].tolist() == tokens.prompt + tokens.response
        assert padded.ids[row][padded.response[row]].tolist() == tokens.response
