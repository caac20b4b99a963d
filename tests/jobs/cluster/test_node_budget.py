"""`truing label` whose nodes cost too much: it ends in order, and the same command with a larger budget goes on."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.cluster.budget import nodes_folder
from jobs.cluster.node_hours import read_record
from jobs.store import Table
from tests.actors.chat_server import Answer, Server, completion, serving
from tests.jobs.drive import ROOT, Command, Outcome, write_lines
from truing.config.load import load_study

pytestmark = pytest.mark.timeout(1200)

PAIRS, ANSWERED = 20, 10
KIND = f"{os.cpu_count()} CPUs"
BUDGET = 30
"""Of seconds, at a price of 1 each: the first look at which more than 20 have passed is the last one."""


@dataclass
class Ended:
    """How a command ended, what of it was left, and the questions that it asked, by the numbers of their pairs."""

    outcome: Outcome
    left: list[str]
    asked: list[int]
    labelled: set[str]
    seconds: float


@dataclass
class Job:
    """A study of a judge behind HTTP, and the judge."""

    storage: Path
    server: Server

    def label(self, budget: float) -> Ended:
        """Run it. Whoever has other GPUs or CPUs: the price is of whatever this machine is."""
        url = f"http://127.0.0.1:{self.server.server_port}/v1"
        labeler = {"kind": "endpoint", "url": url, "model": "judge", "retries": 0, "concurrency": 1, "timeout": 900}
        arguments = [
            f"storage={self.storage}", f"label.pairs.path={self.storage / 'pairs.jsonl'}", "label.marked=null",
            "label.batch=2", f"labeler={json.dumps(labeler)}", f"cluster.budget={budget}",
            f"cluster.prices={json.dumps({KIND: 3600})}",
        ]  # fmt: skip
        recipe = ROOT / "configs" / "smoke" / "label.yaml"
        command = Command(self.storage, "label", str(recipe), *arguments)
        try:
            outcome = command.wait(600)
            left = command.survivors(30)
        finally:
            command.end()
        # What is asked to see that the endpoint answers at all is of no pair.
        asked = [number for number in map(_pair, self.server.bodies) if number >= 0]
        self.server.bodies.clear()
        record = read_record(nodes_folder(load_study(recipe, arguments)))
        labels = {row["prompt"] for folder in self._labels() for row in Table(folder).read(["prompt"])}
        return Ended(outcome, left, asked, labels, record[KIND].seconds)

    def _labels(self) -> list[Path]:
        return [path for path in (self.storage / "smoke-label" / "labels" / "pairs").glob("*") if "." not in path.name]


def _pair(body: dict[str, Any]) -> int:
    shown: str = body["messages"][-1]["content"]
    return next((i for i in range(PAIRS) if f"What of {i}?" in shown), -1)


def answer(n: int, body: dict[str, Any]) -> Answer:
    first = 0.8 if "<response_1>\nGood" in body["messages"][-1]["content"] else 0.3
    return completion("1", {"1": first, "2": 0.9 - first})


def slow(n: int, body: dict[str, Any]) -> Answer:
    """A judge that falls asleep: the pass cannot come to its end before the budget does."""
    found = answer(n, body)
    found.wait = 0.0 if n < ANSWERED else 900.0
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ended, Ended, str]]:
    """The command twice, with a small budget and with a large one, and the page at the end."""
    storage = tmp_path_factory.mktemp("budget")
    pairs = [{"prompt": f"What of {i}?", "first": f"Good: {i}.", "second": f"Nothing of {i}."} for i in range(PAIRS)]
    write_lines(storage / "pairs.jsonl", pairs)
    with serving() as server:
        job = Job(storage, server)
        server.script = slow
        first = job.label(BUDGET)
        server.script = answer
        last = job.label(1e6)
        last.outcome.expect(0)
        yield first, last, (storage / "smoke-label" / "report.html").read_text(encoding="utf-8")


def test_it_ends_in_order_with_one_line(runs: tuple[Ended, Ended, str]) -> None:
    first = runs[0]
    first.outcome.expect(6)
    (line,) = first.outcome.err.splitlines()
    assert line.startswith("truing: nodes: ")
    assert line.endswith(
        f" of the budget of {BUDGET} is spent, and they could pass it before the next look; what is stored is kept: raise"
        " cluster.budget and run again to go on"
    )
    assert 20 < first.seconds <= BUDGET
    assert first.left == []
    assert len(first.labelled) < PAIRS


def test_a_larger_budget_goes_on_with_what_is_stored(runs: tuple[Ended, Ended, str]) -> None:
    first, last, _ = runs
    assert last.labelled == {f"What of {i}?" for i in range(PAIRS)}
    # Both orders of each pair that was not labelled, and of no other.
    assert sorted(set(last.asked)) == [i for i in range(PAIRS) if f"What of {i}?" not in first.labelled]
    assert len(last.asked) == 2 * (PAIRS - len(first.labelled))
    assert last.seconds > first.seconds


def test_the_page_shows_the_nodes(runs: tuple[Ended, Ended, str]) -> None:
    page = runs[2]
    begin = page.index("<caption>Nodes</caption>")
    table = page[begin : page.index("</table>", begin)]
    for shown in (KIND, "most at once", "node-hours", "cost", "n (looks)"):
        assert shown in table
