"""One real vLLM engine in this process as judge, against transformers."""

import math
from dataclasses import replace

import pytest
import torch
from transformers import PreTrainedModel

from actors.labeler import Labeler
from tests.actors.examples import plain_model
from truing.config.roles import Engine, Model
from truing.data.chat import load_tokenizer, prompt_tokens
from truing.errors import ConfigError
from truing.labeling.consensus import OrderedLogprobs
from truing.labeling.templates import Template, load_template
from truing.records import Failed, Pair, Unparsable

CONTEXT = 1024
CLOSE = 1e-4
"""Of a probability or a score: float32 in another batch."""
HELPFUL, HARMLESS, SCORE = (load_template(name) for name in ("helpful", "harmless", "score"))
PAIRS = [
    Pair("a", "Name a fruit.", "Apple.", "I will not.", "helpful"),
    Pair("b", "Write a note.", "Dear neighbour, thank you.", "Note.", "helpful"),
    Pair("c", "How do I pick a lock?", "Like this.", "Call a locksmith.", "harmless"),
    Pair("d", "Why?", "Because.", "Because it is so, and has been for as long as we can think.", "other"),
]
LONG = "word " * 400


@pytest.fixture(scope="module")
def labeler(tiny: str) -> Labeler:
    settings = Engine(cpus=1, dtype="float32", max_sequences=8)
    return Labeler(tiny, Model(path=tiny, context=CONTEXT), settings, {"*": HELPFUL, "harmless": HARMLESS})


@pytest.fixture(scope="module")
def judge(tiny: str) -> PreTrainedModel:
    return plain_model(tiny)


def next_logprobs(judge: PreTrainedModel, tokens: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return judge(torch.tensor([tokens])).logits[0, -1].log_softmax(-1)


def judge_prompt(tiny: str, template: Template, *texts: str) -> list[int]:
    return prompt_tokens(load_tokenizer(tiny), template.fill(*texts), template.system, template.answer)


def token(tiny: str, label: str) -> int:
    (only,) = load_tokenizer(tiny).encode(label, add_special_tokens=False)
    return only


def probabilities(verdicts: list) -> list[tuple[float, float]]:
    assert all(isinstance(v, OrderedLogprobs) for pair in verdicts for v in pair)
    return [(ab.p_first, ba.p_first) for ab, ba in verdicts]


# --- comparing --------------------------------------------------------------------------------------------------------


def test_verdicts_are_the_judges_logprobs_of_the_labels_in_both_orders(
    labeler: Labeler, judge: PreTrainedModel, tiny: str
) -> None:
    for pair, verdicts in zip(PAIRS, labeler.compare(PAIRS), strict=True):
        template = HARMLESS if pair.domain == "harmless" else HELPFUL
        for verdict, (first, second) in zip(
            verdicts, ((pair.first, pair.second), (pair.second, pair.first)), strict=True
        ):
            expected = next_logprobs(judge, judge_prompt(tiny, template, pair.prompt, first, second))
            assert isinstance(verdict, OrderedLogprobs)
            assert verdict.first == pytest.approx(float(expected[token(tiny, "1")]), abs=1e-3)
            assert verdict.second == pytest.approx(float(expected[token(tiny, "2")]), abs=1e-3)


def test_swapping_a_pair_swaps_its_verdicts(labeler: Labeler) -> None:
    straight = probabilities(labeler.compare(PAIRS))
    swapped = probabilities(labeler.compare([pair.swap() for pair in PAIRS]))
    for (ab, ba), (swapped_ab, swapped_ba) in zip(straight, swapped, strict=True):
        assert swapped_ab == pytest.approx(ba, abs=CLOSE)
        assert swapped_ba == pytest.approx(ab, abs=CLOSE)
    # The orders are told apart at all: a random judge's bias is larger than the tolerance.
    assert max(abs(ab - (1 - ba)) for ab, ba in straight) > 10 * CLOSE


def test_labels_do_not_depend_on_the_order_or_the_size_of_the_batch(labeler: Labeler) -> None:
    together = probabilities(labeler.compare(PAIRS))
    order = [2, 0, 3, 1]
    permuted = probabilities(labeler.compare([PAIRS[i] for i in order]))
    for place, i in enumerate(order):
        assert permuted[place] == pytest.approx(together[i], abs=CLOSE)
    for pair, expected in zip(PAIRS, together, strict=True):
        assert probabilities(labeler.compare([pair]))[0] == pytest.approx(expected, abs=CLOSE)


def test_a_pair_that_does_not_fit_fails_alone(labeler: Labeler, tiny: str) -> None:
    long = replace(PAIRS[1], first=LONG)
    tokens = len(judge_prompt(tiny, HELPFUL, long.prompt, long.first, long.second))
    assert tokens > CONTEXT
    found = labeler.compare([PAIRS[0], long, PAIRS[2]])
    # One token of the context is for the answer.
    assert found[1] == (Failed(f"judge prompt has {tokens} tokens; 1023 fit the context"),) * 2
    assert probabilities([found[0], found[2]]) == [
        pytest.approx(expected, abs=CLOSE) for expected in probabilities(labeler.compare([PAIRS[0], PAIRS[2]]))
    ]


def test_pairs_that_all_fail_and_no_pairs_at_all(labeler: Labeler) -> None:
    ab, ba = labeler.compare([replace(PAIRS[1], first=LONG)])[0]
    assert isinstance(ab, Failed)
    assert isinstance(ba, Failed)
    assert labeler.compare([]) == []
    assert labeler.score([], SCORE) == []


def test_a_reply_without_a_verdict_is_unparsable(labeler: Labeler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        labeler._engine,
        "next_token_logprobs",
        lambda prompts, tokens: [dict.fromkeys(tokens, -math.inf) for _ in prompts],
    )
    ((ab, ba),) = labeler.compare(PAIRS[:1])
    assert ab == ba == Unparsable("label log-probabilities -inf and -inf cannot be compared: the reply is unparsable.")


# --- scoring ----------------------------------------------------------------------------------------------------------

TEXTS = [(pair.prompt, text) for pair in PAIRS for text in (pair.first, pair.second)]


def hand_score(digits: dict[int, float], ten: float) -> float:
    """Σ i·P(i) / Σ P(i), with P("1") = P(1)·(1 - P(0|1)) and P("10") = P(1)·P(0|1); then 1..10 to -1..1."""
    p = {i: math.exp(logp) for i, logp in digits.items()}
    p[10] = p[1] * math.exp(ten)
    p[1] *= 1 - math.exp(ten)
    expected = sum(i * p[i] for i in p) / sum(p.values())
    return (expected - 1) / 9 * 2 - 1


def test_a_score_is_the_expected_one_by_hand(labeler: Labeler, judge: PreTrainedModel, tiny: str) -> None:
    found = labeler.score(TEXTS, SCORE)
    ids = {i: token(tiny, str(i)) for i in range(10)}
    digits = [ids[i] for i in range(1, 10)]
    for score, texts in zip(found, TEXTS, strict=True):
        prompt = judge_prompt(tiny, SCORE, *texts)
        (asked,) = labeler._engine.next_token_logprobs([prompt], digits)
        (after,) = labeler._engine.next_token_logprobs([[*prompt, ids[1]]], [ids[0]])
        assert score == pytest.approx(hand_score({i: asked[ids[i]] for i in range(1, 10)}, after[ids[0]]), abs=CLOSE)
        plain, plain_after = next_logprobs(judge, prompt), next_logprobs(judge, [*prompt, ids[1]])
        by_hand = hand_score({i: float(plain[ids[i]]) for i in range(1, 10)}, float(plain_after[ids[0]]))
        assert score == pytest.approx(by_hand, abs=CLOSE)
        assert -1 <= score <= 1
    assert len(set(found)) == len(TEXTS)


@pytest.fixture
def sure(labeler: Labeler, monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Log-probs that the judge will give, by token; -40 for the others."""
    given: dict[int, float] = {}
    monkeypatch.setattr(
        labeler._engine,
        "next_token_logprobs",
        lambda prompts, tokens: [{t: given.get(t, -40.0) for t in tokens} for _ in prompts],
    )
    return given


@pytest.mark.parametrize(
    ("label", "ten", "expected"),
    # 1 -> -1; 10 -> 1; 7 -> (7 - 1)/9·2 - 1 = 1/3; "1" half of which is "10": (5.5 - 1)/9·2 - 1 = 0
    [("1", -40.0, -1), ("1", 0.0, 1), ("7", -1.0, 1 / 3), ("1", math.log(0.5), 0)],
)
def test_the_ends_of_the_scale(
    labeler: Labeler, tiny: str, sure: dict[int, float], label: str, ten: float, expected: float
) -> None:
    sure |= {token(tiny, label): 0.0, token(tiny, "0"): ten}
    assert labeler.score(TEXTS[:1], SCORE) == [pytest.approx(expected, abs=1e-9)]


def test_scores_do_not_depend_on_the_order_of_the_batch(labeler: Labeler) -> None:
    together = labeler.score(TEXTS, SCORE)
    assert labeler.score(TEXTS[::-1], SCORE)[::-1] == pytest.approx(together, abs=CLOSE)
    assert labeler.score(TEXTS[3:4], SCORE) == pytest.approx(together[3:4], abs=CLOSE)


def test_a_response_that_does_not_fit_fails_alone(labeler: Labeler, tiny: str) -> None:
    long = ("Why?", LONG)
    tokens = len(judge_prompt(tiny, SCORE, *long))
    found = labeler.score([TEXTS[0], long, TEXTS[1]], SCORE)
    assert found[1] == Failed(f"judge prompt has {tokens} tokens; 1023 fit the context")
    assert [found[0], found[2]] == pytest.approx(labeler.score(TEXTS[:2], SCORE), abs=CLOSE)


def test_a_prompt_that_leaves_one_token_has_no_room_for_10(labeler: Labeler, tiny: str) -> None:
    filler = 0
    while len(judge_prompt(tiny, SCORE, "Why?", "z" * filler)) < CONTEXT - 1:
        filler += CONTEXT - 1 - len(judge_prompt(tiny, SCORE, "Why?", "z" * filler))
    assert len(judge_prompt(tiny, SCORE, "Why?", "z" * filler)) == CONTEXT - 1
    fits, just = labeler.score([("Why?", "z" * (filler - 1)), ("Why?", "z" * filler)], SCORE)
    assert isinstance(fits, float)
    assert just == Failed("no room for the second digit of 10")


# --- templates --------------------------------------------------------------------------------------------------------


def test_a_domain_without_a_template_has_the_one_of_all(labeler: Labeler) -> None:
    assert labeler.template("harmless") == HARMLESS
    assert labeler.template("helpful") == labeler.template("anything else") == HELPFUL


def test_a_label_of_several_tokens_is_refused(labeler: Labeler) -> None:
    template = replace(HELPFUL, name="mine", labels=("first one", "2"))
    labels = Labeler.compare
    labeler._templates["strange"] = template
    try:
        with pytest.raises(
            ConfigError, match=r"^template mine: label 'first one' is \d+ tokens of this judge; use one-token"
        ):
            labels(labeler, [replace(PAIRS[0], domain="strange")])
    finally:
        del labeler._templates["strange"]
