from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from actors.critic import Critic
from actors.forward import Floats
from tests.actors.examples import LEARNER, alone, flat, plain_model, random_floats, random_rollouts
from truing.config.roles import Learner
from truing.errors import ActorDied

GROUPS = random_rollouts(6)


def critic(folder: str, settings: Learner = LEARNER) -> Critic:
    return Critic(folder, settings, alone())


def update(learner: Critic, old: Any, targets: Any, clip: float = 1e9) -> float:
    (loss,) = learner.update(GROUPS, old, targets, [0] * len(GROUPS), minibatches=1, clip=clip)
    return loss


def constant(value: float) -> list[list[Floats]]:
    return [[np.full(len(r.tokens), value, np.float32) for r in group] for group in GROUPS]


def saved(learner: Critic, folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    folder.mkdir()
    learner.save(folder)
    return load_file(folder / "parameters.safetensors")


def test_there_is_a_value_for_each_response_token_and_at_the_start_it_is_0(tiny: str) -> None:
    values = critic(tiny).values(GROUPS)
    assert [[v.shape for v in group] for group in values] == [[(len(r.tokens),) for r in g] for g in GROUPS]
    assert all(v.dtype == np.float32 for group in values for v in group)
    assert not flat(values).any()


def test_the_first_loss_is_half_the_mean_squared_target(tiny: str) -> None:
    targets = random_floats(7, GROUPS)
    # V = 0 = V_old: ½ Σ max((0-R)², (0-R)²) / tokens
    assert update(critic(tiny), constant(0), targets, clip=0.2) == pytest.approx(
        (flat(targets) ** 2).mean() / 2, rel=1e-5
    )


def test_a_value_is_read_from_the_state_before_its_token(tiny: str, tmp_path: Path) -> None:
    learner = critic(tiny)
    update(learner, constant(0), random_floats(7, GROUPS))
    update(learner, constant(0), random_floats(7, GROUPS))
    values = learner.values(GROUPS)
    assert flat(values).std() > 0
    tensors = saved(learner, tmp_path / "critic")
    model = plain_model(tiny)
    body = {name.removeprefix("body."): tensor for name, tensor in tensors.items() if name.startswith("body.")}
    model.model.load_state_dict(body)
    for rollout, found in zip(chain(*GROUPS), chain(*values), strict=True):
        prompt = rollout.prompt_tokens
        with torch.no_grad():
            hidden = model.model(torch.tensor([prompt + rollout.tokens])).last_hidden_state[0]
        # Tokens t.. of the response are chosen in the states that the tokens before them left.
        expected = (hidden @ tensors["head.weight"][0])[len(prompt) - 1 : -1]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_values_learn_their_targets(tiny: str) -> None:
    learner = critic(tiny, LEARNER.model_copy(update={"learning_rate": 1e-2, "max_grad_norm": 1e9}))
    targets = [[np.full(len(r.tokens), 1.0 if i % 2 else -1.0, np.float32) for r in g] for i, g in enumerate(GROUPS)]
    losses = [update(learner, constant(0), targets) for _ in range(40)]
    # ½·1² at the start
    assert losses[0] == pytest.approx(0.5)
    assert losses[-1] < 0.02
    for group, wanted in zip(learner.values(GROUPS), targets, strict=True):
        assert all(np.sign(v).tolist() == w.tolist() for v, w in zip(group, wanted, strict=True))


def test_the_clip_holds_values_near_the_old_ones(tiny: str) -> None:
    # V = 0 and V_old = 1, clip ½: max((0-2)², (½-2)²)/2 = 2. V_old = -3, clip ½: max((0-2)², (-2½-2)²)/2 = 10.125
    assert update(critic(tiny), constant(1), constant(2), clip=0.5) == pytest.approx(2)
    assert update(critic(tiny), constant(-3), constant(2), clip=0.5) == pytest.approx(10.125)


def test_a_target_of_none_leaves_the_completion_out(tiny: str, tmp_path: Path) -> None:
    targets: list[list[Floats | None]] = [list(group) for group in random_floats(7, GROUPS)]
    targets[0][0] = targets[3][1] = None
    kept = [(0, [1]), (1, [0, 1]), (2, [0, 1]), (3, [0])]
    groups, old, wanted = (
        [[column[i][j] for j in some] for i, some in kept] for column in (GROUPS, constant(0.1), targets)
    )
    without, really_gone = critic(tiny), critic(tiny)
    for _ in range(2):
        loss = update(without, constant(0.1), targets)
        assert really_gone.update(groups, old, wanted, [0] * 4, minibatches=1, clip=1e9) == [loss]
    some, others = saved(without, tmp_path / "a"), saved(really_gone, tmp_path / "b")
    assert all(torch.equal(some[name], others[name]) for name in some)


def test_a_target_that_is_not_finite_counts_where_it_counts_and_nowhere_else(tiny: str) -> None:
    old: list[list[Floats]] = constant(0.1)
    old[0][0] = old[0][0] * np.float32(np.nan)
    targets: list[list[Floats | None]] = [list(group) for group in random_floats(7, GROUPS)]
    with pytest.raises(ActorDied, match="loss nan with gradient norm"):
        update(critic(tiny), old, targets)
    # Left out, what is said of it does not matter.
    targets[0][0] = None
    assert update(critic(tiny), old, targets) == update(critic(tiny), constant(0.1), targets)


def test_minibatches_are_updates_one_after_the_other(tiny: str) -> None:
    targets = random_floats(7, GROUPS)
    together, apart = critic(tiny), critic(tiny)
    found = together.update(GROUPS, constant(0), targets, [0, 1, 1, 0], minibatches=2, clip=1e9)
    for number, chosen in enumerate(((0, 3), (1, 2))):
        columns = [[column[i] for i in chosen] for column in (GROUPS, constant(0), targets)]
        assert apart.update(*columns, [0, 0], minibatches=1, clip=1e9) == [found[number]]
    np.testing.assert_array_equal(flat(together.values(GROUPS)), flat(apart.values(GROUPS)))


def test_a_checkpoint_takes_a_critic_up_where_it_was(tiny: str, other_tiny: str, tmp_path: Path) -> None:
    targets = random_floats(7, GROUPS)
    first = critic(tiny)
    update(first, constant(0), targets)
    saved(first, tmp_path / "critic")
    second = critic(other_tiny)
    second.load(tmp_path / "critic")
    for _ in range(2):
        assert update(first, constant(0), targets) == update(second, constant(0), targets)
    np.testing.assert_array_equal(flat(first.values(GROUPS)), flat(second.values(GROUPS)))
