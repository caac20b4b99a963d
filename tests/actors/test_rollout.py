"""One real vLLM engine in this process, against transformers: what it samples, what it says of it, whose weights it has."""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from actors.gauges import engine_readings
from actors.policy import Policy
from actors.rollout import Probe, RolloutEngine, Weights, checksum
from actors.writing import Fresh, Group, Plan, fresh
from tests.actors.examples import LEARNER, all_weights, alone, give, plain_logprobs, plain_model
from truing.config.roles import Engine, Model
from truing.config.stages import Sampling
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.errors import ActorDied, ConfigError
from truing.records import Failed, Prompt, Rollout

NEW = 12
CONTEXT = 256
TEMPERATURE = 0.8
LONG = "The weekend note, again and again. " * 4
"""More than one block of the KV cache: its beginning is served from the prefix cache when it is asked again."""
TEXTS = {"short": "Hello.", "note": "Please write a short note.", "long": LONG, "why": "Why?", "too-long": "no! " * 120}
PROMPTS = [Prompt(key, text, "helpful", "id") for key, text in TEXTS.items()]
ASKED = ["short", "note", "long", "why"]
PROBE = Probe([1, 30, 40, 50], [60, 70, 80, 90, 100])
CLOSE = 1e-3
"""Nats: the engine's float32 kernels against transformers'."""


@pytest.fixture(scope="module")
def engine(tiny: str) -> RolloutEngine:
    # Fewer places than the tests ask completions for: some wait for others to finish.
    settings = Engine(cpus=1, dtype="float32", max_sequences=16)
    sampling = Sampling(temperature=TEMPERATURE, max_tokens=NEW)
    return RolloutEngine(tiny, Model(path=tiny, context=CONTEXT), settings, sampling, PROMPTS)


@pytest.fixture(scope="module")
def model(tiny: str) -> PreTrainedModel:
    return plain_model(tiny)


@pytest.fixture(scope="module")
def other(other_tiny: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of other weights. Their layers speak up, so that the greedy answer is no mere echo of the last token."""
    found = plain_model(other_tiny)
    with torch.no_grad():
        for layer in found.model.layers:
            # A power of 2: the weights stay what bfloat16 can hold.
            layer.self_attn.o_proj.weight *= 16
            layer.mlp.down_proj.weight *= 16
    folder = tmp_path_factory.mktemp("other")
    found.to(torch.bfloat16).save_pretrained(folder)
    load_tokenizer(other_tiny).save_pretrained(str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def other_model(other: str) -> PreTrainedModel:
    return plain_model(other)


def lists(
    engine: RolloutEngine, asked: Sequence[str | Group], *, completions: int, seed: int, step: Any, **plan: int
) -> list[list[Group]]:
    """What an engine hands out, one list after the other."""
    found = Plan(completions, seed, **{"slice_size": 100} | plan)
    begun = [Fresh(one) if isinstance(one, str) else one for one in asked]
    handed_out = list(engine.write(begun, found, step=step))
    assert tuple(map(len, handed_out)) == found.sizes(len(asked))
    return handed_out


def written(engine: RolloutEngine, asked: Sequence[str | Group], **how: Any) -> list[Group]:
    """The batch, with nothing left over."""
    return [group for handed_out in lists(engine, asked, **how) for group in handed_out]


def tokens_of(groups: list[list[Rollout]]) -> list[list[list[int]]]:
    return [[rollout.tokens for rollout in group] for group in groups]


def cut(rollout: Rollout, length: int) -> Rollout:
    """A completion as it was after so many tokens."""
    assert len(rollout.tokens) > length
    tokens, logprobs, versions = (part[:length] for part in (rollout.tokens, rollout.logprobs, rollout.versions))
    return replace(rollout, tokens=tokens, logprobs=logprobs, versions=versions, finished=False)


def largest_gap(rollouts: list[Rollout], model: PreTrainedModel) -> float:
    """Between what the engine recorded and what the model says, over all tokens."""
    gaps: list[float] = []
    for rollout in rollouts:
        expected = plain_logprobs(model, rollout.prompt_tokens, rollout.tokens, TEMPERATURE)
        gaps += [abs(found - right) for found, right in zip(rollout.logprobs, expected, strict=True)]
    return max(gaps)


# --- sampling ---------------------------------------------------------------------------------------------------------


def test_an_engine_tells_its_load(engine: RolloutEngine) -> None:
    """The real engine has what `engine_readings` looks for: the share of its key-value cache that is taken."""
    shares = [one.value for one in engine_readings(engine._engine._llm) if one.metric == "truing_kv_cache_usage"]
    assert len(shares) == 1
    assert 0 <= shares[0] <= 1


def test_a_seed_gives_its_tokens_again(engine: RolloutEngine) -> None:
    first = written(engine, ASKED, completions=3, seed=1, step=0)
    assert tokens_of(written(engine, ASKED, completions=3, seed=1, step=0)) == tokens_of(first)
    assert len({tuple(tokens) for group in tokens_of(first) for tokens in group}) == 12


def test_a_prompt_that_comes_twice_in_a_batch_is_answered_anew(engine: RolloutEngine) -> None:
    # Two completions of each: numbers 0 and 1, then 2 and 3, as four completions of one prompt have.
    twice = engine.write(fresh(["why", "why"], 2), Plan(2, 3, slice_size=9), step=0)
    found = [group for handed_out in twice for group in handed_out]
    assert tokens_of([found[0] + found[1]]) == tokens_of(written(engine, ["why"], completions=4, seed=3, step=0))
    assert len({tuple(rollout.tokens) for group in found for rollout in group}) == 4
    # Put off before they had begun, they are still four.
    unbegun = [
        [replace(rollout, tokens=[], logprobs=[], versions=[], finished=False) for rollout in group] for group in found
    ]
    assert tokens_of(written(engine, unbegun, completions=2, seed=3, step=0)) == tokens_of(found)


@pytest.mark.parametrize("other", [{"seed": 2, "step": 0}, {"seed": 1, "step": 1}, {"seed": 1, "step": "sample"}])
def test_another_seed_or_step_gives_other_tokens(engine: RolloutEngine, other: dict[str, Any]) -> None:
    first = written(engine, ASKED, completions=2, seed=1, step=0)
    second = written(engine, ASKED, completions=2, **other)
    for some, others in zip(tokens_of(first), tokens_of(second), strict=True):
        assert all(a != b for a, b in zip(some, others, strict=True))


def test_a_completion_does_not_depend_on_its_company(engine: RolloutEngine) -> None:
    together = written(engine, ASKED, completions=3, seed=5, step=2)
    # Alone, without its siblings, and in another order.
    alone_or_not = [
        engine.complete([(key, number)], seed=5, step=2)[0] for key in ASKED for number in range(3)
    ] + engine.complete([(key, number) for key in reversed(ASKED) for number in (2, 1, 0)], seed=5, step=2)[::-1]
    expected = [rollout for group in together for rollout in group] * 2
    for found, right in zip(alone_or_not, expected, strict=True):
        assert found.tokens == right.tokens
        assert found.logprobs == pytest.approx(right.logprobs, abs=1e-4)


def test_a_rollout_says_what_it_answers(engine: RolloutEngine, tiny: str) -> None:
    tokenizer = load_tokenizer(tiny)
    groups = written(engine, ASKED, completions=2, seed=3, step=0)
    assert [[r.prompt_id for r in group] for group in groups] == [[key] * 2 for key in ASKED]
    for rollout in (r for group in groups for r in group):
        assert rollout.prompt == TEXTS[rollout.prompt_id]
        assert rollout.prompt_tokens == prompt_tokens(tokenizer, rollout.prompt)
        # The engine leaves out a character of which the last bytes are missing.
        decoded = tokenizer.decode(rollout.tokens, skip_special_tokens=True).strip()
        assert decoded.startswith(rollout.text)
        assert re.fullmatch(r"[\s\ufffd]*", decoded.removeprefix(rollout.text))
        assert set(rollout.versions) == {0}


@pytest.fixture(scope="module")
def many(engine: RolloutEngine) -> list[Rollout]:
    """60 completions of each prompt."""
    return [rollout for group in written(engine, ASKED, completions=60, seed=6, step=0) for rollout in group]


def test_recorded_logprobs_are_the_models_at_the_sampling_temperature(
    many: list[Rollout], model: PreTrainedModel
) -> None:
    assert largest_gap(many[::12], model) < CLOSE


def test_finished_says_whether_it_ended_by_itself(many: list[Rollout], tiny: str) -> None:
    # 240 completions of 12 tokens, each of which is the end with a chance of about 1 in 320.
    end = load_tokenizer(tiny).eos_token_id
    assert {rollout.finished for rollout in many} == {True, False}
    for rollout in many:
        assert end not in rollout.tokens[:-1]
        assert rollout.finished == (rollout.tokens[-1] == end)
        assert rollout.finished or len(rollout.tokens) == NEW
        assert len(rollout.logprobs) == len(rollout.tokens)


def test_samples_follow_the_models_distribution(many: list[Rollout], model: PreTrainedModel) -> None:
    """Mean surprise of the first tokens against the entropies that it estimates."""
    excess, variance = 0.0, 0.0
    for i, first in enumerate(many[::60]):
        with torch.no_grad():
            logp = (model(torch.tensor([first.prompt_tokens])).logits[0, -1] / TEMPERATURE).log_softmax(-1)
        entropy = float(-(logp.exp() * logp).sum())
        variance += 60 * float((logp.exp() * (logp + entropy) ** 2).sum())
        excess += sum(-float(logp[rollout.tokens[0]]) - entropy for rollout in many[60 * i : 60 * i + 60])
    assert abs(excess) < 4 * variance**0.5
    # Neither the argmax (4 tokens) nor an even choice (whose surprise is higher): most of 320 tokens have their chance.
    assert len({rollout.tokens[0] for rollout in many}) > 100


def test_a_prompt_that_leaves_no_room_is_named_with_its_tokens(engine: RolloutEngine, tiny: str) -> None:
    length = len(prompt_tokens(load_tokenizer(tiny), TEXTS["too-long"]))
    assert length > CONTEXT
    # 256 - 12 = 244
    expected = Failed(f"prompt has {length} tokens; 244 fit beside 12 new ones")
    assert engine.unanswerable() == [("too-long", expected)]


def test_slices_come_in_the_order_in_which_they_are_done(engine: RolloutEngine) -> None:
    whole = {group[0].prompt_id: group for group in written(engine, ASKED, completions=2, seed=3, step=0)}
    # "note" has all but its last two tokens: it is done before the others, which are written from the beginning.
    begun = [cut(rollout, NEW - 2) for rollout in whole["note"]]
    first, *others, left = lists(engine, ["short", begun, "long", "why"], completions=2, seed=3, step=0, slice_size=1)
    assert [rollout.prompt_id for rollout in first[0]] == ["note"] * 2
    assert left == []
    for (group,) in others:
        assert tokens_of([group]) == tokens_of([whole[group[0].prompt_id]])
    assert {group[0].prompt_id for (group,) in others} == {"short", "long", "why"}


def test_what_is_interrupted_is_gone_on_with(
    engine: RolloutEngine, model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces, steps = engine._engine.pieces, 0

    def interrupting(*asked: Any) -> Iterator[Any]:
        nonlocal steps
        for found in pieces(*asked):
            steps += 1
            if steps == 5:
                engine.interrupt()
            yield found

    monkeypatch.setattr(engine._engine, "pieces", interrupting)
    first = written(engine, ASKED, completions=2, seed=8, step=0)
    parts = [rollout for group in first for rollout in group]
    assert {len(rollout.tokens) for rollout in parts} <= set(range(1, 6))
    assert not any(rollout.finished for rollout in parts)
    whole = [rollout for group in written(engine, first, completions=2, seed=8, step=0) for rollout in group]
    for part, rollout in zip(parts, whole, strict=True):
        assert rollout.tokens[: len(part.tokens)] == part.tokens
        assert rollout.finished or len(rollout.tokens) == NEW
        # Not the draws of the first part once more.
        assert rollout.tokens[len(part.tokens) : 2 * len(part.tokens)] != part.tokens
        assert rollout.text.startswith(part.text[: len(part.text) // 2])
    assert largest_gap(whole, model) < CLOSE
    # The rest was abandoned, not left running: the engine has nothing to do.
    assert not engine._engine._llm.llm_engine.has_unfinished_requests()


def test_nothing_asked_is_nothing_answered(engine: RolloutEngine) -> None:
    assert written(engine, [], completions=2, seed=1, step=0) == []


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def weights_of() -> Callable[[str], tuple[Weights, int]]:
    """What a learner pushes, by the folder that it started from."""
    return lambda folder: all_weights(Policy(folder, LEARNER, 1.0, alone()))


@pytest.fixture
def lent(
    engine: RolloutEngine, tiny: str, model: PreTrainedModel, weights_of: Callable[[str], tuple[Weights, int]]
) -> Iterator[RolloutEngine]:
    """The engine, to be given other weights: it gets its own back."""
    yield engine
    give(engine, [weights_of(tiny)], version=0)
    assert probe_gap(engine, model) < CLOSE


def probe_gap(engine: RolloutEngine, model: PreTrainedModel) -> float:
    expected = plain_logprobs(model, PROBE.prompt, PROBE.response)
    return max(abs(found - right) for found, right in zip(engine.probe(PROBE), expected, strict=True))


def greedy(engine: RolloutEngine, prompt: list[int]) -> list[int]:
    from vllm import SamplingParams

    (output,) = engine._engine.run([prompt], [SamplingParams(temperature=0, max_tokens=NEW, ignore_eos=True)])
    return list(output.outputs[0].token_ids)


def plain_greedy(model: PreTrainedModel, prompt: list[int]) -> list[int]:
    tokens = list(prompt)
    for _ in range(NEW):
        with torch.no_grad():
            tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[len(prompt) :]


def test_pushed_weights_are_the_ones_in_use(
    lent: RolloutEngine,
    model: PreTrainedModel,
    other_model: PreTrainedModel,
    other: str,
    weights_of: Callable[[str], tuple[Weights, int]],
) -> None:
    prompt = written(lent, ["long"], completions=1, seed=1, step=0)[0][0].prompt_tokens
    before = plain_greedy(model, prompt)
    after = plain_greedy(other_model, prompt)
    assert before != after
    assert greedy(lent, prompt) == before
    assert probe_gap(lent, model) < CLOSE
    assert probe_gap(lent, other_model) > 0.1

    learner = Policy(other, LEARNER, 1.0, alone())
    # 20 kB hold a matrix of 64·128 bfloat16 numbers and not two: the parts of a fused layer come one by one.
    names = learner.buckets(20_000)
    assert len(names) > 10
    give(lent, [learner.weights(part) for part in names], version=7)
    assert probe_gap(lent, other_model) < CLOSE
    assert probe_gap(lent, model) > 0.1
    # The prompt's keys and values are in the prefix cache, computed with the weights of before: they are not used.
    assert greedy(lent, prompt) == after
    rollouts = [r for group in written(lent, ASKED, completions=3, seed=1, step=0) for r in group]
    assert largest_gap(rollouts, other_model) < CLOSE
    assert {version for rollout in rollouts for version in rollout.versions} == {7}


def test_each_token_is_of_the_version_that_it_says(
    lent: RolloutEngine,
    model: PreTrainedModel,
    other_model: PreTrainedModel,
    other: str,
    weights_of: Callable[[str], tuple[Weights, int]],
) -> None:
    """A prompt that the batch did without is gone on with by other weights, which read its beginning themselves."""
    nearly = [[cut(rollout, NEW - 4) for rollout in written(lent, ["why"], completions=2, seed=1, step=0)[0]]]
    batch, left = lists(lent, [*nearly, "long"], completions=2, seed=1, step=0, spare=1)
    assert [group[0].prompt_id for group in batch] == ["why"]
    assert all(0 < len(rollout.tokens) < NEW and not rollout.finished for rollout in left[0])
    give(lent, [weights_of(other)], version=7)
    for before, after in zip(left[0], written(lent, left, completions=2, seed=1, step=1)[0], strict=True):
        begun, rest = len(before.tokens), len(after.tokens) - len(before.tokens)
        assert rest > 0
        assert after.versions == [0] * begun + [7] * rest
        assert after.logprobs[:begun] == before.logprobs
        expected = [(model if version == 0 else other_model, at) for at, version in enumerate(after.versions)]
        for which, at in expected:
            right = plain_logprobs(which, after.prompt_tokens, after.tokens, TEMPERATURE)[at]
            assert after.logprobs[at] == pytest.approx(right, abs=CLOSE)


def test_of_a_push_that_broke_off_nothing_is_left_when_the_next_one_comes(
    lent: RolloutEngine, other_model: PreTrainedModel, tiny: str, other: str
) -> None:
    """vLLM counts the numbers that a layer has: those of the push before must not be among them."""
    broken, whole = (Policy(folder, LEARNER, 1.0, alone()) for folder in (tiny, other))
    names = broken.buckets(20_000)
    lent.open_weights()
    # The embedding, and a part of the first fused layer.
    for part in names[:2]:
        lent.take_bucket(broken.weights(part))
    give(lent, [whole.weights(part) for part in names], version=7)
    assert probe_gap(lent, other_model) < CLOSE


def test_without_a_new_packed_copy_a_tied_head_would_keep_its_old_weights(
    lent: RolloutEngine,
    other_model: PreTrainedModel,
    other: str,
    weights_of: Callable[[str], tuple[Weights, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The negative of the test above: it could not pass if the head were not packed again."""
    bucket = weights_of(other)
    with monkeypatch.context() as patch:
        patch.setattr("actors.engine.repack_tied_head", lambda model: None)
        give(lent, [bucket], version=1)
    assert probe_gap(lent, other_model) > 0.1
    give(lent, [bucket], version=1)
    assert probe_gap(lent, other_model) < CLOSE


def test_without_an_empty_cache_old_keys_and_values_would_be_used(
    lent: RolloutEngine,
    other_model: PreTrainedModel,
    other: str,
    weights_of: Callable[[str], tuple[Weights, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = weights_of(other)
    written(lent, ["long"], completions=1, seed=1, step=0)
    with monkeypatch.context() as patch:
        patch.setattr(lent._engine, "forget", lambda: None)
        give(lent, [bucket], version=1)
    assert largest_gap(written(lent, ["long"], completions=1, seed=1, step=0)[0], other_model) > CLOSE


def test_corrupted_weights_are_refused(
    engine: RolloutEngine, other: str, weights_of: Callable[[str], tuple[Weights, int]]
) -> None:
    bits, crc = weights_of(other)
    name = "model.layers.1.mlp.up_proj.weight"
    corrupted = {**bits, name: bits[name].copy()}
    corrupted[name][3, 5] ^= 1
    found = checksum(corrupted)
    first, last = "model.embed_tokens.weight", "model.norm.weight"
    message = f"^rollout: weights {first} to {last} arrived with checksum {found:08x} instead of {crc:08x}$"
    with pytest.raises(ActorDied, match=message):
        engine.take_bucket((corrupted, crc))
    assert engine.version == 0


def test_the_checksum_is_that_of_all_bytes_in_the_order_of_the_names() -> None:
    first, second = np.array([1, -2], np.int16), np.array([[3]], np.int16)
    # little-endian: 1, -2, 3
    expected = zlib.crc32(b"\x01\x00\xfe\xff\x03\x00")
    assert checksum({"a": first, "b": second}) == checksum({"b": second, "a": first}) == expected
    assert checksum({"a": second, "b": first}) != expected
    # Strided memory (a slice) counts as the numbers that it holds.
    assert checksum({"a": np.array([1, 9, -2, 9], np.int16)[::2], "b": second}) == expected


def test_a_folder_without_a_tokenizer_is_refused_before_an_engine_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^tokenizer {tmp_path}: cannot be loaded"):
        RolloutEngine(str(tmp_path), Model(path=str(tmp_path)), Engine(cpus=1), Sampling(), PROMPTS)
