"""What ZeRO leaves on each rank: every stage computes the same, is read the same, and is taken up where it was."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from actors.critic import Critic
from actors.group import ActorGroup, Needs
from actors.learner import learner_environment
from actors.policy import Policy, Pretraining
from actors.preference import PreferenceLearner
from actors.reward_model import RewardLearner, RewardScorer
from actors.rollout import Probe, checksum
from actors.sharded import buckets
from tests.actors.examples import (
    LEARNER,
    SCORER,
    Here,
    all_weights,
    alone,
    flat,
    plain_groups,
    plain_logprobs,
    plain_model,
)
from tests.actors.losses import curious
from tests.actors.ranks import Room
from tests.actors.updates import (
    LOSS,
    MOVED,
    Batch,
    figures,
    largest_move,
    parameters,
    policy,
    six_prompts,
    small_parts_too,
    update,
)
from tests.tiny import save_tiny_llama
from truing.config.roles import Learner, Lora
from truing.data.judged import Comparisons, Judged

STAGES = (0, 1, 2, 3)
LORA = Lora(rank=4, alpha=8)


@pytest.fixture(scope="module")
def worlds(cluster: None) -> Iterator[dict[int, Any]]:
    """`Room`s of one rank, in this process, and of two."""
    needs = Needs(0, 0, learner_environment(LEARNER), 600, 120)
    group = ActorGroup.ranks("two ranks", 2, Room, needs).ready()
    yield {1: Here(Room(alone())), 2: group}
    group.close()


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model whose LM head has a weight of its own."""
    return str(save_tiny_llama(tmp_path_factory.mktemp("untied"), seed=2, dtype=torch.bfloat16, tied=False))


@pytest.fixture(scope="module")
def batch(tiny: str) -> Batch:
    return six_prompts(tiny)


def settings(stage: int, **other: Any) -> Learner:
    return LEARNER.model_copy(update={"zero_stage": stage, "token_budget": 100, "max_grad_norm": 0.02} | other)


def three_updates(group: Any, folder: str, wanted: Learner, batch: Batch, path: Path) -> tuple[list[float], Any]:
    group.broadcast(Room.make, policy(folder, wanted))
    found = [number for _ in range(3) for number in figures(update(group, batch))]
    return found, parameters(group, path)


# --- the same updates -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected(worlds: dict[int, Any], tiny: str, untied: str, batch: Batch, tmp_path_factory: Any) -> dict[str, Any]:
    """Three updates by one rank that shards nothing, of all weights, of adapters, and of the other model."""
    path = tmp_path_factory.mktemp("expected")
    wanted = {"whole": (tiny, None), "adapters": (tiny, LORA), "untied": (untied, None)}
    return {
        name: three_updates(worlds[1], folder, settings(0, lora=lora, token_budget=10**6), batch, path / name)
        for name, (folder, lora) in wanted.items()
    }


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("kind", ["whole", "checkpointing", "adapters", "untied"])
def test_every_stage_follows_the_same_losses(
    worlds: dict[int, Any], world: int, stage: int, kind: str, tiny: str, untied: str, batch: Batch,
    expected: dict[str, Any], tmp_path: Path,
) -> None:  # fmt: skip
    wanted = settings(stage, lora=LORA if kind == "adapters" else None, gradient_checkpointing=kind == "checkpointing")
    folder = untied if kind == "untied" else tiny
    found, end = three_updates(worlds[world], folder, wanted, batch, tmp_path / "end")
    want, want_end = expected["whole" if kind == "checkpointing" else kind]
    assert found == pytest.approx(want, rel=LOSS, abs=LOSS)
    assert largest_move(end, want_end) < MOVED * LEARNER.learning_rate
    # The norm is that of the gradient before it was clipped to a fiftieth.
    assert found[1] > 0.04


@pytest.mark.parametrize("kind", ["whole", "checkpointing", "adapters", "untied"])
def test_parameters_that_are_really_sharded_follow_them_too(
    worlds: dict[int, Any], kind: str, tiny: str, untied: str, batch: Batch, expected: dict[str, Any], tmp_path: Path
) -> None:
    """Ranks have unequal numbers of micro-batches, and each forward pass is a collective."""
    wanted = settings(3, lora=LORA if kind == "adapters" else None, gradient_checkpointing=kind == "checkpointing")
    group = worlds[2]
    group.broadcast(Room.make, partial(small_parts_too, untied if kind == "untied" else tiny, wanted))
    found = [number for _ in range(3) for number in figures(update(group, batch))]
    want, want_end = expected["whole" if kind == "checkpointing" else kind]
    assert found == pytest.approx(want, rel=LOSS, abs=LOSS)
    assert largest_move(parameters(group, tmp_path / "end"), want_end) < MOVED * LEARNER.learning_rate
    (bits, crc), other = group.broadcast(Room.read, ask=all_weights)
    assert checksum(bits) == crc
    assert other == ({}, 0)


def test_ranks_that_learn_from_texts_and_from_completions_in_one_pass(
    worlds: dict[int, Any], tiny: str, batch: Batch, tmp_path: Path
) -> None:
    """Two prompts and three texts over two ranks, with an entropy bonus: in a pass one rank reads what the other does not."""
    mix = Pretraining(["The bread is in the oven.", "A river runs to the sea.", "Bees like clover. " * 4], 64, 0.5)
    worlds[1].broadcast(Room.make, policy(tiny, settings(0)))
    worlds[2].broadcast(Room.make, partial(small_parts_too, tiny, settings(3, token_budget=40)))
    want, found = (
        [figures(update(worlds[n], batch, prompts=3, pretraining=mix, loss=curious)) for _ in range(2)] for n in (1, 2)
    )
    for some, others in zip(found, want, strict=True):
        assert some == pytest.approx(others, rel=LOSS, abs=LOSS)
    one, two = (parameters(worlds[n], tmp_path / str(n)) for n in (1, 2))
    assert largest_move(two, one) < MOVED * LEARNER.learning_rate


# --- resumed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("lora", [None, LORA], ids=["whole", "adapters"])
def test_a_resumed_update_equals_the_uninterrupted_one_bit_for_bit(
    worlds: dict[int, Any], world: int, stage: int, lora: Lora | None, batch: Batch, tiny: str, other_tiny: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    group = worlds[world]
    wanted = settings(stage, lora=lora, warmup_steps=6, weight_decay=0.1)
    group.broadcast(Room.make, policy(tiny, wanted))
    for _ in range(2):
        update(group, batch)
    middle = parameters(group, tmp_path / "middle")
    last = [update(group, batch) for _ in range(2)]
    end = parameters(group, tmp_path / "end")
    assert largest_move(end, middle) > 0

    # Another start, with a step taken: whatever is not in the checkpoint would show. Adapters need the base they had.
    group.broadcast(Room.make, policy(tiny if lora else other_tiny, wanted))
    update(group, batch)
    group.broadcast(Room.load, tmp_path / "middle")
    assert [update(group, batch) for _ in range(2)] == last
    again = parameters(group, tmp_path / "again")
    assert all(torch.equal(again[name], end[name]) for name in end)
    assert all((".lora_" in name) == bool(lora) for name in end)
    files = sorted(path.name for path in (tmp_path / "end").iterdir())
    assert files == [*(f"optimizer-{r:05d}-of-{world:05d}.safetensors" for r in range(world)), "parameters.safetensors"]
    for name in files[:-1]:
        saved, want = load_file(tmp_path / "again" / name), load_file(tmp_path / "end" / name)
        assert saved.keys() == want.keys()
        assert all(torch.equal(saved[key], want[key]) for key in want)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_sharded_rank_keeps_its_share_of_the_optimizer(
    worlds: dict[int, Any], stage: int, batch: Batch, tiny: str, tmp_path: Path
) -> None:
    worlds[2].broadcast(Room.make, policy(tiny, settings(stage)))
    update(worlds[2], batch)
    whole = sum(tensor.numel() for tensor in parameters(worlds[2], tmp_path / "end").values())
    for rank in (0, 1):
        mine = load_file(tmp_path / "end" / f"optimizer-{rank:05d}-of-00002.safetensors")
        masters = sum(tensor.numel() for name, tensor in mine.items() if name.startswith("master."))
        # Half, and some padding.
        assert whole / 2 <= masters < 0.51 * whole


# --- read while shards are of unequal size ----------------------------------------------------------------------------

PAIRS = [
    Comparisons("Name a fruit.", ("Apple.", "I would rather not say."), (Judged(0, 1, 1.0),)),
    Comparisons("Count.", ("1 2 3", "banana", "4"), (Judged(0, 1, 0.9), Judged(0, 2, 0.6))),
    Comparisons("Why?", ("Because it was asked for.", "Why not?"), (Judged(0, 1, 0.8),)),
]


@pytest.mark.parametrize("prompts", [3, 1])
@pytest.mark.parametrize("kind", ["tied", "untied", "adapters"])
def test_ranks_with_unequal_work_read_what_one_rank_reads(
    worlds: dict[int, Any], prompts: int, kind: str, tiny: str, untied: str, batch: Batch
) -> None:
    # Rows of their own: two prompts are four forward passes and one is two; of one prompt the second rank has none.
    folder = untied if kind == "untied" else tiny
    wanted = settings(3, token_budget=8, lora=LORA if kind == "adapters" else None)
    worlds[2].broadcast(Room.make, policy(folder, wanted))
    for _ in range(2):
        found = worlds[2].scatter(Room.read, batch["groups"][:prompts], ask=Policy.logprobs).get()
        want = plain_groups(plain_model(folder), batch["groups"][:prompts], 1.0)
        np.testing.assert_allclose(flat(found), flat(want), atol=LOSS)
    # And an update can follow.
    assert update(worlds[2], batch).ratio > 0


def test_weights_probe_and_export_of_sharded_parameters(
    worlds: dict[int, Any], untied: str, batch: Batch, tmp_path: Path
) -> None:
    group = worlds[2]
    group.broadcast(Room.make, policy(untied, settings(3)))
    probe = Probe([1, 30, 40], [50, 60, 70])
    want = plain_logprobs(plain_model(untied), probe.prompt, probe.response)
    assert group.broadcast(Room.read, probe, ask=Policy.probe) == [pytest.approx(want, abs=LOSS)] * 2
    (bits, crc), other = group.broadcast(Room.read, ask=all_weights)
    assert other == ({}, 0)
    assert crc == checksum(bits)
    start = dict(plain_model(untied).named_parameters())
    assert bits.keys() == start.keys()
    for name, parameter in start.items():
        assert torch.equal(torch.from_numpy(bits[name].copy()).view(torch.bfloat16).float(), parameter.detach()), name

    for _ in range(2):
        update(group, batch)
    group.broadcast(Room.read, tmp_path, ask=Policy.export)
    (after, _), _ = group.broadcast(Room.read, ask=all_weights)
    for name, parameter in plain_model(str(tmp_path)).named_parameters():
        stored = torch.from_numpy(after[name].copy()).view(torch.bfloat16).float()
        assert torch.equal(stored, parameter.detach()), name
        assert not torch.equal(stored, start[name].detach()), name


def test_what_is_gathered_together_has_no_more_numbers_than_are_allowed() -> None:
    # Of 6, 3, 5 and 20 numbers with room for 10: 6 and 3, then 5, then 20, which is larger alone.
    made_of = {name: [nn.Parameter(torch.zeros(n))] for name, n in (("a", 6), ("b", 3), ("c", 5), ("d", 20))}
    assert buckets(made_of, 10, settings(0)) == [["a", "b"], ["c"], ["d"]]
    # A weight and its adapters are gathered together.
    assert buckets({"a": [*made_of["a"], *made_of["c"]], "b": made_of["b"]}, 10, settings(0)) == [["a"], ["b"]]


@pytest.mark.parametrize("kind", ["tied", "untied"])
def test_values_rewards_and_ratios_of_sharded_parameters(
    worlds: dict[int, Any], tiny: str, untied: str, batch: Batch, tmp_path: Path, kind: str
) -> None:
    tiny = untied if kind == "untied" else tiny
    targets = [[credit if credit is not None else old for credit, old in zip(*row, strict=True)]
               for row in zip(batch["advantages"], batch["old"], strict=True)]  # fmt: skip
    zeros = [[np.zeros_like(tokens) for tokens in group] for group in batch["old"]]
    known = [[0.0] * len(one.responses) for one in PAIRS]
    seen: list[list[Any]] = []
    for world, wanted in ((1, settings(0)), (2, settings(3, token_budget=8))):
        group = worlds[world]
        group.broadcast(Room.make, partial(Critic, tiny, wanted))
        for _ in range(2):
            group.scatter(Room.update, batch["groups"], zeros, targets, [0] * 6, minibatches=1, clip=1e9).get()
        values = group.scatter(Room.read, batch["groups"][:3], ask=Critic.values).get()
        group.broadcast(Room.make, partial(RewardLearner, tiny, 128, PAIRS, wanted))
        for _ in range(2):
            group.scatter(Room.update, [0, 1, 2]).get()
        rewards = group.scatter(Room.read, [2, 0, 1], ask=RewardLearner.rewards).get()
        folder = tmp_path / str(world)
        folder.mkdir()
        group.broadcast(Room.read, folder, 0.0, 1.0, ask=RewardLearner.export)
        scorer = RewardScorer(str(folder), 128, SCORER, "float32")
        scored = scorer.raw([(PAIRS[i].prompt, PAIRS[i].responses) for i in (2, 0, 1)])
        assert [r for one in scored for r in one] == pytest.approx([r for one in rewards for r in one], abs=LOSS)
        group.broadcast(Room.make, partial(PreferenceLearner, tiny, 128, PAIRS, known, wanted))
        ratios = group.scatter(Room.read, [1, 2, 0], ask=PreferenceLearner.ratios).get()
        # One prompt for two ranks: the second has nothing to read.
        ratios += group.scatter(Room.read, [1], ask=PreferenceLearner.ratios).get()
        seen.append([flat(values).tolist(), *rewards, *ratios])
    for one, other in zip(*seen, strict=True):
        assert other == pytest.approx(one, rel=LOSS, abs=1e-4)
    assert np.std(seen[0][0]) > 0
