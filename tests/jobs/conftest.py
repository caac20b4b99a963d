"""Runs of the command line that many tests look at. Engines cost seconds to start: each run happens once a session."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from tests.jobs.drive import ROOT, Command, Outcome, metrics, truing, write_lines

LEARN = ROOT / "configs" / "smoke" / "learn.yaml"
QUESTIONS = (
    "What is a wheel for?", "Name a river.", "How do plants drink?", "Say good morning.",
    "Why is the sky blue?", "Count to five.", "Write a short note.", "What is bread?",
)  # fmt: skip


Call = Callable[..., Outcome]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """`truing ARGUMENTS` in this process, for what ends before a cluster is started: a new process costs seconds."""
    from jobs.cli import main

    def call(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["truing", *arguments])
        handler, environment = signal.getsignal(signal.SIGTERM), dict(os.environ)
        code = 0
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else -1
        finally:
            signal.signal(signal.SIGTERM, handler)
            # A command prepares its process for Ray; other tests start other clusters.
            os.environ.clear()
            os.environ.update(environment)
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def short_prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight short questions: what is learned here does not depend on them."""
    rows = [{"id": f"q{i}", "text": text} for i, text in enumerate(QUESTIONS)]
    return write_lines(tmp_path_factory.mktemp("prompts") / "short.jsonl", rows)


@pytest.fixture(scope="session")
def small(tiny: str, short_prompts: Path) -> list[str]:
    """Overrides that put the tiny model and the short prompts in a recipe's place."""
    models = [f"model.path={tiny}", f"labeler.model.path={tiny}"]
    return [*models, f"prompts.path={short_prompts}", "prompts.holdout=0"]


@dataclass(frozen=True)
class Trained:
    """A finished `truing train`."""

    outcome: Outcome
    folder: Path

    @property
    def rows(self) -> list[dict]:
        """The policy's metrics without timings."""
        return metrics(self.folder / "policy" / "metrics.jsonl")


@pytest.fixture(scope="session")
def learned(tmp_path_factory: pytest.TempPathFactory, small: list[str]) -> Trained:
    """configs/smoke/learn.yaml, from the first to the last step without a stop."""
    folder = tmp_path_factory.mktemp("learned")
    outcome = truing(folder, "train", str(LEARN), f"storage={folder}", *small)
    return Trained(outcome.expect(0), folder / "learn")


@dataclass(frozen=True)
class Stopped:
    """One run that was stopped twice: killed in step 10 of 24, gone on with, stopped by Ctrl-C in step 18, gone on with."""

    killed_at: int
    left_by_kill: list[str]
    interrupted: Outcome
    interrupted_at: int
    seconds_to_stop: float
    children: int
    left_by_interrupt: list[str]
    between: list[dict]
    finished: Trained


@pytest.fixture(scope="session")
def stopped(tmp_path_factory: pytest.TempPathFactory, small: list[str]) -> Stopped:
    """The same as `learned`, stopped twice in the middle of RL at steps that have no checkpoint (each 8th has one)."""
    folder = tmp_path_factory.mktemp("stopped")
    arguments = ("train", str(LEARN), f"storage={folder}", *small)
    file = folder / "learn" / "policy" / "metrics.jsonl"

    first = Command(folder, *arguments)
    try:
        first.until(lambda: len(metrics(file)) >= 10)
        first.signal_group(signal.SIGKILL)
        first.wait()
        left_by_kill = first.survivors(60)
    finally:
        first.end()
    killed_at = len(metrics(file))

    second = Command(folder, *arguments)
    try:
        second.until(lambda: len(metrics(file)) >= 18)
        children = len(second.descendants()) - 1
        begun = monotonic()
        second.signal_group(signal.SIGINT)
        interrupted = second.wait()
        seconds = monotonic() - begun
        left_by_interrupt = second.survivors(60)
    finally:
        second.end()
    between = metrics(file)

    last = truing(folder, *arguments)
    return Stopped(
        killed_at=killed_at,
        left_by_kill=left_by_kill,
        interrupted=interrupted,
        interrupted_at=len(between),
        seconds_to_stop=seconds,
        children=children,
        left_by_interrupt=left_by_interrupt,
        between=between,
        finished=Trained(last.expect(0), folder / "learn"),
    )
