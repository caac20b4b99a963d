import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.data.paft import Bank
from truing.data.stream import PromptStream
from truing.data.supervised_stream import ExampleStream

BANK = Bank(("q",), tuple(f"{n} {{q}}" for n in range(8)), ("test {q}",))
id_sets = st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=9, unique=True)
seeds, ks = st.integers(0, 2**31), st.integers(1, 6)


@given(id_sets, seeds, ks, st.lists(st.integers(0, 12), max_size=6))
def test_batches_of_any_size_read_the_same_stream(ids: list[str], seed: int, k: int, counts: list[int]) -> None:
    stream = ExampleStream(ids, seed, 8, k)
    in_batches = [stream.take(count) for count in counts]
    assert [len(batch) for batch in in_batches] == counts
    assert [item for batch in in_batches for item in batch] == ExampleStream(ids, seed, 8, k).take(sum(counts))


@given(id_sets, seeds, ks, st.integers(0, 30), st.integers(0, 30))
def test_a_resumed_stream_goes_on_as_an_uninterrupted_one(
    ids: list[str], seed: int, k: int, before: int, after: int
) -> None:
    whole = ExampleStream(ids, seed, 8, k).take(before + after)
    first, second = ExampleStream(ids, seed, 8, k), ExampleStream(ids, seed, 8, k)
    head = first.take(before)
    second.restore(first.state())
    assert head + second.take(after) == whole


@given(id_sets, seeds, ks, st.integers(1, 3))
def test_each_epoch_has_the_order_of_the_prompt_stream_and_the_draws_of_the_bank(
    ids: list[str], seed: int, k: int, epochs: int
) -> None:
    stream, order = ExampleStream(ids, seed, len(BANK.train), k), PromptStream(ids, seed)
    for epoch in range(epochs):
        found = stream.take(len(ids))
        assert [key for key, _ in found] == order.take(len(ids))
        assert [number for _, number in found] == BANK.draws(seed, epoch, len(ids), k)


@given(id_sets, seeds)
def test_with_one_prompt_it_is_plain_fine_tuning(ids: list[str], seed: int) -> None:
    assert ExampleStream(ids, seed).take(20) == [(key, 0) for key in PromptStream(ids, seed).take(20)]


def test_a_stream_needs_demonstrations_and_prompts() -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        ExampleStream([], 0)
    for prompts, every in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least one example between two draws"):
            ExampleStream(["a"], 0, prompts, every)
