"""One real vLLM engine in this process as judge, against plain forward passes of transformers."""

import math
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from actors.judge import EngineJudge, question_seed
from tests.actors.examples import plain_model
from truing.config.labeling import EngineLabeler, Style
from truing.config.roles import Engine, Model
from truing.data.chat import conversation_tokens, load_tokenizer
from truing.labeling.questions import Question, Turn, comparison, grading
from truing.labeling.templates import load_template
from truing.records import Failed, Pair, Unparsable

CONTEXT = 1024
PAIR = Pair("a", "Name a fruit.", "Apple.", "I will not.", "helpful")
BASE = Style()
COMPARED = comparison(load_template("helpful"), PAIR, BASE)
GRADED = grading(load_template("score"), PAIR.prompt, PAIR.first, BASE)
LONG = replace(COMPARED, turns=(Turn("user", "word " * 800),))


@pytest.fixture(scope="module")
def judge(tiny: str) -> EngineJudge:
    model = Model(path=tiny, context=CONTEXT)
    return EngineJudge(EngineLabeler(model=model, engine=Engine(cpus=1, dtype="float32", max_sequences=8)))


@pytest.fixture(scope="module")
def plain(tiny: str) -> PreTrainedModel:
    return plain_model(tiny)


def tokens(tiny: str, question: Question) -> list[int]:
    return conversation_tokens(load_tokenizer(tiny), question.turns, question.answer)


def string_logp(plain: PreTrainedModel, prompt: list[int], label: list[int]) -> float:
    """Log-likelihood of a string right after a prompt: one plain forward pass, one term a token."""
    with torch.no_grad():
        logp = plain(torch.tensor([prompt + label])).logits[0].log_softmax(-1)
    return sum(float(logp[len(prompt) + i - 1, token]) for i, token in enumerate(label))


def test_labels_of_one_token_have_their_next_token_logprob(judge: EngineJudge, plain: PreTrainedModel, tiny: str):
    (found,) = judge.likelihoods([COMPARED])
    prompt = tokens(tiny, COMPARED)
    for label in ("1", "2"):
        ids = load_tokenizer(tiny).encode(label, add_special_tokens=False)
        assert found[label] == pytest.approx(string_logp(plain, prompt, ids), abs=1e-3)


def test_labels_of_several_tokens_have_the_likelihood_of_the_string(
    judge: EngineJudge, plain: PreTrainedModel, tiny: str
):
    asked = replace(COMPARED, labels=("the first", "neither of them"))
    (found,) = judge.likelihoods([asked])
    prompt = tokens(tiny, asked)
    for label in asked.labels:
        ids = load_tokenizer(tiny).encode(label, add_special_tokens=False)
        assert len(ids) > 1
        assert found[label] == pytest.approx(string_logp(plain, prompt, ids), abs=1e-3)


def test_ten_is_a_one_that_goes_on_with_a_nought(judge: EngineJudge, plain: PreTrainedModel, tiny: str):
    (found,) = judge.likelihoods([GRADED])
    tokenizer, prompt = load_tokenizer(tiny), tokens(tiny, GRADED)
    one, nought = (tokenizer.encode(digit, add_special_tokens=False) for digit in "10")
    assert tokenizer.encode("10", add_special_tokens=False) == one + nought
    p_one, p_ten = math.exp(string_logp(plain, prompt, one)), math.exp(string_logp(plain, prompt, one + nought))
    # P(10) = P("1")·P("0"|"1"), and the score 1 is what is left of P("1").
    assert math.exp(found["10"]) == pytest.approx(p_ten, rel=1e-3)
    assert math.exp(found["1"]) == pytest.approx(p_one - p_ten, rel=1e-3)


def test_what_does_not_fit_fails_alone(judge: EngineJudge, tiny: str):
    found = judge.likelihoods([COMPARED, LONG, GRADED])
    # One token of the context is for the answer.
    assert found[1] == Failed(f"judge prompt has {len(tokens(tiny, LONG))} tokens; {CONTEXT - 1} fit the context")
    assert found[::2] == [pytest.approx(one, abs=1e-3) for one in judge.likelihoods([COMPARED, GRADED])]
    assert judge.likelihoods([]) == []


def test_a_longer_label_needs_more_room(judge: EngineJudge, tiny: str):
    """A question that leaves one token is answered where the labels are one token, and not where 10 takes two."""

    def of_length(question: Question, length: int) -> Question:
        filler = 0
        asked = question
        while len(tokens(tiny, asked)) < length:
            filler += length - len(tokens(tiny, asked))
            asked = replace(
                question, turns=(*question.turns[:-1], Turn("user", question.turns[-1].text + "z" * filler))
            )
        assert len(tokens(tiny, asked)) == length
        return asked

    one, two = judge.likelihoods([of_length(COMPARED, CONTEXT - 1), of_length(GRADED, CONTEXT - 1)])
    assert isinstance(one, dict)
    assert two == Failed(f"judge prompt has {CONTEXT - 1} tokens; {CONTEXT - 2} fit the context")


def test_probabilities_that_cannot_be_are_unparsable(judge: EngineJudge, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        judge._engine,
        "next_token_logprobs",
        lambda prompts, wanted: [dict.fromkeys(some, float("nan")) for some in wanted],
    )
    (found,) = judge.likelihoods([COMPARED])
    assert isinstance(found, Unparsable)


def test_replies_depend_on_their_own_seed_alone(judge: EngineJudge):
    asked = [Question((Turn("user", text),), "", ()) for text in ("Why?", "When?", "Who?")]
    seeds = [question_seed(question, 0) for question in asked]
    drawn = judge.replies(asked, 8, 1.0, seeds)
    assert judge.replies(asked[::-1], 8, 1.0, seeds[::-1]) == drawn[::-1]
    assert judge.replies(asked[1:2], 8, 1.0, seeds[1:2]) == drawn[1:2]
    assert judge.replies(asked, 8, 1.0, [seed + 1 for seed in seeds]) != drawn


def test_a_reply_that_has_no_room_fails_alone(judge: EngineJudge, tiny: str):
    long, short = judge.replies([LONG, replace(COMPARED, labels=())], 8, 0.0, [0, 0])
    assert long == Failed(f"judge prompt has {len(tokens(tiny, LONG))} tokens; {CONTEXT - 8} fit the context")
    assert isinstance(short, str)


def test_what_was_used_is_counted(judge: EngineJudge, tiny: str):
    before = judge.usage
    judge.likelihoods([COMPARED, LONG])
    after = judge.usage
    assert (after.requests - before.requests, after.answers - before.answers) == (2, 1)
    assert after.failures - before.failures == 1
    assert after.prompt_tokens - before.prompt_tokens == len(tokens(tiny, COMPARED))


def test_a_shared_prefix_is_read_once(tiny: str):
    model = Model(path=tiny, context=CONTEXT)
    judge = EngineJudge(EngineLabeler(model=model, engine=Engine(cpus=1, dtype="float32", max_sequences=1)))
    prompt = len(tokens(tiny, COMPARED))
    judge.likelihoods([COMPARED] * 4)
    # The last three find all whole blocks of 32 tokens but the last token's.
    cached = 3 * ((prompt - 1) // 32 * 32)
    assert judge.cached_share == pytest.approx(cached / (4 * prompt + 3), abs=0.01)
    judge.begin()
    shares = judge.cached_share
    judge.likelihoods([COMPARED])
    assert judge.cached_share < shares
