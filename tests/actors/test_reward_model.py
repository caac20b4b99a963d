import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.networks import load_causal, load_reward_model
from actors.reward_model import RewardLearner, RewardScorer
from tests.actors.examples import LEARNER, SCORER, alone, plain_model
from truing.config.roles import Learner, Lora
from truing.data.answers import answer_tree
from truing.data.chat import load_tokenizer
from truing.data.judged import Comparisons, Judged
from truing.errors import ConfigError

CONTEXT = 128
# Whoever says "yes" is right.
TOY = [
    Comparisons(question, (f"Yes, {rest}", f"No, {rest}"), (Judged(0, 1, 1.0),))
    for question, rest in (
        ("Is it so?", "it is."),
        ("Do wheels roll?", "they do so."),
        ("May I?", "you may, I think."),
        ("Is water wet?", "very."),
    )
]
ASKED = [(one.prompt, one.responses) for one in TOY]


def learner(folder: str, comparisons: list[Comparisons], settings: Learner = LEARNER) -> RewardLearner:
    return RewardLearner(folder, CONTEXT, comparisons, settings, alone())


# --- training ---------------------------------------------------------------------------------------------------------


def test_before_training_every_response_is_worth_the_same(tiny: str) -> None:
    assert learner(tiny, TOY).rewards([0, 1, 2, 3]) == [[0.0, 0.0]] * 4


def test_the_loss_is_the_weighted_mean_of_soft_cross_entropies_with_margins(tiny: str) -> None:
    labels = zip((1, 0.6, 0.5, 0.9), (1, 2, 0.5, 1), (0, 0, 0, 0.3), strict=True)
    pairs = [replace(one, judged=(Judged(0, 1, *label),)) for one, label in zip(TOY, labels, strict=True)]
    model = learner(tiny, pairs)
    for _ in range(2):
        model.update([0, 1, 2, 3])
    gaps = [better - worse for better, worse in model.rewards([3, 1, 2])]
    # -[p ln σ(g - m) + (1-p) ln σ(-g - m)], ln σ(g) = -ln(1 + e^-g)
    losses = [
        p * math.log1p(math.exp(m - g)) + (1 - p) * math.log1p(math.exp(m + g))
        for g, p, m in zip(gaps, (0.9, 0.6, 0.5), (0.3, 0, 0), strict=True)
    ]
    expected = (1 * losses[0] + 2 * losses[1] + 0.5 * losses[2]) / 3.5
    ((loss, norm),) = model.update([3, 1, 2])
    assert loss == pytest.approx(expected, abs=1e-5)
    assert norm > 0


def test_weights_below_one_are_weights_too(tiny: str) -> None:
    pairs = [replace(one, judged=(Judged(0, 1, 1.0, weight=0.1),)) for one in TOY]
    # All gaps are 0: four times 0.1·ln 2, over 0.4.
    ((loss, _),) = learner(tiny, pairs).update([0, 1, 2, 3])
    assert loss == pytest.approx(math.log(2), abs=1e-6)


def test_it_learns_to_tell_the_pairs_apart(tiny: str) -> None:
    model = learner(tiny, TOY, LEARNER.model_copy(update={"learning_rate": 3e-3}))
    losses = [model.update([0, 1, 2, 3])[0][0] for _ in range(12)]
    # All rewards start at 0: ln 2
    assert losses[0] == pytest.approx(math.log(2))
    assert losses[-1] < 0.1
    assert all(better > worse for better, worse in model.rewards([0, 1, 2, 3]))


THREE = Comparisons(
    "Name a fruit.",
    ("Apple.", "I would rather not say.", "A pear, or a plum."),
    (Judged(0, 1, 0.9, 2.0), Judged(2, 1, 0.7, 0.5, 0.4), Judged(2, 0, 0.6)),
)


def test_comparisons_of_one_prompt_are_worth_what_separate_pairs_are(tiny: str) -> None:
    apart = [
        Comparisons(THREE.prompt, (THREE.responses[one.better], THREE.responses[one.worse]), (replace(one, better=0, worse=1),))
        for one in THREE.judged
    ]  # fmt: skip
    together, separate = learner(tiny, [TOY[0], THREE]), learner(tiny, [TOY[0], *apart])
    for _ in range(3):
        ((loss, norm),) = together.update([0, 1])
        assert separate.update([0, 1, 2, 3])[0] == (pytest.approx(loss, abs=1e-5), pytest.approx(norm, rel=1e-4))
    (a, b, c) = together.rewards([1])[0]
    assert [r for pair in separate.rewards([1, 2, 3]) for r in pair] == pytest.approx([a, b, c, b, c, a], abs=1e-4)


def test_rewards_keep_the_order_of_the_positions_asked_for(tiny: str) -> None:
    model = learner(tiny, [*TOY, THREE], LEARNER.model_copy(update={"token_budget": 64}))
    for _ in range(2):
        model.update([0, 1, 2, 3, 4])
    found = model.rewards([0, 1, 2, 3, 4])
    assert [len(one) for one in found] == [2, 2, 2, 2, 3]
    assert len({number for one in found for number in one}) == 11
    for some, i in zip(model.rewards([4, 0, 2, 4]), (4, 0, 2, 4), strict=True):
        assert some == pytest.approx(found[i], abs=1e-6)
    assert model.rewards([]) == []


def test_a_checkpoint_takes_a_learner_up_where_it_was(tiny: str, other_tiny: str, tmp_path: Path) -> None:
    first = learner(tiny, TOY)
    first.update([0, 1])
    first.save(tmp_path)
    second = learner(other_tiny, TOY)
    second.load(tmp_path)
    for positions in ([2, 3], [0, 3]):
        assert first.update(positions) == second.update(positions)
    assert first.rewards([0, 1, 2, 3]) == second.rewards([0, 1, 2, 3])


def test_adapters_are_merged_in_what_the_scorer_gets(tiny: str, tmp_path: Path) -> None:
    model = learner(tiny, TOY, LEARNER.model_copy(update={"lora": Lora(rank=4), "learning_rate": 1e-2}))
    for _ in range(4):
        model.update([0, 1, 2, 3])
    model.export(tmp_path, 0.0, 1.0)
    found = RewardScorer(str(tmp_path), CONTEXT, SCORER, "float32").raw(ASKED)
    for scored, expected in zip(found, model.rewards([0, 1, 2, 3]), strict=True):
        assert scored == pytest.approx(expected, abs=1e-4)
    assert np.std(found) > 0.1
    # The body that it comes with has been trained, through its adapters.
    trained, start = (plain_model(folder).get_parameter(UP) for folder in (str(tmp_path), tiny))
    assert not torch.equal(trained, start)


UP = "model.layers.1.mlp.up_proj.weight"


# --- the scorer -------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(tiny: str, tmp_path: Path) -> tuple[RewardLearner, str]:
    """A learner after a few updates, and its folder: mean 0.5, deviation 2."""
    model = learner(tiny, TOY)
    for _ in range(4):
        model.update([0, 1, 2, 3])
    model.export(tmp_path, 0.5, 2.0)
    return model, str(tmp_path)


def test_the_scorer_gives_the_learners_rewards_scaled(trained: tuple[RewardLearner, str]) -> None:
    model, folder = trained
    rewards = model.rewards([0, 1, 2, 3])
    for budget in (10**6, 40):
        scorer = RewardScorer(folder, CONTEXT, SCORER.model_copy(update={"token_budget": budget}), "float32")
        for scores, raw, expected in zip(scorer.score(ASKED), scorer.raw(ASKED), rewards, strict=True):
            assert raw == pytest.approx(expected, abs=1e-5)
            # Minus the mean, over the deviation.
            assert scores == pytest.approx([(one - 0.5) / 2 for one in expected], abs=1e-5)
    assert scorer.score([]) == []


def test_the_reward_is_the_head_on_the_last_token(trained: tuple[RewardLearner, str]) -> None:
    _, folder = trained
    answers = ["Yes, it is.", "No."]
    tree = answer_tree(load_tokenizer(folder), "Is it so?", answers, CONTEXT)
    head = load_file(Path(folder) / "scalar_head.safetensors")["weight"][0]
    model = plain_model(folder).model
    with torch.no_grad():
        expected = [
            float(model(torch.tensor([tree.prompt + one])).last_hidden_state[0, -1] @ head) for one in tree.responses
        ]
    (found,) = RewardScorer(folder, CONTEXT, SCORER, "float32").raw([("Is it so?", answers)])
    assert found == pytest.approx(expected, abs=1e-5)
    assert found[0] != pytest.approx(found[1], abs=1e-3)


def test_a_scorer_of_another_scale(trained: tuple[RewardLearner, str]) -> None:
    _, folder = trained
    ((before,),) = RewardScorer(folder, CONTEXT, SCORER, "float32").score([("Is it so?", ["Yes."])])
    (Path(folder) / "scale.json").write_text(json.dumps({"mean": -1.5, "deviation": 1.0}))
    ((after,),) = RewardScorer(folder, CONTEXT, SCORER, "float32").score([("Is it so?", ["Yes."])])
    # raw = 2 before + 0.5, and after = raw + 1.5
    assert after == pytest.approx(2 * before + 2, abs=1e-5)


# --- folders that are not what they should be -------------------------------------------------------------------------


def test_a_plain_model_is_no_reward_model(tiny: str) -> None:
    message = f"^reward model {tiny}: has no scalar_head.safetensors; give the folder that `truing train` wrote$"
    with pytest.raises(ConfigError, match=message):
        RewardScorer(tiny, CONTEXT, SCORER, "float32")


def test_a_reward_model_of_which_a_part_is_missing(tmp_path: Path) -> None:
    save_file({"weight": torch.zeros(1, 128)}, tmp_path / "scalar_head.safetensors")
    with pytest.raises(ConfigError, match=f"^reward model {tmp_path}: has no scale.json; give the folder that"):
        load_reward_model(str(tmp_path))
    (tmp_path / "scale.json").write_text('{"mean": 0, "deviation": 1}')
    with pytest.raises(ConfigError, match=f"^model {tmp_path}: is not a causal language model that can be loaded"):
        load_reward_model(str(tmp_path))


@pytest.mark.parametrize("content", [{}, {"config.json": "{}"}, {"config.json": "no JSON"}, {"notes.txt": "hello"}])
def test_a_folder_that_is_no_model(tmp_path: Path, content: dict[str, str]) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_causal(str(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"model {tmp_path}: is not a causal language model that can be loaded (")
    assert "\n" not in message


def test_a_model_without_its_weights(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((Path(tiny) / "config.json").read_text())
    with pytest.raises(ConfigError, match=f"^model {tmp_path}: is not a causal language model that can be loaded"):
        load_causal(str(tmp_path))


def test_a_hub_name_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^model nobody/no-such-model: is not a causal language model"):
        load_causal("nobody/no-such-model")
