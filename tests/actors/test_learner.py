"""The learner through the actors that have one: what it computes does not depend on ranks, budget, shards or a restart."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from actors.policy import Pretraining
from actors.reward_model import RewardLearner
from tests.actors.examples import LEARNER, plain_model
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
    update,
)
from truing.data.judged import Comparisons, Judged
from truing.errors import ActorDied, ConfigError

WORLDS = (1, 2, 4)


@pytest.fixture(scope="module")
def batch(tiny: str) -> Batch:
    return six_prompts(tiny)


# --- the same for any number of ranks and any token budget -----------------------------------------------------------


@pytest.fixture(scope="module")
def whole(worlds: dict[int, Any], batch: Batch, tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two updates by one rank that sees the whole batch at once."""
    worlds[1].broadcast(Room.make, policy(tiny, LEARNER.model_copy(update={"token_budget": 10**6})))
    stats = [update(worlds[1], batch) for _ in range(2)]
    return stats, parameters(worlds[1], tmp_path_factory.mktemp("whole") / "end")


@pytest.mark.parametrize("budget", [10**6, 100, 8])
@pytest.mark.parametrize("world", WORLDS)
def test_a_policy_update_does_not_depend_on_how_the_batch_was_split(
    worlds: dict[int, Any], world: int, budget: int, batch: Batch, whole: Any, tiny: str, tmp_path: Path
) -> None:
    # Six prompts on four ranks are shares of 2, 2, 1 and 1: the ranks have unequal numbers of tokens and micro-batches.
    group = worlds[world]
    group.broadcast(Room.make, policy(tiny, LEARNER.model_copy(update={"token_budget": budget})))
    start = parameters(group, tmp_path / "start")
    found = [update(group, batch) for _ in range(2)]
    stats, end = whole
    for one, expected in zip(found, stats, strict=True):
        assert figures(one) == pytest.approx(figures(expected), rel=LOSS, abs=LOSS)
    assert largest_move(end, start) > LEARNER.learning_rate
    assert largest_move(parameters(group, tmp_path / "end"), end) < MOVED * LEARNER.learning_rate


COMPARISONS = [
    Comparisons("Name a fruit.", ("Apple.", "I would rather not say."), (Judged(0, 1, 1.0),)),
    Comparisons("Name a tool that every household has somewhere.", ("No.", "A hammer."), (Judged(1, 0, 0.8, 0.5),)),
    Comparisons(
        "Greet me.",
        ("Hello, how good to see you here today!", "Go.", "Hello."),
        (Judged(0, 1, 0.7), Judged(2, 1, 0.9, 0.5), Judged(0, 2, 0.6)),
    ),
    Comparisons("Count.", ("1 2 3", "banana"), (Judged(0, 1, 0.95, 2.0),)),
    Comparisons("Why?", ("Because it was asked for.", "Why not?"), (Judged(0, 1, 0.6),)),
]


def test_a_reward_model_update_does_not_depend_on_how_the_batch_was_split(
    worlds: dict[int, Any], tiny: str, tmp_path: Path
) -> None:
    ends: list[tuple[list[tuple[float, float]], dict[str, Tensor]]] = []
    for world, budget in ((1, 10**6), (1, 8), (2, 10**6), (2, 100), (4, 8)):
        settings = LEARNER.model_copy(update={"token_budget": budget})
        worlds[world].broadcast(Room.make, partial(RewardLearner, tiny, 128, COMPARISONS, settings))
        # The head starts at 0 and passes nothing down: from the second update on the body moves too.
        stats = [worlds[world].scatter(Room.update, [3, 0, 4, 1, 2]).get()[0] for _ in range(3)]
        ends.append((stats, parameters(worlds[world], tmp_path / f"{world}-{budget}")))
    (expected, end), *others = ends
    # -ln ½ for any label: at the start all rewards are 0
    assert expected[0][0] == pytest.approx(0.693147, abs=1e-6)
    assert expected[2][0] < expected[1][0] < expected[0][0]
    for found, other_end in others:
        assert sum(found, ()) == pytest.approx(sum(expected, ()), rel=LOSS, abs=LOSS)
        assert largest_move(other_end, end) < MOVED * LEARNER.learning_rate


# --- the optimizer is AdamW -------------------------------------------------------------------------------------------


def test_an_update_is_clipped_adamw_with_warm_up(
    worlds: dict[int, Any], batch: Batch, tiny: str, tmp_path: Path
) -> None:
    settings = LEARNER.model_copy(update={"warmup_steps": 3, "weight_decay": 0.1, "max_grad_norm": 0.05})
    worlds[2].broadcast(Room.make, policy(tiny, settings))
    stats = [update(worlds[2], batch) for _ in range(2)]
    assert all(one.grad_norm > 2 * settings.max_grad_norm for one in stats)

    model = plain_model(tiny)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    for done in range(2):
        # Three warm-up updates: a quarter of the rate, two quarters, ...
        optimizer.param_groups[0]["lr"] = 1e-3 * (done + 1) / 4
        optimizer.zero_grad()
        loss = hand_written_loss(model, batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        optimizer.step()
        assert stats[done].loss == pytest.approx(loss.item(), abs=LOSS)
        assert stats[done].grad_norm == pytest.approx(float(norm), rel=1e-4)
    expected = {f"model.{name}": p.detach() for name, p in model.named_parameters()}
    assert largest_move(parameters(worlds[2], tmp_path / "end"), expected) < MOVED * 1e-3


def hand_written_loss(model: Any, batch: Batch) -> Tensor:
    """Sequence by sequence, without padding: PPO's surrogate over the number of tokens that have an advantage."""
    total, count = torch.zeros(()), 0
    for group, old, credit in zip(batch["groups"], batch["old"], batch["advantages"], strict=True):
        for rollout, before, advantage in zip(group, old, credit, strict=True):
            if advantage is None:
                continue
            prompt, response = rollout.prompt_tokens, rollout.tokens
            logits = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 : -1]
            logp = logits.log_softmax(-1)[torch.arange(len(response)), torch.tensor(response)]
            ratio, a = (logp - torch.tensor(before)).exp(), torch.tensor(advantage)
            weight = (torch.tensor(before) - torch.tensor(rollout.logprobs)).exp()
            total = total - (weight * torch.minimum(ratio * a, ratio.clamp(0.8, 1.2) * a)).sum()
            count += len(response)
    return total / count


# --- unequal shares ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("world", "prompts"), [(2, 1), (4, 3)])
def test_a_rank_without_data_does_what_the_others_need(
    worlds: dict[int, Any], world: int, prompts: int, batch: Batch, tiny: str, tmp_path: Path
) -> None:
    ends: list[tuple[list[list[float]], dict[str, Tensor]]] = []
    for ranks in (1, world):
        worlds[ranks].broadcast(Room.make, policy(tiny))
        found = [figures(update(worlds[ranks], batch, prompts)) for _ in range(2)]
        ends.append((found, parameters(worlds[ranks], tmp_path / str(ranks))))
    (expected, end), (found, other_end) = ends
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=LOSS, abs=LOSS)
    assert largest_move(other_end, end) < MOVED * LEARNER.learning_rate


TEXTS = (
    "The better response answers what was asked.",
    "Which response is better?",
    "",
    "A short note to the neighbour.",
)


@pytest.mark.parametrize(("world", "budget"), [(2, 10**6), (2, 8), (4, 100)])
def test_texts_that_are_mixed_in_do_not_depend_on_how_they_were_split(
    worlds: dict[int, Any], world: int, budget: int, batch: Batch, tiny: str, tmp_path: Path
) -> None:
    # Of four texts on four ranks one has nothing; with three prompts a rank has no completions either.
    mix = Pretraining(TEXTS, 16, 0.5)
    ends: list[tuple[list[list[float]], dict[str, Tensor]]] = []
    for ranks, tokens in ((1, 10**6), (world, budget)):
        worlds[ranks].broadcast(Room.make, policy(tiny, LEARNER.model_copy(update={"token_budget": tokens})))
        found = [figures(update(worlds[ranks], batch, 3, mix)) for _ in range(2)]
        ends.append((found, parameters(worlds[ranks], tmp_path / str(ranks))))
    (expected, end), (found, other_end) = ends
    for one, other in zip(expected, found, strict=True):
        assert other == pytest.approx(one, rel=LOSS, abs=LOSS)
    assert largest_move(other_end, end) < MOVED * LEARNER.learning_rate


# --- checkpoints ------------------------------------------------------------------------------------------------------


def test_a_checkpoint_of_another_number_of_ranks_is_refused(worlds: dict[int, Any], tiny: str, tmp_path: Path) -> None:
    for saves, loads in ((2, 1), (1, 2)):
        worlds[saves].broadcast(Room.make, policy(tiny))
        parameters(worlds[saves], tmp_path / f"of-{saves}")
        worlds[loads].broadcast(Room.make, policy(tiny))
        with pytest.raises(ConfigError, match=f"of-{saves}: was not written by {loads} ranks; resume with the same"):
            worlds[loads].broadcast(Room.load, tmp_path / f"of-{saves}")


# --- what cannot be learned from --------------------------------------------------------------------------------------


@pytest.mark.parametrize("world", WORLDS)
def test_an_update_of_nothing_is_refused_by_all_ranks(
    worlds: dict[int, Any], world: int, batch: Batch, tiny: str
) -> None:
    group = worlds[world]
    group.broadcast(Room.make, policy(tiny))
    message = "^learner: an update has nothing to learn from; give it items that have a reward or a weight$"
    with pytest.raises(ConfigError, match=message):
        update(group, {**batch, "advantages": [[None, None]] * 6})
    # Nobody is left waiting in a collective: the next update is answered.
    assert update(group, batch).ratio == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_loss_that_is_not_finite_ends_the_run_and_leaves_the_weights(
    worlds: dict[int, Any], world: int, stage: int, batch: Batch, tiny: str, tmp_path: Path
) -> None:
    group = worlds[world]
    group.broadcast(Room.make, policy(tiny, LEARNER.model_copy(update={"zero_stage": stage})))
    start = parameters(group, tmp_path / "start")
    advantages = [list(credit) for credit in batch["advantages"]]
    advantages[5][1] = advantages[5][1] * float("nan")
    with pytest.raises(ActorDied, match=r"loss nan with gradient norm .*: lower learning_rate, or look at the data"):
        update(group, {**batch, "advantages": advantages})
    assert largest_move(parameters(group, tmp_path / "end"), start) == 0
