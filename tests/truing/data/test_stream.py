import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.data.stream import PromptStream

IDS = [f"p{i:02}" for i in range(20)]
id_sets = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=9, unique=True)


@given(id_sets, st.integers(0, 2**31), st.lists(st.integers(0, 12), max_size=6))
def test_batches_of_any_size_read_the_same_stream(ids: list[str], seed: int, counts: list[int]) -> None:
    stream = PromptStream(ids, seed)
    in_batches = [stream.take(count) for count in counts]
    assert [len(batch) for batch in in_batches] == counts
    assert [key for batch in in_batches for key in batch] == PromptStream(ids, seed).take(sum(counts))


@given(id_sets, st.integers(0, 2**31), st.integers(0, 30), st.integers(0, 30))
def test_a_resumed_stream_goes_on_as_an_uninterrupted_one(ids: list[str], seed: int, before: int, after: int) -> None:
    whole = PromptStream(ids, seed).take(before + after)
    first, second = PromptStream(ids, seed), PromptStream(ids, seed)
    head = first.take(before)
    second.restore(first.state())
    assert head + second.take(after) == whole


@given(id_sets, st.integers(0, 2**31), st.integers(1, 4))
def test_every_epoch_has_each_prompt_once(ids: list[str], seed: int, epochs: int) -> None:
    stream = PromptStream(ids, seed)
    for _ in range(epochs):
        assert sorted(stream.take(len(ids))) == sorted(ids)


def test_the_order_is_new_each_epoch_and_each_seed() -> None:
    # Two orders of 20 agree by chance once in 20! = 2.4e18.
    stream = PromptStream(IDS, 1)
    orders = [tuple(stream.take(20)) for _ in range(3)] + [tuple(PromptStream(IDS, 2).take(20)), tuple(IDS)]
    assert len(set(orders)) == 5


def test_the_order_does_not_depend_on_the_order_in_the_file() -> None:
    assert PromptStream(IDS[::-1], 1).take(50) == PromptStream(IDS, 1).take(50)


def test_a_stream_needs_prompts() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        PromptStream([], 0)
