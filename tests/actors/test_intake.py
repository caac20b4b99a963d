"""Adapters alone, from a real learner to a real engine: what it answers with them, and whose keys and values it uses."""

import pytest
import torch
from transformers import PreTrainedModel

from actors.adapters import merged, offered_width
from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine
from actors.writing import Plan, fresh
from tests.actors.examples import LEARNER, alone, give, plain_logprobs, plain_model
from truing.config.roles import Engine, Lora, Model
from truing.config.stages import Sampling
from truing.errors import ConfigError
from truing.records import Prompt, Rollout

LORA = Lora(rank=4, alpha=64, push="adapter")
LONG = "The weekend note, again and again. " * 4
PROMPTS = [Prompt("long", LONG, "any", "id"), Prompt("why", "Why?", "any", "id")]
PROBE = Probe([1, 30, 40, 50], [60, 70, 80, 90, 100])
CLOSE = 1e-3
"""Nats, in float32."""


@pytest.fixture(scope="module")
def engine(tiny: str) -> RolloutEngine:
    settings = Engine(cpus=1, dtype="float32", max_sequences=8)
    return RolloutEngine(tiny, Model(path=tiny, context=256), settings, Sampling(max_tokens=8), PROMPTS, LORA)


@pytest.fixture
def learner(tiny: str) -> Policy:
    return Policy(tiny, LEARNER.model_copy(update={"lora": LORA}), 1.0, alone())


def taught(learner: Policy, seed: int) -> None:
    """As an update would, give B something to say. Powers of 2: bfloat16 holds them as they are."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in learner.network.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(2.0 ** -torch.randint(3, 6, parameter.shape, generator=generator))
            if "lora_A" in name:
                parameter.copy_(parameter.to(torch.bfloat16).float())


def plain(tiny: str, learner: Policy) -> PreTrainedModel:
    """The merged model, in transformers."""
    model = plain_model(tiny)
    model.load_state_dict({name: part.clone() for name, part in merged(learner.network.model).items()}, strict=False)
    return model


def push(learner: Policy, engine: RolloutEngine, version: int) -> int:
    names = learner.buckets(20_000)
    give(engine, [learner.weights(part) for part in names], version)
    return sum(array.nbytes for part in names for array in learner.weights(part)[0].values())


def gap(engine: RolloutEngine, model: PreTrainedModel) -> float:
    expected = plain_logprobs(model, PROBE.prompt, PROBE.response)
    return max(abs(found - right) for found, right in zip(engine.probe(PROBE), expected, strict=True))


def written(engine: RolloutEngine, step: int) -> list[Rollout]:
    plan = Plan(2, 0, slice_size=9)
    return [
        one for handed in engine.write(fresh(["long", "why"], 2), plan, step=step) for group in handed for one in group
    ]


def largest_gap(rollouts: list[Rollout], model: PreTrainedModel) -> float:
    return max(
        abs(found - right)
        for one in rollouts
        for found, right in zip(one.logprobs, plain_logprobs(model, one.prompt_tokens, one.tokens), strict=True)
    )


def test_adapters_are_pushed_and_used_version_by_version(engine: RolloutEngine, learner: Policy, tiny: str) -> None:
    start = plain_model(tiny)
    assert gap(engine, start) < CLOSE
    # B = 0: the first version is the start policy.
    moved = push(learner, engine, 0)
    assert gap(engine, start) < CLOSE
    # Rank 4: each of the 2 layers' 7 matrices [m, n] has 4(m + n) numbers of 2 bytes.
    shapes = [
        m.weight.shape for name, m in start.named_modules() if isinstance(m, torch.nn.Linear) and name != "lm_head"
    ]
    assert moved == sum(2 * 4 * (m + n) for m, n in shapes)
    for version, seed in ((1, 5), (2, 6)):
        taught(learner, seed)
        model = plain(tiny, learner)
        # The prompt's keys and values are in the prefix cache, from the version before.
        push(learner, engine, version)
        assert gap(engine, start) > 0.05
        assert gap(engine, model) < CLOSE
        rollouts = written(engine, step=version)
        assert {v for one in rollouts for v in one.versions} == {version}
        assert largest_gap(rollouts, model) < CLOSE


def test_the_learner_and_the_engine_agree_on_the_probe(engine: RolloutEngine, learner: Policy) -> None:
    taught(learner, 7)
    push(learner, engine, 3)
    assert engine.probe(PROBE) == pytest.approx(learner.probe(PROBE), abs=CLOSE)


def test_an_adapter_has_the_least_room_that_it_fits_in() -> None:
    assert [offered_width(rank) for rank in (1, 2, 8, 9, 300, 512)] == [1, 8, 8, 16, 320, 512]
    with pytest.raises(ConfigError, match=r"learner.lora.rank: 600 is more than an engine's adapters may have \(512\)"):
        offered_width(600)
