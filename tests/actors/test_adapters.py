"""Low-rank adapters and activation checkpoints: where they begin, what they train, and the plain weights that come of it."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from peft.tuners.lora import Linear
from safetensors.torch import load_file
from torch import Tensor

from actors.adapters import merged, trainable
from actors.critic import Critic
from actors.forward import per_token, rollout_tree
from actors.networks import TokenLogprobs, load_causal
from actors.policy import Policy, UpdateStats
from actors.rollout import checksum
from tests.actors.examples import (
    LEARNER,
    all_weights,
    alone,
    flat,
    plain_groups,
    plain_model,
    random_floats,
    random_rollouts,
)
from tests.actors.losses import reinforce
from tests.tiny import save_tiny_llama
from truing.config.roles import Learner, Lora

LORA = LEARNER.model_copy(update={"lora": Lora(rank=4, alpha=8), "learning_rate": 1e-2})
GROUPS = random_rollouts(8, prompts=3)
TREES = [rollout_tree(group) for group in GROUPS]
PER_LAYER = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
             "mlp.up_proj", "mlp.down_proj")  # fmt: skip
ADAPTED = {f"model.layers.{layer}.{name}.weight" for layer in (0, 1) for name in PER_LAYER}


def policy(folder: str, settings: Learner = LORA, updates: int = 0) -> Policy:
    found = Policy(folder, settings, 1.0, alone())
    for _ in range(updates):
        update(found)
    return found


def update(learner: Policy) -> UpdateStats:
    old, credit = learner.logprobs(GROUPS), random_floats(9, GROUPS)
    columns = (GROUPS, old, old, credit, [0] * len(GROUPS))
    return learner.update(*columns, minibatches=1, loss=reinforce, importance_cap=1e9)[0]


def saved(learner: Policy | Critic, folder: Path) -> dict[str, Tensor]:
    folder.mkdir()
    learner.save(folder)
    return load_file(folder / "parameters.safetensors")


def floats(bits: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array.copy()).view(torch.bfloat16).float() for name, array in bits.items()}


# --- adapters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_at_the_start_the_policy_is_the_start_policy_to_the_last_bit(tiny: str, precision: str) -> None:
    with_adapters, without = (
        policy(tiny, LORA.model_copy(update={"lora": lora, "precision": precision})) for lora in (LORA.lora, None)
    )
    np.testing.assert_array_equal(flat(with_adapters.logprobs(GROUPS)), flat(without.logprobs(GROUPS)))
    assert all_weights(with_adapters)[1] == all_weights(without)[1]


def test_every_linear_layer_but_the_head_has_an_adapter_and_nothing_else_is_trained(tiny: str) -> None:
    model = trainable(load_causal(tiny), LORA)
    adapted = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Linear)}
    assert adapted == ADAPTED
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {
        f"{name.removesuffix('weight')}lora_{side}.default.weight" for name in ADAPTED for side in ("A", "B")
    }
    # Two models begin alike: ranks must.
    again = dict(trainable(load_causal(tiny), LORA).named_parameters())
    assert all(torch.equal(parameter, again[name]) for name, parameter in model.named_parameters())


def test_a_merged_weight_is_w_plus_the_scaled_product(tiny: str) -> None:
    model = trainable(load_causal(tiny), LORA)
    layer = model.get_submodule("model.layers.0.mlp.up_proj")
    torch.nn.init.normal_(layer.lora_B["default"].weight, generator=torch.Generator().manual_seed(0))
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    assert (a.shape, b.shape) == ((4, 128), (256, 4))
    # alpha / r = 8 / 4
    expected = layer.base_layer.weight + 2 * b @ a
    torch.testing.assert_close(merged(model)["model.layers.0.mlp.up_proj.weight"], expected, rtol=0, atol=1e-6)


def test_the_merged_weights_alone_give_the_learners_logprobs(tiny: str) -> None:
    model = trainable(load_causal(tiny), LORA)
    for i, module in enumerate(module for module in model.modules() if isinstance(module, Linear)):
        torch.nn.init.normal_(module.lora_B["default"].weight, std=0.05, generator=torch.Generator().manual_seed(i))
    network = TokenLogprobs(model, 1.0)
    found = per_token(lambda batch: network(batch)[0], TREES, 1000, nullcontext())
    plain = plain_model(tiny)
    start = flat(plain_groups(plain, GROUPS, 1.0))
    weights = merged(model)
    assert weights.keys() == dict(plain.named_parameters()).keys()
    for name, parameter in plain.named_parameters():
        parameter.data.copy_(weights[name])
    np.testing.assert_allclose(flat(found), flat(plain_groups(plain, GROUPS, 1.0)), atol=1e-5)
    assert np.abs(flat(found) - start).max() > 0.1


def test_an_update_moves_the_adapters_alone(tiny: str, tmp_path: Path) -> None:
    learner = policy(tiny)
    before = saved(learner, tmp_path / "before")
    # B = 0 passes nothing to A: the first update moves the Bs, the second both.
    assert update(learner).grad_norm > 0
    update(learner)
    after = saved(learner, tmp_path / "after")
    # A checkpoint has the adapters and nothing else: in bytes 4·(128 + 128) and so on, not the model's.
    assert {name.split(".lora_")[0].removeprefix("model.") + ".weight" for name in after} == ADAPTED
    assert all(".lora_" in name and not torch.equal(tensor, before[name]) for name, tensor in after.items())
    assert not any(tensor.any() for name, tensor in before.items() if "lora_B" in name)
    size = sum(path.stat().st_size for path in (tmp_path / "after").iterdir())
    # Parameters, masters and two moments of 4 bytes, and some names.
    assert size < 4 * 4 * sum(tensor.numel() for tensor in after.values()) + 20_000
    # The base under them, as the engines get it: what has no adapter is the file's, bit for bit.
    start, now = dict(plain_model(tiny).named_parameters()), floats(all_weights(learner)[0])
    assert now.keys() == start.keys()
    assert {name for name in now if not torch.equal(now[name], start[name].detach())} == ADAPTED
    # With the adapters taken back to the zero map the start policy is left.
    (tmp_path / "zero").mkdir()
    learner.load(tmp_path / "before")
    assert all_weights(learner)[1] == all_weights(policy(tiny))[1]


def test_weights_and_export_are_a_plain_model_with_the_learners_logprobs(tiny: str, tmp_path: Path) -> None:
    learner = policy(tiny, updates=3)
    found = flat(learner.logprobs(GROUPS))
    learner.export(tmp_path)
    assert not list(tmp_path.glob("adapter*"))
    stored = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    model = plain_model(str(tmp_path))
    bits, crc = all_weights(learner)
    assert crc == checksum(bits)
    pushed = floats(bits)
    assert all(torch.equal(pushed[name], parameter.detach()) for name, parameter in model.named_parameters())
    # bfloat16 keeps 8 bits of a weight: hundredths of a nat, where training moved the log-probs by tenths.
    exported = flat(plain_groups(model, GROUPS, 1.0))
    start = flat(plain_groups(plain_model(tiny), GROUPS, 1.0))
    assert np.abs(exported - found).max() < 0.05
    assert np.abs(start - found).max() > 0.3


def test_a_critic_trains_its_head_and_its_adapters(tiny: str, tmp_path: Path) -> None:
    critic = Critic(tiny, LORA, alone())
    targets = random_floats(9, GROUPS)
    losses = [
        critic.update(GROUPS, critic.values(GROUPS), targets, [0] * 3, minibatches=1, clip=1e9)[0] for _ in range(6)
    ]
    assert losses[-1] < losses[0]
    parameters = saved(critic, tmp_path / "critic")
    assert {name for name in parameters if ".lora_" not in name} == {"head.weight"}
    assert all(tensor.any() for tensor in parameters.values())


# --- activation checkpoints -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lora", [None, LORA.lora], ids=["whole", "adapters"])
def test_gradient_checkpointing_changes_nothing_but_the_memory(tiny: str, lora: Lora | None, tmp_path: Path) -> None:
    ends: list[tuple[list[UpdateStats], dict[str, Tensor]]] = []
    for wanted in (False, True):
        learner = policy(tiny, LEARNER.model_copy(update={"lora": lora, "gradient_checkpointing": wanted}))
        ends.append(([update(learner) for _ in range(3)], saved(learner, tmp_path / str(wanted))))
    (plain, parameters), (checkpointed, others) = ends
    for one, two in zip(plain, checkpointed, strict=True):
        assert two.loss == pytest.approx(one.loss, abs=1e-5)
        assert two.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)
    assert max(float((others[name] - parameters[name]).abs().max()) for name in parameters) < 0.05 * 1e-3


def test_with_gradient_checkpointing_layers_are_computed_again(tiny: str) -> None:
    calls: list[int] = []
    for wanted in (False, True):
        model = trainable(load_causal(tiny), LEARNER.model_copy(update={"gradient_checkpointing": wanted}))
        calls.append(0)
        model.get_submodule("model.layers.0.input_layernorm").register_forward_hook(
            lambda *_: calls.append(calls.pop() + 1)
        )
        model(torch.tensor([[5, 6, 7]])).logits.sum().backward()
    assert calls == [1, 2]


def test_dropout_stays_off(tmp_path: Path) -> None:
    folder = str(save_tiny_llama(tmp_path, seed=3))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"attention_dropout": 0.9}))
    learner = policy(folder, LEARNER.model_copy(update={"gradient_checkpointing": True}))
    expected = flat(plain_groups(plain_model(folder), GROUPS, 1.0))
    np.testing.assert_allclose(flat(learner.logprobs(GROUPS)), expected, atol=1e-5)
    # A GPT-2 drops with modules of their own.
    model = trainable(gpt2(), LEARNER.model_copy(update={"gradient_checkpointing": True}))
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(model(ids).logits, model(ids).logits)


def gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 16, "vocab_size": 320}
    return GPT2LMHeadModel(GPT2Config(**shape, resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5))
