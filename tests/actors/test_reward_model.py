import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from actors.networks import load_causal, load_reward_model
from actors.reward_model import Comparison, RewardLearner, RewardScorer, scored_tokens
from tests.actors.examples import LEARNER, SCORER, alone, plain_model
from truing.config.roles import Learner
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.errors import ConfigError

CONTEXT = 128
# Whoever says "yes" is right.
TOY = [
    Comparison(question, f"Yes, {rest}", f"No, {rest}", 1.0, 1.0)
    for question, rest in (
        ("Is it so?", "it is."),
        ("Do wheels roll?", "they do so."),
        ("May I?", "you may, I think."),
        ("Is water wet?", "very."),
    )
]


def learner(folder: str, comparisons: list[Comparison], settings: Learner = LEARNER) -> RewardLearner:
    return RewardLearner(folder, CONTEXT, comparisons, settings, alone())


# --- what a reward model reads ----------------------------------------------------------------------------------------


def test_it_reads_the_chat_prompt_the_response_and_one_end(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    found = scored_tokens(tokenizer, "Is it so?", "Yes.", CONTEXT)
    assert found.prompt == prompt_tokens(tokenizer, "Is it so?")
    text = "".join(tokenizer.decode([token]) for token in found.prompt + found.response)
    assert text == "<|begin|><|im_start|>user\nIs it so?<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>"


def test_a_long_response_is_cut_at_its_end_and_a_long_prompt_at_its_front(tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    question, answer = "q" * 50 + "?", "a" * 50
    whole = prompt_tokens(tokenizer, question)
    found = scored_tokens(tokenizer, question, answer, 20)
    # 10 tokens of the response and its end leave 9 of 20 for the prompt.
    assert found.response == [*tokenizer.encode(answer, add_special_tokens=False)[:10], tokenizer.eos_token_id]
    assert found.prompt == whole[-9:]
    assert len(found) == 20


# --- training ---------------------------------------------------------------------------------------------------------


def test_before_training_every_response_is_worth_the_same(tiny: str) -> None:
    assert learner(tiny, TOY).rewards([0, 1, 2, 3]) == [(0.0, 0.0)] * 4


def test_the_loss_is_the_weighted_mean_of_soft_cross_entropies(tiny: str) -> None:
    pairs = [
        Comparison(c.prompt, c.chosen, c.rejected, p, w)
        for c, p, w in zip(TOY, (1, 0.6, 0.2, 0.9), (1, 2, 0.5, 1), strict=True)
    ]
    model = learner(tiny, pairs)
    for _ in range(2):
        model.update([0, 1, 2, 3])
    gaps = [chosen - rejected for chosen, rejected in model.rewards([3, 1, 2])]
    # -[p ln σ(g) + (1-p) ln σ(-g)], ln σ(g) = -ln(1 + e^-g)
    losses = [
        p * math.log1p(math.exp(-g)) + (1 - p) * math.log1p(math.exp(g))
        for g, p in zip(gaps, (0.9, 0.6, 0.2), strict=True)
    ]
    expected = (1 * losses[0] + 2 * losses[1] + 0.5 * losses[2]) / 3.5
    ((loss, norm),) = model.update([3, 1, 2])
    assert loss == pytest.approx(expected, abs=1e-5)
    assert norm > 0


def test_it_learns_to_tell_the_pairs_apart(tiny: str) -> None:
    model = learner(tiny, TOY, LEARNER.model_copy(update={"learning_rate": 3e-3}))
    losses = [model.update([0, 1, 2, 3])[0][0] for _ in range(12)]
    # All rewards start at 0: ln 2
    assert losses[0] == pytest.approx(math.log(2))
    assert losses[-1] < 0.1
    assert all(chosen > rejected for chosen, rejected in model.rewards([0, 1, 2, 3]))


def test_rewards_keep_the_order_of_the_positions_asked_for(tiny: str) -> None:
    model = learner(tiny, TOY, LEARNER.model_copy(update={"token_budget": 64}))
    for _ in range(2):
        model.update([0, 1, 2, 3])
    found = model.rewards([0, 1, 2, 3])
    assert len({number for pair in found for number in pair}) == 8
    assert model.rewards([2, 0, 2]) == [pytest.approx(found[i], abs=1e-6) for i in (2, 0, 2)]


def test_a_checkpoint_takes_a_learner_up_where_it_was(tiny: str, other_tiny: str, tmp_path: Path) -> None:
    first = learner(tiny, TOY)
    first.update([0, 1])
    first.save(tmp_path)
    second = learner(other_tiny, TOY)
    second.load(tmp_path)
    for positions in ([2, 3], [0, 3]):
        assert first.update(positions) == second.update(positions)
    assert first.rewards([0, 1, 2, 3]) == second.rewards([0, 1, 2, 3])


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
    asked = [(c.prompt, answer) for c in TOY for answer in (c.chosen, c.rejected)]
    # Minus the mean, over the deviation.
    expected = [(raw - 0.5) / 2 for pair in model.rewards([0, 1, 2, 3]) for raw in pair]
    for budget in (10**6, 40):
        scorer = RewardScorer(folder, CONTEXT, SCORER.model_copy(update={"token_budget": budget}), "float32")
        assert scorer.score(asked) == pytest.approx(expected, abs=1e-5)
    assert scorer.score([]) == []


def test_the_reward_is_the_head_on_the_last_token(trained: tuple[RewardLearner, str]) -> None:
    _, folder = trained
    tokens = scored_tokens(load_tokenizer(folder), "Is it so?", "Yes, it is.", CONTEXT)
    with torch.no_grad():
        hidden = plain_model(folder).model(torch.tensor([tokens.prompt + tokens.response])).last_hidden_state[0, -1]
    raw = float(hidden @ load_file(Path(folder) / "scalar_head.safetensors")["weight"][0])
    scorer = RewardScorer(folder, CONTEXT, SCORER, "float32")
    assert scorer.score([("Is it so?", "Yes, it is.")]) == pytest.approx([(raw - 0.5) / 2], abs=1e-5)


def test_a_scorer_of_another_scale(trained: tuple[RewardLearner, str]) -> None:
    _, folder = trained
    (before,) = RewardScorer(folder, CONTEXT, SCORER, "float32").score([("Is it so?", "Yes.")])
    (Path(folder) / "scale.json").write_text(json.dumps({"mean": -1.5, "deviation": 1.0}))
    (after,) = RewardScorer(folder, CONTEXT, SCORER, "float32").score([("Is it so?", "Yes.")])
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
