import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from truing.algorithms import logprobs
from truing.algorithms.logprobs import chunked_logprobs

VOCABULARY, WIDTH = 11, 6


def problem(tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(tokens)
    hidden = torch.randn(tokens, WIDTH, generator=generator).requires_grad_()
    head = torch.randn(VOCABULARY, WIDTH, generator=generator).requires_grad_()
    return hidden, head, torch.randint(VOCABULARY, (tokens,), generator=generator)


def test_log_probability_and_entropy_by_hand() -> None:
    # Weights 3, 1, 1. T = 1: p = 3/5, 1/5, 1/5; ln(3/5) = -.5108256; H = -3/5 ln(3/5) - 2/5 ln(1/5) = .9502705
    # T = 1/2 squares the weights: p = 9/11, 1/11, 1/11; ln(9/11) = -.2006707; H = .1641851 + .4359810 = .6001661
    head = torch.tensor([[math.log(3.0)], [0.0], [0.0]])
    for temperature, expected in [(1.0, (-0.5108256, 0.9502705)), (0.5, (-0.2006707, 0.6001661))]:
        found = chunked_logprobs(torch.ones(1, 1), head, torch.tensor([0]), temperature)
        assert [float(value) for value in found] == pytest.approx(expected, abs=1e-6)


# 4 positions a chunk: none, one, a chunk less one, a chunk, a chunk and one, two chunks, two and one
@pytest.mark.parametrize("tokens", [0, 1, 3, 4, 5, 8, 9])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_chunks_equal_the_full_softmax(tokens: int, temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "CHUNK", 4)
    hidden, head, targets = problem(tokens)
    full = torch.log_softmax(hidden.double() @ head.double().T / temperature, -1)
    expected = full[torch.arange(tokens), targets]

    found, entropy = chunked_logprobs(hidden, head, targets, temperature)
    assert found.shape == entropy.shape == (tokens,)
    assert_close(found.double(), expected, rtol=1e-6, atol=1e-6)
    # log Z minus the mean logit: a difference of float32 numbers near 20, whose last bit is 2e-6
    assert_close(entropy.double(), -(full.exp() * full).sum(-1).detach(), rtol=1e-6, atol=1e-5)

    if tokens:
        weights = torch.linspace(-1, 1, tokens)
        gradients = torch.autograd.grad((found * weights).sum(), (hidden, head))
        wanted = torch.autograd.grad((expected * weights).sum(), (hidden, head))
        for gradient, want in zip(gradients, wanted, strict=True):
            assert_close(gradient, want, rtol=1e-5, atol=1e-6)


class Watch(TorchDispatchMode):
    """Notes the largest tensor of vocabulary width, and how many normalizers are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = self.normalizers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and result.dim() == 2 and result.shape[1] == VOCABULARY:
            self.rows = max(self.rows, result.shape[0])
        self.normalizers += func is torch.ops.aten.logsumexp.default
        return result


def test_logits_of_one_chunk_exist_at_a_time_and_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "CHUNK", 8)
    hidden, head, targets = problem(40)
    with Watch() as forward:
        found, _ = chunked_logprobs(hidden, head, targets, 1.0)
    with Watch() as backward:
        found.sum().backward()
    # 40 / 8 = 5 chunks
    assert (forward.rows, forward.normalizers) == (8, 5)
    assert (backward.rows, backward.normalizers) == (8, 5)


def test_half_precision_states_give_float32() -> None:
    hidden, head, targets = problem(5)
    found, entropy = chunked_logprobs(hidden.bfloat16(), head.bfloat16(), targets, 1.0)
    assert found.dtype == entropy.dtype == torch.float32
    # logits of a few units in bfloat16, 8 bits: an error of a few hundredths
    assert_close(found, chunked_logprobs(hidden, head, targets, 1.0)[0], rtol=0, atol=0.1)


def test_the_entropy_has_the_gradient_of_the_full_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "CHUNK", 2)
    hidden, head, targets = problem(5)
    full = torch.log_softmax(hidden.double() @ head.double().T / 0.7, -1)
    wanted = torch.autograd.grad(-(full.exp() * full).sum(), (hidden, head))
    found = torch.autograd.grad(chunked_logprobs(hidden, head, targets, 0.7)[1].sum(), (hidden, head))
    for gradient, want in zip(found, wanted, strict=True):
        assert_close(gradient, want, rtol=1e-4, atol=1e-5)
