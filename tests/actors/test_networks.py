"""Which model is loaded and which are not; and what a resumed run hangs on: the same bits each time."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM, PhiConfig, PhiForCausalLM

from actors.networks import TokenLogprobs, load_causal, picked
from tests.jobs.drive import ROOT
from tests.tiny import save_tiny_llama
from truing.errors import ConfigError

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


# --- what is loaded ---------------------------------------------------------------------------------------------------

LOADS = """
import json, sys
from actors.networks import load_causal
from truing.data.chat import load_tokenizer
models = [load_causal(name).get_input_embeddings().weight[0, 0].item() for name in sys.argv[1:]]
print(json.dumps([models, [len(load_tokenizer(name)) for name in sys.argv[1:]]]))
"""


def test_a_hub_models_revision_is_what_is_loaded(tmp_path: Path) -> None:
    """From a cache of the Hub with two revisions, offline."""
    model = tmp_path / "models--org--tiny"
    (model / "refs").mkdir(parents=True)
    first: list[float] = []
    for revision, commit in enumerate(("a" * 40, "b" * 40)):
        folder = save_tiny_llama(model / "snapshots" / commit, seed=revision)
        (model / "refs" / f"v{revision + 1}").write_text(commit)
        first.append(load_causal(str(folder)).get_input_embeddings().weight[0, 0].item())
    names = ["org/tiny@v1", "org/tiny@v2", f"org/tiny@{'a' * 40}"]
    environment = os.environ | {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *names], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    # 320: tests/tiny.py.
    assert json.loads(done.stdout) == [[first[0], first[1], first[0]], [320] * 3]


SMALL = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def phi() -> PhiForCausalLM:
    """Its head has a bias."""
    model = PhiForCausalLM(PhiConfig(**SMALL))
    torch.nn.init.normal_(model.lm_head.bias)
    return model


def gemma() -> Gemma2ForCausalLM:
    """Its logits are capped: 30 tanh(x / 30). Small ones are hardly touched, so its states are made large."""
    model = Gemma2ForCausalLM(Gemma2Config(**SMALL, num_key_value_heads=2, head_dim=8, final_logit_softcapping=30.0))
    torch.nn.init.normal_(model.lm_head.weight, std=10.0)
    return model


def cohere() -> CohereForCausalLM:
    """Its logits are scaled."""
    return CohereForCausalLM(CohereConfig(**SMALL, logit_scale=0.25))


@pytest.mark.parametrize("make", [phi, gemma, cohere])
def test_a_head_that_is_more_than_a_matrix_is_refused(make: Callable[[], torch.nn.Module]) -> None:
    torch.manual_seed(0)
    with pytest.raises(
        ConfigError, match=r"its LM head is more than a matrix \(a bias, a scale, or a cap on the logits\)"
    ):
        TokenLogprobs(make().eval(), 1.0)  # pyright: ignore[reportArgumentType]
