"""`truing label` and `truing serve` as a user starts them, with an endpoint behind them that fails to order."""

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pyarrow.parquet as pq
import pytest

from actors.account import RunAccount
from tests.actors.chat_server import Answer, Server, completion, error, serving
from tests.jobs.drive import ROOT, Command, Outcome, truing, write_lines
from truing.labeling.calibration import LogisticMap
from truing.labeling.consensus import OrderedLogprobs

pytestmark = pytest.mark.timeout(1200)

MARKED, PAIRS = 30, 20
COST = 101
"""Of one answer: 100 prompt tokens and 1, at a price of 1 each. Some 2,500 are set aside for a question: its bytes."""
COMPARED = {"prompt": "What of 3?", "first": "Good: 3.", "second": "Nothing of 3, whatever you ask."}


def answer(n: int, body: dict[str, Any]) -> Answer:
    """The good response is preferred, more so in the first place."""
    shown = body["messages"][-1]["content"]
    first = 0.8 if "<response_1>\nGood" in shown else 0.3
    return completion("1", {"1": first, "2": 0.9 - first}, tokens=(100, 1))


def failing(texts: tuple[str, ...], fault: Answer) -> Any:
    """The same, but for questions that hold one of these texts."""
    return lambda n, body: fault if any(t in body["messages"][-1]["content"] for t in texts) else answer(n, body)


@dataclass
class Job:
    """A study in a folder, and the server that it asks."""

    server: Server
    storage: Path
    study: tuple[str, ...]

    def arguments(self, **endpoint: Any) -> list[str]:
        url = f"http://127.0.0.1:{self.server.server_port}/v1"
        price = {"input": 1e6, "output": 1e6}
        given = {"kind": "endpoint", "url": url, "model": "judge", "retries": 0, "price": price, **endpoint}
        return [*self.study, f"labeler={json.dumps(given)}"]

    def label(self, **endpoint: Any) -> Outcome:
        return truing(self.storage, "label", *self.arguments(**endpoint))

    @property
    def folder(self) -> Path:
        return self.storage / "smoke-label"

    @property
    def spent(self) -> float:
        (account,) = (self.folder / "spent").iterdir()
        return RunAccount(account).total

    def asked(self) -> list[str]:
        """The last turns of the requests since the last look."""
        found = [body["messages"][-1]["content"] for body in self.server.bodies]
        self.server.bodies.clear()
        return found

    def labels(self) -> int:
        """Labels of pairs that are stored."""
        return sum(1 for path in self.folder.glob("labels/pairs/*/*.parquet") for _ in _ids(path) if _stored(path))


def _ids(path: Path) -> list[str]:
    return [row["id"] for row in pq.read_table(path, columns=["id"]).to_pylist()]


def _stored(path: Path) -> bool:
    return "." not in path.parent.name


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Job]:
    storage = tmp_path_factory.mktemp("endpoint")
    rows = [{"prompt": f"What of {i}?", "first": f"Good: {i}.", "second": f"Nothing of {i}."} for i in range(PAIRS)]
    # Every third person disagrees: something is left to calibrate.
    human = [
        {"prompt": f"And {i}?", "first": f"Good: {i}.", "second": "None.", "human": "second" if i % 3 == 0 else "first"}
        for i in range(MARKED)
    ]
    with serving() as server:
        server.script = answer
        pairs, marked = write_lines(storage / "pairs.jsonl", rows), write_lines(storage / "human.jsonl", human)
        recipe = str(ROOT / "configs" / "smoke" / "label.yaml")
        study = (
            recipe, f"storage={storage}", f"label.pairs.path={pairs}", f"label.marked.path={marked}",
            "label.calibration={share: 0.5, folds: 2, length: true}", "serve.port=0", "serve.timeout=30",
        )  # fmt: skip
        yield Job(server, storage, study)


# The tests are the stations of one run, in order.


def test_a_key_that_is_refused_ends_the_job_in_one_line_before_anything_is_labelled(job: Job) -> None:
    job.server.play(error(401, "Incorrect key"))
    outcome = job.label().expect(2)
    assert "will not serve 'judge' with the key in OPENAI_API_KEY" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert len(job.asked()) == 1
    assert [path for path in job.folder.glob("labels/*/*/*.parquet") if _stored(path)] == []


def test_a_server_does_not_start_where_the_calibration_is_not_fitted_yet(job: Job) -> None:
    outcome = truing(job.storage, "serve", *job.arguments()).expect(2)
    assert "trust.json holds no map for this labeler" in outcome.err
    assert "run `truing label` with this configuration first" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1


def test_the_budget_is_that_of_the_run_and_not_of_each_pass(job: Job) -> None:
    job.server.script = answer
    # The marked pairs cost 60 answers, 6060, and leave no room for all 40 of the others, 4040.
    budget = 9000
    outcome = job.label(budget=budget).expect(6)
    assert "of the budget of 9000 is spent" in outcome.err
    asked = len(job.asked())
    assert 60 < asked < 100
    assert job.spent == COST * asked <= budget
    assert 0 < job.labels() < PAIRS
    again = job.label(budget=budget).expect(6)
    assert "of the budget of 9000 is spent" in again.err
    assert job.asked() == []


def test_what_may_pass_is_asked_again_by_the_next_run_and_nothing_else_is(job: Job) -> None:
    before, spent = job.labels(), job.spent
    # Two of the questions that are left, 10 % of all.
    left = [i for i in range(PAIRS) if f"What of {i}?" not in prompts(job)][-2:]
    job.server.script = failing(tuple(f"What of {i}?" for i in left), error(500, "down"))
    outcome = job.label(budget=50_000).expect(0)
    assert "2 questions failed for a reason that may pass: run again to ask them" in outcome.out
    assert before < job.labels() == PAIRS - 2
    assert list(job.folder.glob("labels/pairs/*.dead")) == []
    job.asked()
    job.server.script = answer
    outcome = job.label(budget=50_000).expect(0)
    assert "may pass" not in outcome.out
    asked = [turn for turn in job.asked() if "<response_1>" in turn]
    assert len(asked) == 4
    assert all(any(f"What of {i}?" in turn for i in left) for turn in asked)
    assert job.labels() == PAIRS
    assert spent < job.spent <= 50_000


def prompts(job: Job) -> set[str]:
    """Prompts of the stored labels."""
    parts = (path for path in job.folder.glob("labels/pairs/*/*.parquet") if _stored(path))
    return {row["prompt"] for path in parts for row in pq.read_table(path, columns=["prompt"]).to_pylist()}


@pytest.fixture(scope="module")
def served(job: Job) -> Iterator[str]:
    """Base URL of a server on whatever port was free."""
    job.server.script = answer
    command = Command(job.storage, "serve", *job.arguments(budget=50_000))
    try:
        command.until(lambda: command.outcome().out.rstrip().rpartition("\n")[2].startswith("http://127.0.0.1:"))
        yield command.outcome().out.rstrip().rpartition("\n")[2]
        command.signal_group(signal.SIGTERM)
        assert command.wait(60).code == 0
    finally:
        command.end()


def compared(url: str, **changed: str) -> httpx2.Response:
    return httpx2.post(f"{url}/compare", json=COMPARED | changed, timeout=60, trust_env=False)


def test_a_comparison_is_calibrated_as_the_labels_are(job: Job, served: str) -> None:
    assert not served.endswith(":0")
    found = compared(served).json()
    assert found["calibrated"]
    (fitted,) = json.loads((job.folder / "trust.json").read_text())["calibration"].values()
    orders = [OrderedLogprobs(*found[key]) for key in ("logprobs_as_given", "logprobs_swapped")]
    gap = len(COMPARED["first"]) - len(COMPARED["second"])
    p = LogisticMap.from_dict(fitted["map"]).apply(*orders, gap)
    assert found["p_first"] == pytest.approx(p, abs=1e-12)
    # Uncalibrated: P("1") is 8/9 of the labels' mass as given, and 1/3 with the good one second: (8/9 + 2/3) / 2.
    assert abs(p - 7 / 9) > 1e-3
    other = compared(served, first=COMPARED["second"], second=COMPARED["first"]).json()
    assert other["p_first"] == pytest.approx(1 - p, abs=1e-12)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (error(500, "down"), 502),
        (error(403, "moderated"), 502),
        (Answer(body=b"<html>"), 502),
        (error(400, "This model's maximum context length is 8 tokens"), 422),
        # The last one: nothing is asked any more.
        (error(401, "the key was withdrawn"), 503),
    ],
)
def test_whose_fault_it_is_shows_in_the_status(job: Job, served: str, fault: Answer, status: int) -> None:
    job.server.play(fault)
    assert compared(served).status_code == status


def test_a_blank_text_is_the_callers_fault(served: str) -> None:
    assert compared(served, first=" ").status_code == 422
