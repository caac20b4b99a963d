"""Candidate prompts, written by two endpoints whose replies are given."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.actors.chat_server import Answer, Server, completion, serving
from tests.jobs.drive import ROOT, Outcome, truing
from truing.config.supervised import PromptBank
from truing.data.paft import load_bank

RECIPE = str(ROOT / "configs" / "wordings.yaml")
EXAMPLES = str(ROOT / "configs" / "prompts" / "paft_piqa.yaml")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with serving() as running:
        yield running


Job = Callable[..., Outcome]


@pytest.fixture
def job(server: Server, tmp_path: Path) -> Job:
    address = f"http://127.0.0.1:{server.server_port}/v1"
    models = ", ".join(f"{{kind: endpoint, url: '{address}', model: {name}}}" for name in ("one", "two"))
    given = (
        f"storage={tmp_path}",
        f"wordings.models=[{models}]",
        f"wordings.examples={EXAMPLES}",
        "wordings.requests=2",
    )
    return lambda *more: truing(tmp_path, "label", RECIPE, *given, *more)


def candidates(n: int, body: dict[str, Any]) -> Answer:
    """Of model one two that serve, a broken one and a duplicate; of model two the first again, and one more."""
    asked = body["messages"][-1]["content"]
    if "Write 6 prompts" not in asked:
        return completion("1")
    shots = "few" if "Here are prompts that serve" in asked else "zero"
    good = f"{body['model']}, {shots}: {{goal}}? {{A}} or {{B}}?"
    texts = [good, good.upper().replace("{GOAL}", "{goal}"), "No goal: {A}, {B}"] if shots == "zero" else [good]
    texts += ["Both: {goal}? {A} or {B}?"]
    return completion("".join(f"<prompt>{text}</prompt>\n" for text in texts))


def test_a_bank_is_written_once_and_serves_as_it_is(server: Server, job: Job, tmp_path: Path) -> None:
    server.script = candidates
    done = job("wordings.shots=3").expect(0)
    path = tmp_path / "wordings" / "wordings.yaml"
    bank = load_bank(PromptBank(path=str(path)))
    assert set(bank.fields) == {"goal", "A", "B"}
    both = "Both: {goal}? {A} or {B}?"
    assert {*bank.train, *bank.test} == {
        both, *(f"{model}, {shots}: {{goal}}? {{A}} or {{B}}?" for model in ("one", "two") for shots in ("zero", "few"))
    }  # fmt: skip
    # Of each model's zero-shot reply a duplicate and one without its goal, and `both` wherever it is not the first.
    refused = [[one["reason"] for one in model["refused"]] for model in stored(path)]
    assert [sorted(set(reasons)) for reasons in refused] == [["a duplicate", "it has {goal} 0 times, not once"]] * 2
    assert [len(reasons) for reasons in refused] == [3, 4]
    assert "5 prompts that serve" in " ".join(done.out.split())

    # Every second request shows examples that people wrote: one block for its own format, and three examples.
    asked = [body["messages"][-1]["content"] for body in server.bodies]
    requests = [text for text in asked if "Write 6 prompts" in text]
    assert sorted(text.count("<prompt>") for text in requests) == [1, 1, 4, 4]
    examples = yaml.safe_load(Path(EXAMPLES).read_text(encoding="utf-8"))["prompts"]
    assert all(sum(example in text for example in examples) == text.count("<prompt>") - 1 for text in requests)

    before = path.read_bytes()
    server.bodies.clear()
    job("wordings.shots=3").expect(0)
    assert server.bodies == []
    assert path.read_bytes() == before


def stored(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


def test_replies_that_hold_no_prompt_are_kept_and_the_job_ends_in_one_line(
    server: Server, job: Job, tmp_path: Path
) -> None:
    server.play(completion("I cannot do that."))
    done = job().expect(1)
    assert "wordings: 0 of the candidates can be used (" in done.err
    assert len(done.err.strip().splitlines()) == 1
    path = tmp_path / "wordings" / "wordings.yaml"
    assert not path.exists()
    assert [model["replies"] for model in stored(path)] == [["I cannot do that."] * 2] * 2


def test_examples_of_another_task_are_refused_before_anybody_is_asked(server: Server, job: Job) -> None:
    done = job(f"wordings.examples={ROOT / 'configs' / 'prompts' / 'paft_hellaswag.yaml'}").expect(2)
    assert "give examples of the same task" in done.err
    assert server.bodies == []
