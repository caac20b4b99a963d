"""Completions that share their prompt's row: what is computed is what separate sequences give, forward and backward."""

import json
import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from actors.forward import joined, per_response, per_token, regroup, rollout_tree, rows_of, tensor
from actors.networks import ScalarHead, TokenLogprobs, load_causal
from tests.actors.examples import plain_logprobs, plain_model, random_rollouts
from tests.tiny import save_tiny_llama
from truing.data.batches import IDLE, Batch, Tree, collate

CLOSE = 1e-5
"""One float32 pass against another."""


def ids(draw: random.Random, count: int) -> list[int]:
    return [draw.randrange(5, 320) for _ in range(count)]


def forest() -> list[Tree]:
    """Ragged prompts and responses, a prompt of one token, empty responses, one response alone; rows of 2 to 37 tokens."""
    draw = random.Random(11)
    shapes = [(1, (3, 1)), (7, (4, 0, 9, 2)), (20, (1, 1, 15)), (2, (0,)), (12, (5,)), (1, (1,))]
    return [Tree(ids(draw, prompt), tuple(ids(draw, size) for size in sizes)) for prompt, sizes in shapes]


FOREST = forest()
SEQUENCES = [(tree.prompt, response) for tree in FOREST for response in tree.responses]


@pytest.fixture(scope="module")
def network(tiny: str) -> TokenLogprobs:
    return TokenLogprobs(load_causal(tiny), 0.8)


@pytest.fixture(scope="module")
def scalar(tiny: str) -> ScalarHead:
    """A head of random weights: at 0 every scalar is 0, and no gradient reaches the body."""
    found = ScalarHead(load_causal(tiny))
    nn.init.normal_(found.head.weight, std=0.3, generator=torch.Generator().manual_seed(5))
    return found


def states(body: nn.Module, prompt: list[int], response: list[int]) -> Tensor:
    """Last hidden states of one sequence through the plain model: no padding, no mask, no given positions."""
    return body(input_ids=torch.tensor([prompt + response])).last_hidden_state[0]


# --- forward ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [10**6, 64, 8])
def test_logprobs_are_those_of_separate_sequences(tiny: str, network: TokenLogprobs, budget: int) -> None:
    found = per_token(lambda batch: network(batch)[0], FOREST, budget, nullcontext())
    assert [[len(r) for r in tree] for tree in found] == [[len(r) for r in tree.responses] for tree in FOREST]
    model = plain_model(tiny)
    expected = [number for prompt, response in SEQUENCES for number in plain_logprobs(model, prompt, response, 0.8)]
    np.testing.assert_allclose(np.concatenate([r for tree in found for r in tree]), expected, atol=CLOSE)


@pytest.mark.parametrize("budget", [10**6, 64, 8])
def test_values_and_rewards_are_those_of_separate_sequences(scalar: ScalarHead, budget: int) -> None:
    values = per_token(scalar.values, FOREST, budget, nullcontext())
    rewards = per_response(scalar.rewards, FOREST, budget, nullcontext())
    flat_values, flat_rewards = ([one for tree in found for one in tree] for found in (values, rewards))
    assert np.std(flat_rewards) > 0.1
    for (prompt, response), value, reward in zip(SEQUENCES, flat_values, flat_rewards, strict=True):
        with torch.no_grad():
            expected = (states(scalar.body, prompt, response) @ scalar.head.weight[0]).numpy()
        # The value before each response token; the reward at the last token, the prompt's where the response is empty.
        np.testing.assert_allclose(value, expected[len(prompt) - 1 : -1], atol=CLOSE)
        assert reward == pytest.approx(expected[-1], abs=CLOSE)


def test_a_head_that_is_not_tied(tmp_path: Path) -> None:
    folder = str(save_tiny_llama(tmp_path, seed=2, tied=False))
    model = plain_model(folder)
    assert model.lm_head.weight is not model.model.embed_tokens.weight
    network = TokenLogprobs(load_causal(folder), 1.0)
    (found,) = per_token(lambda batch: network(batch)[0], FOREST[:1], 100, nullcontext())
    for response, logprobs in zip(FOREST[0].responses, found, strict=True):
        np.testing.assert_allclose(logprobs, plain_logprobs(model, FOREST[0].prompt, response), atol=CLOSE)


def test_a_model_that_asks_for_another_attention_is_read_all_the_same(tmp_path: Path) -> None:
    # Eager attention adds its mask, and 1 and 0 added to scores are no mask at all.
    folder = str(save_tiny_llama(tmp_path, seed=2))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"attn_implementation": "eager"}))
    network = TokenLogprobs(load_causal(folder), 1.0)
    (found,) = per_token(lambda batch: network(batch)[0], FOREST[:1], 100, nullcontext())
    expected = plain_logprobs(plain_model(folder), FOREST[0].prompt, FOREST[0].responses[0])
    np.testing.assert_allclose(found[0], expected, atol=CLOSE)


# --- backward ---------------------------------------------------------------------------------------------------------


def gradients(network: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def assert_same_gradients(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, want in expected.items():
        assert want.abs().max() > 0, name
        # Relative to the largest: sums over some hundred terms, in another order.
        torch.testing.assert_close(found[name], want, rtol=0, atol=CLOSE * max(1.0, float(want.abs().max())), msg=name)


def credit(count: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(3))


def test_gradients_of_logprobs_and_entropies_are_those_of_separate_sequences(network: TokenLogprobs) -> None:
    batch = collate(FOREST)
    logprobs, entropy = network(batch)
    weights, others = credit(len(logprobs)), credit(len(logprobs)).square()
    found = gradients(network, (weights * logprobs).sum() - (others * entropy).sum())

    total, at = torch.zeros(()), 0
    for prompt, response in SEQUENCES:
        logits = network.model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1] / 0.8
        logp = logits.log_softmax(-1)
        chosen = logp[torch.arange(len(response)), torch.tensor(response, dtype=torch.long)]
        here = slice(at, at := at + len(response))
        total = total + (weights[here] * chosen).sum() + (others[here] * (logp.exp() * logp).sum(-1)).sum()
    assert_same_gradients(found, gradients(network, total))


@pytest.mark.parametrize("read", [ScalarHead.values, ScalarHead.rewards], ids=["values", "rewards"])
def test_gradients_of_scalars_are_those_of_separate_sequences(
    scalar: ScalarHead, read: Callable[[ScalarHead, Batch], Tensor]
) -> None:
    scalars = read(scalar, collate(FOREST))
    weights = credit(len(scalars))
    found = gradients(scalar, (weights * scalars).sum())
    rows = [states(scalar.body, prompt, response) @ scalar.head.weight[0] for prompt, response in SEQUENCES]
    if read is ScalarHead.values:
        rows = [row[len(prompt) - 1 : -1] for row, (prompt, _) in zip(rows, SEQUENCES, strict=True)]
    else:
        rows = [row[-1:] for row in rows]
    assert_same_gradients(found, gradients(scalar, (weights * torch.cat(rows)).sum()))


# --- siblings ---------------------------------------------------------------------------------------------------------

responses = st.lists(st.integers(5, 319), max_size=6)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(siblings=st.lists(responses, min_size=2, max_size=4), at=st.integers(0, 3), data=st.data())
def test_a_response_does_not_see_its_siblings(
    network: TokenLogprobs, siblings: list[list[int]], at: int, data: st.DataObject
) -> None:
    at %= len(siblings)
    size = len(siblings[at])
    other = data.draw(st.lists(st.integers(5, 319), min_size=size, max_size=size))
    changed = [other if i == at else response for i, response in enumerate(siblings)]
    before, after = (
        per_token(lambda batch: network(batch)[0], [Tree([7, 8, 9], tuple(some))], 1000, nullcontext())[0]
        for some in (siblings, changed)
    )
    for i, (one, two) in enumerate(zip(before, after, strict=True)):
        if i != at:
            # Not near: the same sums of the same numbers.
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("response", "own", "siblings"), [(0, [50, 51], [100, 101]), (1, [100, 101], [50, 51])])
def test_no_gradient_reaches_a_sibling(scalar: ScalarHead, response: int, own: list[int], siblings: list[int]) -> None:
    batch = collate([Tree([7], ([50, 51], [100, 101]))])
    scalar.zero_grad()
    scalar.rewards(batch)[response].backward()
    (pull,) = [p.grad for name, p in scalar.named_parameters() if name == "body.embed_tokens.weight"]
    assert pull[[7, *own]].abs().amax(-1).gt(0).all()
    assert not pull[siblings].any()


# --- rows and shapes --------------------------------------------------------------------------------------------------


def test_responses_share_a_row_up_to_the_budget_and_a_limit_of_its_own() -> None:
    tree = Tree([1] * 100, tuple([2] * 300 for _ in range(6)))
    # A budget of 500 holds 100 + 300; however large it is, 1024 hold 100 + 3·300.
    assert rows_of(tree, 500) == [slice(i, i + 1) for i in range(6)]
    assert rows_of(tree, 10**6) == [slice(0, 3), slice(3, 6)]


def test_a_group_of_rollouts_is_a_tree() -> None:
    (group,) = random_rollouts(0, prompts=1, completions=3)
    assert rollout_tree(group) == Tree(group[0].prompt_tokens, (group[0].tokens, group[1].tokens, group[2].tokens))


def test_ranks_that_have_less_to_read_make_as_many_passes() -> None:
    seen: list[Tensor] = []

    def read(batch: Batch) -> Tensor:
        seen.append(batch.targets)
        return batch.targets.float()

    found = per_token(read, [Tree([1], ([5, 6], [7]))], 100, nullcontext(), lambda count: count + 2)
    # What they read for the others' sake is not in the answer.
    assert [[r.tolist() for r in tree] for tree in found] == [[[5, 6], [7]]]
    assert [t.tolist() for t in seen] == [IDLE.responses[0]] * 2 + [[5, 6, 7]]
    assert per_token(read, [], 100, nullcontext(), lambda _: 1) == []
    assert per_response(lambda batch: batch.last.float(), [], 100, nullcontext()) == []
    assert len(seen) == 4


def test_a_rank_that_is_idle_learns_nothing(network: TokenLogprobs, scalar: ScalarHead) -> None:
    for one in (network, scalar):
        one.zero_grad()
        loss = one.idle()
        assert loss.item() == 0
        # A backward pass as any other, through all of the network.
        loss.backward()
        assert all(p.grad is not None and not p.grad.any() for p in one.parameters())


def test_a_response_of_nothing_has_no_numbers_and_a_prompt_without_responses_none() -> None:
    trees = [Tree([1], ([], [5])), Tree([2], ())]
    found = per_token(lambda batch: batch.targets.float(), trees, 100, nullcontext())
    assert [[r.tolist() for r in tree] for tree in found] == [[[], [5.0]], []]
    # Flat indices of the last tokens: the prompt's, and the response's.
    assert per_response(lambda batch: batch.last.float(), trees, 100, nullcontext()) == [[0.0, 1.0], []]


def test_numbers_from_the_object_store_are_copied() -> None:
    stored = np.array([1.0, 2.0], np.float32)
    stored.setflags(write=False)
    assert tensor(stored).add_(1).tolist() == [2.0, 3.0]
    assert joined([stored, [3, 4.5]], torch.device("cpu")).tolist() == [1.0, 2.0, 3.0, 4.5]
    assert stored.tolist() == [1.0, 2.0]


def test_flat_values_regain_their_groups() -> None:
    groups: list[list[Any]] = [["a", "b"], [], ["c"]]
    assert regroup([1, 2, 3], groups) == [[1, 2], [], [3]]
