"""A study as a Ray job: submitted from another process, followed, refused where it runs already, stopped, gone on with."""

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.cluster.submit import Job, entrypoint
from tests.jobs.cluster.own_token import own_token
from tests.jobs.conftest import LEARN
from tests.jobs.drive import ROOT, Command, metrics, truing
from truing.errors import ConfigError

pytestmark = pytest.mark.timeout(1200)

STEPS = 80


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The job server of a head node with two CPUs, on loopback; the node is a process of its own."""
    folder = tmp_path_factory.mktemp("server")
    out = folder / "out"
    with own_token():
        command = Command(folder, str(out), module="tests.jobs.cluster.head")
        try:
            command.until(lambda: out.exists() and out.read_text().endswith("\n"))
            yield out.read_text().strip()
        finally:
            command.end()


def until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.2)


def test_a_job_is_done_refused_while_it_runs_stopped_and_gone_on_with(server: str, tmp_path: Path, small: list[str]):
    file = tmp_path / "learn" / "policy" / "metrics.jsonl"
    asked = ("submit", str(LEARN), f"storage={tmp_path}", *small, f"policy.steps={STEPS}", "policy.checkpoint_every=2")
    asked = (*asked, "--command", "train", "--address", server)

    first = truing(tmp_path, *asked, "--detach").expect(0)
    (name,) = re.findall(r"job (raysubmit_\w+): `truing jobs", first.out)
    until(lambda: len(metrics(file)) >= 3)

    again = truing(tmp_path, *asked).expect(2)
    assert again.err.startswith(f"truing: {tmp_path}/learn: job {name} works on this run; follow it with")

    truing(tmp_path, "jobs", name, "--stop", "--address", server).expect(0)
    assert 3 <= len(metrics(file)) < STEPS
    listed = truing(tmp_path, "jobs", "--address", server).expect(0)
    assert re.search(rf"{name} +\S+ +STOPPED", listed.out), listed.out

    last = truing(tmp_path, *asked).expect(0)
    # Its log came through: it went on from a checkpoint, and ends with the report.
    assert "going on from the last checkpoint" in last.out
    assert f"{tmp_path}/learn/report.html" in last.out
    assert [row["step"] for row in metrics(file)] == list(range(STEPS))


def test_a_job_that_fails_says_why(server: str, tmp_path: Path, small: list[str]):
    done = truing(
        tmp_path, "submit", str(LEARN), f"storage={tmp_path}", *small, "policy.engine.gpus=1", "--command", "train",
        "--address", server,
    ).expect(1)  # fmt: skip
    assert "policy.engine: asks for 1 x 1 = 1 GPUs and the cluster has 0" in done.out
    assert re.search(r"truing: job raysubmit_\w+: failed \(.*; submit it again to go on from what is stored", done.err)


def test_a_server_that_is_not_there(tmp_path: Path):
    done = truing(tmp_path, "submit", str(LEARN), f"storage={tmp_path}", "--address", "http://127.0.0.1:9").expect(1)
    assert len(done.err.splitlines()) == 1
    assert done.err.startswith("truing: submit: no job server answers at http://127.0.0.1:9 (")


def test_a_job_that_is_not_there(server: str, tmp_path: Path):
    done = truing(tmp_path, "jobs", "nobody", "--stop", "--address", server).expect(2)
    assert done.err.startswith("truing: job nobody: there is none of that name; `truing jobs` shows ")


def test_the_study_must_be_in_the_folder_that_is_sent(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"a job gets a copy of .* and this file is not in it; submit from a folder"):
        entrypoint(Job("train", LEARN, (), ""), tmp_path)
    job = Job("train", LEARN, ("label.templates={'*': helpful}",), "")
    assert entrypoint(job, ROOT) == (
        "python -m jobs.cli train configs/smoke/learn.yaml 'label.templates={'\"'\"'*'\"'\"': helpful}' cluster.address=auto"
    )
