"""The endpoint as judge against a real vLLM server of the demo model on loopback, compared with transformers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from actors.endpoint import EndpointJudge, messages
from actors.engine import engine_environment
from actors.learner import free_address
from jobs.demo_model import demo_model
from tests.actors.examples import plain_model
from truing.config.labeling import EndpointLabeler, Style
from truing.config.roles import Engine
from truing.errors import ConfigError
from truing.labeling.questions import Question, Turn, comparison
from truing.labeling.templates import load_template
from truing.records import Failed, Pair, Unparsable

CONTEXT = 1024
READY = 240
"""Seconds that the server may take to start on a busy machine."""
ENDING = "Preferred Response="
SHORT = Question((Turn("user", "Which response is better, 1 or 2?"),), ENDING, ("1", "2"))
QUESTIONS = [
    SHORT,
    comparison(load_template("helpful"), Pair("a", "Name a fruit.", "Apple.", "I will not.", "helpful"), Style()),
    Question((Turn("user", "Why?"), Turn("assistant", "Because.\n\n")), ENDING, ("1", "2")),
]


@pytest.fixture(scope="module")
def model() -> str:
    return str(demo_model())


@pytest.fixture(scope="module")
def url(model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a server of the demo model."""
    address = free_address()
    host, port = address.rsplit(":", 1)
    options = {
        "host": host,
        "port": port,
        "served-model-name": "demo",
        "dtype": "float32",
        "max-model-len": str(CONTEXT),
        "max-num-seqs": "8",
        "block-size": "32",
        "generation-config": "vllm",
        # Otherwise it asks for nine tenths of the memory that the machine has, whatever others hold of it.
        "gpu-memory-utilization": "0.1",
        "kv-cache-memory-bytes": str(2**28),
    }
    # What `vllm serve` runs. The command itself asks for the version of a package `vllm`, which the CPU build is not.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--enforce-eager"]
    command += [word for name, value in options.items() for word in (f"--{name}", value)]
    log = tmp_path_factory.mktemp("serve") / "log"
    environment = os.environ | engine_environment(Engine(cpus=1, dtype="float32"))
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        _wait_for(f"http://{address}/health", process, log)
        yield f"http://{address}/v1"
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(health: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + READY
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx2.get(health, trust_env=False, timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.5)
    raise AssertionError(f"vllm serve is not up (exit code {process.poll()}):\n{log.read_text()[-4000:]}")


@pytest.fixture(scope="module")
def judge(url: str) -> Iterator[EndpointJudge]:
    judge = EndpointJudge(EndpointLabeler(url=url, model="demo", timeout=120, key_variable="NO_SUCH_KEY"))
    yield judge
    judge.close()


@pytest.fixture(scope="module")
def plain(model: str) -> PreTrainedModel:
    return plain_model(model)


@pytest.fixture(scope="module")
def tokenizer(model: str) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(model)


def first_token_logp(plain: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, question: Question) -> torch.Tensor:
    """Log-probs of the reply's first token, by token: one plain forward pass."""
    turns = [dict(message) for message in messages(question)]
    ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False)
    with torch.no_grad():
        return plain(torch.tensor([ids])).logits[0, -1].log_softmax(-1)


def test_likelihoods_are_those_of_a_plain_forward_pass(
    judge: EndpointJudge, plain: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    answers = judge.likelihoods(QUESTIONS)
    for question, found in zip(QUESTIONS, answers, strict=True):
        logp = first_token_logp(plain, tokenizer, question)
        shown = logp.topk(20).indices.tolist()
        spellings = {label: [i for i in shown if tokenizer.decode([i]).strip() == label] for label in "12"}
        if not any(spellings.values()):
            assert isinstance(found, Unparsable)
            continue
        expected = {label: float(logp[ids].logsumexp(0)) for label, ids in spellings.items()}
        assert found == {label: pytest.approx(value, abs=1e-3) for label, value in expected.items()}
    # Asked as a template asks, the model has both labels in mind.
    _, asked, _ = answers
    assert isinstance(asked, dict)
    assert min(asked.values()) > -float("inf")


def test_the_twenty_likeliest_tokens_are_shown(
    judge: EndpointJudge, plain: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> None:
    logp = first_token_logp(plain, tokenizer, SHORT)
    order = logp.argsort(descending=True).tolist()
    texts = [tokenizer.decode([i]) for i in order]
    plain_words = [n for n, text in enumerate(texts) if text.isascii() and text.isprintable() and text == text.strip()]
    # Labels that one token each spells, the second surely beyond the first twenty.
    inside = next(n for n in plain_words if texts[n] and [t.strip() for t in texts].count(texts[n]) == 1)
    beyond = next(n for n in plain_words if n >= 40 and texts[n] and [t.strip() for t in texts].count(texts[n]) == 1)
    assert inside < 18
    asked = replace(SHORT, labels=(texts[inside], texts[beyond]))
    assert judge.likelihoods([asked]) == [
        {texts[inside]: pytest.approx(float(logp[order[inside]]), abs=1e-3), texts[beyond]: -float("inf")}
    ]
    (none,) = judge.likelihoods([replace(SHORT, labels=(texts[beyond], "no token at all"))])
    assert isinstance(none, Unparsable)


def test_replies_are_texts_that_their_seed_repeats(judge: EndpointJudge) -> None:
    asked = [replace(question, answer="", labels=()) for question in QUESTIONS]
    one = judge.replies(asked, 8, 1.0, [1, 2, 3])
    assert all(isinstance(reply, str) and reply for reply in one)
    assert judge.replies(asked, 8, 1.0, [1, 2, 3]) == one
    assert judge.replies(asked, 8, 1.0, [4, 5, 6]) != one


def test_a_question_that_does_not_fit_fails_alone(judge: EndpointJudge) -> None:
    before = judge.usage
    long = replace(SHORT, turns=(Turn("user", "word " * CONTEXT),))
    found = judge.replies([SHORT, long, SHORT], 4, 0.0, [0, 0, 0])
    assert isinstance(found[1], Failed)
    assert found[1].reason.startswith("endpoint: HTTP 400: ")
    assert str(CONTEXT) in found[1].reason
    assert found[0] == found[2]
    assert isinstance(found[0], str)
    after = judge.usage
    assert (after.requests - before.requests, after.retries, after.failures - before.failures) == (3, 0, 1)
    assert after.completion_tokens - before.completion_tokens <= 8
    assert after.prompt_tokens > before.prompt_tokens


def test_a_model_that_is_not_there_shows_before_anything_is_asked(judge: EndpointJudge, url: str) -> None:
    judge.check()
    other = EndpointJudge(EndpointLabeler(url=url, model="another", timeout=120, key_variable="NO_SUCH_KEY"))
    with pytest.raises(ConfigError, match=r"will not serve 'another' with the key in NO_SUCH_KEY \(HTTP 404"):
        other.check()
    wrong = EndpointJudge(EndpointLabeler(url=f"{url}/v1", model="demo", timeout=120, key_variable="NO_SUCH_KEY"))
    with pytest.raises(ConfigError, match=r"check labeler\.url \(up to and with /v1\)"):
        wrong.check()
