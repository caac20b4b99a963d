from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from truing.data.batches import Tree, collate, micro_batches, split_tree

lengths = st.lists(st.integers(1, 200), max_size=40)
budgets = st.integers(1, 1000)
tokens = st.lists(st.integers(0, 9), max_size=5)
trees = st.builds(Tree, st.lists(st.integers(0, 9), min_size=1, max_size=5), st.lists(tokens, max_size=4).map(tuple))
forests = st.lists(trees, min_size=1, max_size=4)


def row(length: int) -> Tree:
    return Tree([5], ([6] * (length - 1),))


def test_the_length_of_a_tree_counts_its_prompt_once() -> None:
    tree = Tree([1, 2], ([3], [], [4, 5, 6]))
    assert (len(tree), tree.tokens) == (6, 4)


# --- micro-batches -------------------------------------------------------------------------------


def test_micro_batches_by_hand() -> None:
    # Rows are padded to multiples of 8. Longest first: 16, 10, 8, 3.
    # 16: rows of 16, two fit 32: {16, 10}; then 8: rows of 8, four would fit: {8, 3}
    assert micro_batches([10, 3, 8, 16], 32) == [[3, 0], [2, 1]]
    # 40 exceeds the budget alone, and is alone
    assert micro_batches([3, 40, 8], 32) == [[1], [2, 0]]
    assert micro_batches([], 32) == []


@given(lengths, budgets)
def test_each_row_is_in_one_group(rows: list[int], budget: int) -> None:
    groups = micro_batches(rows, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(rows)))


@given(lengths, budgets)
def test_padded_groups_stay_within_the_budget(rows: list[int], budget: int) -> None:
    for group in micro_batches(rows, budget):
        assert collate([row(rows[i]) for i in group]).ids.numel() <= budget or len(group) == 1


@given(lengths, budgets)
def test_groups_are_as_full_as_the_budget_allows(rows: list[int], budget: int) -> None:
    groups = micro_batches(rows, budget)
    for group, following in pairwise(groups):
        wider = collate([row(rows[i]) for i in [*group, following[0]]])
        assert wider.ids.numel() > budget


# --- which responses share a row -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("longest", "slices"),
    [
        (100, [slice(0, 4)]),
        (9, [slice(0, 4)]),  # 2 + 3 + 1 + 0 + 3 = 9
        (8, [slice(0, 3), slice(3, 4)]),  # 2 + 3 + 1 + 0 = 6, and 3 more would be 9; 2 + 3
        (5, [slice(0, 1), slice(1, 3), slice(3, 4)]),  # 2 + 3; 2 + 1 + 0; 2 + 3
        # 2 + 3 exceeds 4, and has a row of its own, which the empty one cannot share
        (4, [slice(0, 1), slice(1, 3), slice(3, 4)]),
        (1, [slice(0, 1), slice(1, 2), slice(2, 3), slice(3, 4)]),
    ],
)
def test_responses_share_a_row_by_hand(longest: int, slices: list[slice]) -> None:
    assert split_tree(Tree([1, 2], ([3, 4, 5], [6], [], [7, 8, 9])), longest) == slices


def test_a_prompt_without_responses_has_no_row() -> None:
    assert split_tree(Tree([1, 2], ()), 10) == []


@given(trees, st.integers(1, 30))
def test_rows_hold_all_responses_in_order_and_are_as_long_as_allowed(tree: Tree, longest: int) -> None:
    rows = [Tree(tree.prompt, tree.responses[part]) for part in split_tree(tree, longest)]
    assert [response for one in rows for response in one.responses] == list(tree.responses)
    for one in rows:
        assert one.responses
        assert len(one) <= longest or len(one.responses) == 1
    for one, following in pairwise(rows):
        assert len(one) + len(following.responses[0]) > longest


# --- side by side --------------------------------------------------------------------------------


def test_a_batch_by_hand() -> None:
    # Token 0 is a token like any other: what is padding is said by `visible`. Rows of 5, 1 and 3 are padded to 8.
    batch = collate([Tree([7, 0], ([0, 9], [3])), Tree([4], ([],)), Tree([2], ([], [5, 6]))])
    assert batch.ids.tolist() == [[7, 0, 0, 9, 3, 0, 0, 0], [4, *[0] * 7], [2, 5, 6, *[0] * 5]]
    # The second response, 3, begins again where the prompt ended: at 2.
    assert batch.positions.tolist() == [[0, 1, 2, 3, 2, 0, 0, 0], [0] * 8, [0, 1, 2, *[0] * 5]]
    assert batch.targets.tolist() == [0, 9, 3, 5, 6]
    # 0 is predicted by the prompt's end (1), 9 by 0 (2), 3 by the prompt's end again; in row 2, flat 16: 5 by 16, 6 by 17
    assert batch.predictors.tolist() == [1, 2, 1, 16, 17]
    # 9 and 3; the prompt, where the response is empty (8 and 16); 6
    assert batch.last.tolist() == [3, 4, 8, 16, 18]
    looks_at = [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 4], [5], [5, 6], [5, 6, 7]]
    assert [line.nonzero()[:, 0].tolist() for line in batch.visible[0, 0]] == looks_at
    assert batch.visible.shape == (3, 1, 8, 8)


@pytest.mark.parametrize(("longest", "width"), [(1, 8), (8, 8), (9, 16), (16, 16)])
def test_rows_are_rounded_up_to_eight(longest: int, width: int) -> None:
    assert collate([row(longest), row(1)]).ids.shape == (2, width)


@given(forests)
def test_a_batch_gives_every_sequence_back(forest: list[Tree]) -> None:
    batch = collate(forest)
    length = batch.ids.shape[1]
    ids, positions = batch.ids.flatten(), batch.positions.flatten()
    responses = [(at, tree.prompt, response) for at, tree in enumerate(forest) for response in tree.responses]
    assert len(batch.last) == len(responses)
    place = 0
    for last, (at, prompt, response) in zip(batch.last.tolist(), responses, strict=True):
        # What the last token sees is its sequence, nothing else, at the positions that it would have alone.
        seen = batch.visible[at, 0, last - at * length].nonzero()[:, 0] + at * length
        assert ids[seen].tolist() == prompt + response
        assert positions[seen].tolist() == list(range(len(prompt + response)))
        # Each target is predicted by the token before it.
        here = slice(place, place + len(response))
        assert batch.targets[here].tolist() == response
        assert batch.predictors[here].tolist() == seen[len(prompt) - 1 : -1].tolist()
        place += len(response)
    assert place == len(batch.targets) == len(batch.predictors)


@given(forests)
def test_no_token_sees_nothing_and_none_sees_what_follows(forest: list[Tree]) -> None:
    visible = collate(forest).visible
    # An attention over nothing is NaN: every token, padding too, sees itself.
    assert visible.diagonal(dim1=-2, dim2=-1).all()
    assert not visible.triu(1).any()
    for at, tree in enumerate(forest):
        assert not visible[at, 0, : len(tree), len(tree) :].any()
        assert not visible[at, 0, len(tree) :, : len(tree)].any()


def test_a_batch_moves_as_a_whole() -> None:
    there = collate([row(3)]).to(torch.device("meta"))
    columns = (there.ids, there.positions, there.visible, there.targets, there.predictors, there.last)
    assert {column.device.type for column in columns} == {"meta"}
