"""What a resumed run hangs on: the same bits each time."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from actors.networks import picked

# Three prompts of 100 tokens, eight completions of 12 each: their first tokens are foreseen from the prompt's last one.
FORESEEN = [
    position
    for prompt in range(3)
    for completion in range(8)
    for position in [100 * prompt + 3, *range(100 * prompt + 4 + 11 * completion, 100 * prompt + 15 + 11 * completion)]
]
PASSES = 6000


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def gradients(pick: Callable[[Tensor, Tensor], Tensor]) -> set[bytes]:
    torch.manual_seed(0)
    at, upstream = torch.tensor(FORESEEN), torch.randn(len(FORESEEN), 128)
    found: set[bytes] = set()
    for _ in range(PASSES):
        states = torch.zeros(300, 128, requires_grad=True)
        pick(states, at).backward(upstream)
        assert states.grad is not None
        found.add(states.grad.numpy().tobytes())
    return found


def test_the_gradient_of_a_shared_position_has_the_same_bits_each_time(two_threads: None) -> None:
    assert len(gradients(picked)) == 1


def test_it_is_the_sum_over_what_is_foreseen_from_it() -> None:
    states = torch.arange(6.0).reshape(3, 2).requires_grad_()
    found = picked(states, torch.tensor([1, 2, 1]))
    assert found.tolist() == [[2.0, 3.0], [4.0, 5.0], [2.0, 3.0]]
    found.backward(torch.tensor([[1.0, 10.0], [100.0, 1000.0], [2.0, 20.0]]))
    # Position 1 is asked for twice: 1 + 2 and 10 + 20.
    assert states.grad is not None
    assert states.grad.tolist() == [[0.0, 0.0], [3.0, 30.0], [100.0, 1000.0]]
