"""The policy's rank as a plain object of this process: a group of one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.forward import Floats
from actors.learner import Seat
from actors.policy import Policy, Pretraining, Seen, UpdateStats
from actors.reference import Reference
from actors.rollout import Probe, checksum
from tests.actors.examples import (
    LEARNER,
    SCORER,
    all_weights,
    alone,
    flat,
    plain_groups,
    plain_logits,
    plain_logprobs,
    plain_model,
    random_floats,
    random_rollouts,
)
from tests.actors.losses import reinforce, surrogate
from truing.algorithms.kl import k1
from truing.config.roles import Learner
from truing.records import Rollout

GROUPS = random_rollouts(3)
CLOSE = 1e-5
"""Nats: one float32 forward pass against another."""

Credit = Sequence[Sequence[Floats | None]]


def policy(folder: str, settings: Learner = LEARNER, temperature: float = 1.0) -> Policy:
    return Policy(folder, settings, temperature, alone())


def update(
    learner: Policy, groups: Sequence[Sequence[Rollout]], old: Any, credit: Credit, **options: Any
) -> list[UpdateStats]:
    """`Policy.update` with RLOO's loss, in one minibatch, without a cap that is felt."""
    options = {"minibatches": 1, "loss": reinforce, "importance_cap": 1e9, "reference": old} | options
    minibatch = options.pop("minibatch", [0] * len(groups))
    return learner.update(groups, old, options.pop("reference"), credit, minibatch, **options)


def weights(learner: Policy, folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    folder.mkdir()
    learner.save(folder)
    return load_file(folder / "parameters.safetensors")


def same(some: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return some.keys() == others.keys() and all(torch.equal(some[name], others[name]) for name in some)


# --- log-probs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("budget", [10**6, 8])
def test_logprobs_are_those_of_the_plain_model(tiny: str, temperature: float, budget: int) -> None:
    learner = policy(tiny, LEARNER.model_copy(update={"token_budget": budget}), temperature)
    found = learner.logprobs(GROUPS)
    assert [[len(tokens) for tokens in group] for group in found] == [[len(r.tokens) for r in g] for g in GROUPS]
    np.testing.assert_allclose(flat(found), flat(plain_groups(plain_model(tiny), GROUPS, temperature)), atol=CLOSE)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("budget", [10**6, 64])
def test_at_the_start_policy_and_reference_agree_to_the_last_bit(tiny: str, precision: str, budget: int) -> None:
    settings = LEARNER.model_copy(update={"precision": precision, "token_budget": budget})
    learner = policy(tiny, settings, 0.9)
    reference = Reference(tiny, SCORER.model_copy(update={"token_budget": budget}), precision, 0.9)
    found, expected = flat(learner.logprobs(GROUPS)), flat(reference.logprobs(GROUPS))
    np.testing.assert_array_equal(found, expected)
    assert float(k1(torch.from_numpy(found), torch.from_numpy(expected)).abs().sum()) == 0.0


def test_the_probe_is_read_at_temperature_1(tiny: str) -> None:
    learner = policy(tiny, temperature=0.5)
    probe = Probe([1, 30, 40], [50, 60, 70])
    before = flat(learner.logprobs(GROUPS))
    expected = plain_logprobs(plain_model(tiny), probe.prompt, probe.response)
    assert learner.probe(probe) == pytest.approx(expected, abs=CLOSE)
    # It leaves the policy's own temperature as it was.
    np.testing.assert_array_equal(flat(learner.logprobs(GROUPS)), before)


# --- updates ----------------------------------------------------------------------------------------------------------


def test_the_first_update_has_ratio_1_and_the_plain_models_entropy(tiny: str) -> None:
    learner = policy(tiny, LEARNER.model_copy(update={"token_budget": 64}), 0.8)
    old = learner.logprobs(GROUPS)
    (stats,) = update(learner, GROUPS, old, random_floats(4, GROUPS))
    assert stats.ratio == pytest.approx(1, abs=CLOSE)
    model, entropies = plain_model(tiny), []
    for rollout in (r for group in GROUPS for r in group):
        p = (plain_logits(model, rollout.prompt_tokens, rollout.tokens) / 0.8).softmax(-1)
        entropies += (-(p * p.log()).sum(-1)).tolist()
    assert min(entropies) > 0
    assert stats.entropy == pytest.approx(sum(entropies) / len(entropies), abs=1e-4)
    # |old - engine's|, the mean over tokens; the engine's are the constant -5
    logs = flat(old) + 5
    assert stats.logprob_gap == pytest.approx(np.abs(logs).mean(), abs=1e-4)
    # KL(engine‖learner) of samples of the engine, r - 1 - log r with r = π_learner/π_engine; nothing is capped.
    assert stats.mismatch_kl == pytest.approx((np.exp(logs) - 1 - logs).mean(), rel=1e-4)
    assert (stats.importance, stats.importance_capped) == (pytest.approx(np.exp(logs).mean(), rel=1e-4), 0)


def test_importance_is_what_the_cap_leaves_of_it(tiny: str) -> None:
    learner = policy(tiny)
    old = learner.logprobs(GROUPS)
    ratios = np.exp(flat(old) + 5)
    cap = float(np.median(ratios))
    (stats,) = update(learner, GROUPS, old, random_floats(4, GROUPS), importance_cap=cap)
    assert stats.importance == pytest.approx(np.minimum(ratios, cap).mean(), rel=1e-4)
    assert stats.importance_capped == pytest.approx((ratios >= cap).mean(), abs=0.02)


def test_the_loss_is_the_mean_over_tokens_with_capped_weights(tiny: str) -> None:
    learner = policy(tiny)
    old = learner.logprobs(GROUPS)
    credit = random_floats(4, GROUPS)
    # The engine was surer by ln 2 of every other token, less sure by ln 4 of the others: weights ½, and 4 capped at 3.
    shift = [[np.where(np.arange(len(t)) % 2, np.log(2), -np.log(4)).astype(np.float32) for t in g] for g in old]
    sampled = [
        [replace(r, logprobs=(o + s).tolist()) for r, o, s in zip(*rows, strict=True)]
        for rows in zip(GROUPS, old, shift, strict=True)
    ]
    capped = np.where(flat(shift) > 0, 0.5, 3.0)
    (stats,) = update(learner, sampled, old, credit, importance_cap=3.0)
    # ratio 1: -Σ w·A / tokens
    assert stats.loss == pytest.approx(-(capped * flat(credit)).mean(), abs=1e-5)
    assert stats.grad_norm > 0


def test_a_loss_sees_columns_of_the_same_tokens(tiny: str) -> None:
    learner = policy(tiny, LEARNER.model_copy(update={"token_budget": 64}), 0.8)
    old = learner.logprobs(GROUPS)
    reference, credit = random_floats(5, GROUPS), random_floats(4, GROUPS)
    seen: list[Seen] = []

    def watch(columns: Seen) -> Tensor:
        seen.append(columns)
        return 0 * columns.logprobs.sum() + columns.reference.sum()

    (stats,) = update(learner, GROUPS, old, credit, loss=watch, reference=reference)
    assert len(seen) > 1
    columns = [torch.cat([getattr(one, name).detach() for one in seen]).numpy() for name in Seen.__slots__]
    assert len({len(column) for column in columns}) == 1
    logprobs, entropy, before, start, advantages, weights = columns
    np.testing.assert_allclose(logprobs, before, atol=CLOSE)
    assert (entropy > 0).all()
    # The engine's log-probs are the constant -5.
    np.testing.assert_allclose(weights, np.exp(before + 5), rtol=1e-5)
    # Micro-batches come in an order of their own; what belongs to one token stays together.
    expected = zip(flat(old), flat(reference), flat(credit), strict=True)
    assert sorted(zip(before, start, advantages, strict=True)) == sorted(expected)
    assert stats.loss == pytest.approx(flat(reference).mean(), abs=CLOSE)
    assert all(one.logprobs.requires_grad and one.entropy.requires_grad for one in seen)
    assert not any(one.weights.requires_grad or one.reference.requires_grad for one in seen)


@pytest.mark.parametrize("sign", [1, -1])
def test_an_entropy_bonus_spreads_the_distribution(tiny: str, sign: int) -> None:
    learner = policy(tiny)
    old = learner.logprobs(GROUPS)
    found = [
        update(learner, GROUPS, old, random_floats(4, GROUPS), loss=lambda seen: -sign * seen.entropy.sum())[0].entropy
        for _ in range(3)
    ]
    assert sign * (found[2] - found[0]) > 0.001


def test_an_update_raises_what_has_advantage_and_lowers_the_rest(tiny: str) -> None:
    learner = policy(tiny)
    old = learner.logprobs(GROUPS)
    signs: Credit = [[np.full(len(r.tokens), 1 - 2 * i, np.float32) for i, r in enumerate(group)] for group in GROUPS]
    update(learner, GROUPS, old, signs)
    for after, before in zip(learner.logprobs(GROUPS), old, strict=True):
        assert after[0].sum() > before[0].sum()
        assert after[1].sum() < before[1].sum()


def test_an_advantage_of_none_leaves_the_completion_out(tiny: str, tmp_path: Path) -> None:
    credit: list[list[Floats | None]] = [list(group) for group in random_floats(4, GROUPS)]
    credit[0][1] = credit[2][0] = None
    # The same batch with these two really gone.
    kept = [(0, [0]), (1, [0, 1]), (2, [1]), (3, [0, 1])]
    ends: list[tuple[list[UpdateStats], dict[str, Tensor]]] = []
    for where in (None, kept):
        learner = policy(tiny)
        old = learner.logprobs(GROUPS)
        columns: list[Any] = [GROUPS, old, credit]
        if where:
            columns = [[[column[i][j] for j in some] for i, some in where] for column in columns]
        stats = update(learner, columns[0], columns[1], columns[2])
        ends.append((stats, weights(learner, tmp_path / str(where is None))))
    assert ends[0][0] == ends[1][0]
    assert same(ends[0][1], ends[1][1])
    # It matters that they are gone: with an advantage of 0 they would count among the tokens.
    learner = policy(tiny)
    zeros: Credit = [[c if c is not None else np.zeros(len(r.tokens), np.float32) for c, r in zip(*rows, strict=True)]
                     for rows in zip(credit, GROUPS, strict=True)]  # fmt: skip
    (with_zeros,) = update(learner, GROUPS, learner.logprobs(GROUPS), zeros)
    assert with_zeros.loss != pytest.approx(ends[0][0][0].loss, rel=0.01)


def test_minibatches_are_updates_one_after_the_other(tiny: str, tmp_path: Path) -> None:
    credit = random_floats(4, GROUPS)
    together, apart = policy(tiny), policy(tiny)
    old = together.logprobs(GROUPS)
    stats = update(together, GROUPS, old, credit, minibatch=[1, 0, 1, 0], minibatches=2, loss=surrogate)
    expected: list[UpdateStats] = []
    for chosen in ((1, 3), (0, 2)):
        expected += update(apart, *([column[i] for i in chosen] for column in (GROUPS, old, credit)), loss=surrogate)
    assert stats == expected
    assert same(weights(together, tmp_path / "together"), weights(apart, tmp_path / "apart"))
    # The second minibatch is read with the weights that the first one left.
    assert stats[1].ratio != pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_texts_are_mixed_in_by_the_token(tiny: str, temperature: float) -> None:
    """Nobody sampled them: they are read at temperature 1, whatever completions are drawn at."""
    texts = ("The better response answers what was asked.", "", "Which one?")
    learner, tokenizer, model = (
        policy(tiny, LEARNER, temperature),
        AutoTokenizer.from_pretrained(tiny),
        plain_model(tiny),
    )
    old = learner.logprobs(GROUPS)
    zeros = [[np.zeros(len(r.tokens), np.float32) for r in group] for group in GROUPS]
    known: list[float] = []
    for text in texts:
        # A text begins with the tokenizer's own first token, which is not predicted; ten tokens after it count.
        ids = tokenizer.encode(text)[:11]
        known += plain_logprobs(model, ids[:1], ids[1:])
    assert len(known) > 11
    mix = Pretraining(texts, 10, 0.5)
    (stats,) = update(learner, GROUPS, old, zeros, pretraining=mix)
    # Advantages of 0 leave γ·(-Σ log π / tokens).
    assert stats.loss == pytest.approx(-0.5 * sum(known) / len(known), abs=CLOSE)
    # What is said of the completions is as it would be without.
    (alone_stats,) = update(policy(tiny, LEARNER, temperature), GROUPS, old, zeros)
    assert (stats.ratio, stats.logprob_gap) == (alone_stats.ratio, alone_stats.logprob_gap)
    assert stats.entropy == pytest.approx(alone_stats.entropy, abs=CLOSE)
    losses = [stats.loss] + [update(learner, GROUPS, old, zeros, pretraining=mix)[0].loss for _ in range(3)]
    assert losses == sorted(losses, reverse=True)


# --- weights out ------------------------------------------------------------------------------------------------------


def test_weights_are_bfloat16_bits_by_hugging_face_name_without_the_tied_head(tiny: str) -> None:
    learner = policy(tiny)
    update(learner, GROUPS, learner.logprobs(GROUPS), random_floats(4, GROUPS))
    bits, crc = all_weights(learner)
    expected = dict(plain_model(tiny).named_parameters())
    assert bits.keys() == expected.keys()
    assert "lm_head.weight" not in bits
    assert all(array.dtype == np.int16 and array.shape == expected[name].shape for name, array in bits.items())
    assert crc == checksum(bits)
    assert crc != all_weights(policy(tiny))[1]


def test_the_start_policys_weights_are_the_files(tiny: str) -> None:
    bits, _ = all_weights(policy(tiny))
    # The tiny model is stored in bfloat16: nothing is rounded.
    for name, parameter in plain_model(tiny).named_parameters():
        assert torch.equal(torch.from_numpy(bits[name].copy()).view(torch.bfloat16).float(), parameter.detach()), name


def test_what_is_not_finite_in_a_completion_left_out_does_not_leak(tiny: str) -> None:
    ends: list[Any] = []
    for poison in (0.0, np.nan):
        learner = policy(tiny)
        columns = [[list(group) for group in column] for column in (learner.logprobs(GROUPS), random_floats(4, GROUPS))]
        groups = [list(group) for group in GROUPS]
        groups[1][0] = replace(groups[1][0], logprobs=[poison] * len(groups[1][0].tokens))
        columns[0][1][0] = columns[0][1][0] + np.float32(poison)
        columns[1][1][0] = None
        ends.append((update(learner, groups, *columns), all_weights(learner)[1]))
    assert ends[0] == ends[1]


def test_the_exported_policy_loads_and_generates(tiny: str, tmp_path: Path) -> None:
    learner = policy(tiny)
    update(learner, GROUPS, learner.logprobs(GROUPS), random_floats(4, GROUPS))
    learner.export(tmp_path)
    model = plain_model(str(tmp_path))
    bits, _ = all_weights(learner)
    for name, parameter in model.named_parameters():
        assert torch.equal(torch.from_numpy(bits[name].copy()).view(torch.bfloat16).float(), parameter.detach()), name
    assert {p.dtype for p in AutoModelForCausalLM.from_pretrained(str(tmp_path)).parameters()} == {torch.bfloat16}

    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path))
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    start = asked["input_ids"].shape[1]
    answer = model.generate(**asked, max_new_tokens=4, min_new_tokens=4, do_sample=False)[0, start:]
    assert len(answer) == 4
    # Greedy, from the weights that were trained: the most probable token of the plain model at each place.
    logits = plain_logits(model, asked["input_ids"][0].tolist(), answer.tolist())
    logits[:, tokenizer.eos_token_id] = -torch.inf
    assert logits.argmax(-1).tolist() == answer.tolist()


def test_only_rank_0_writes_the_export(tiny: str, tmp_path: Path) -> None:
    # The first one makes the process group of one in which the second one claims another seat.
    first, second = policy(tiny), Policy(tiny, LEARNER, 1.0, Seat(1, 1, "", 300))
    second.export(tmp_path)
    assert not list(tmp_path.iterdir())
    first.export(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
