"""The doctor as a whole: which checks a study gets and in which order, what is shown, and one visit with a real engine."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.doctor.doctor import checks, run_doctor, show, summary
from jobs.doctor.found import Found
from tests.house_rules import modules_loaded_by
from tests.jobs.conftest import LEARN
from tests.jobs.drive import ROOT, truing, write_lines
from truing.config.load import load_study
from truing.config.study import Study
from truing.errors import TruingError

HERE = ["python", "packages", "torch companions", "keys", "storage", "configuration"]
LOCAL = ["devices", "memory", "shared memory", "open files", "disk"]
NODES = ["cluster", "placement", "nodes", "clock"]
FAR = ["memory of nodes", "shared memory of nodes", "open files of nodes", "disk of nodes"]


def names(*overrides: str) -> list[str]:
    return [one.name for one in checks(load_study(LEARN, list(overrides)))]


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_a_study_on_this_machine(alone: None) -> None:
    engine = [f"policy.engine{what}" for what in ("", ": parity", ": log-probs")]
    assert names() == [*HERE, *LOCAL, "policy.engine: tokenizer", *NODES, "storage of nodes", "collective", *engine]


def test_a_study_on_a_cluster_looks_at_its_nodes(alone: None) -> None:
    found = names(
        "cluster.address=10.0.0.1:6379", "labeler={kind: endpoint, model: m, url: 'https://judge.example/v1'}"
    )
    between = [*NODES, *FAR, "keys of nodes", "storage of nodes", "collective"]
    assert found == [*HERE, "policy.engine: tokenizer", *between, *names()[-3:]]


def test_a_study_that_trains_nothing_needs_no_collective(alone: None) -> None:
    found = names("policy=null")
    assert "collective" not in found
    assert found[-2:] == ["sample.engine", "sample.engine: parity"]


def test_a_study_of_records_starts_nothing(alone: None) -> None:
    assert names("evaluate={grid: null, recorded: []}") == HERE


def test_nothing_is_started_that_finds_no_room(alone: None) -> None:
    after = {one.name: one.after for one in checks(load_study(LEARN, []))}
    assert "placement" in after["collective"]
    assert "placement" in after["policy.engine"]
    assert set(after["cluster"]) == {"python", "packages", "torch companions", "configuration"}


def test_no_check_comes_before_what_it_needs(alone: None) -> None:
    for overrides in ([], ["cluster.address=10.0.0.1:6379"]):
        seen: set[str] = set()
        for one in checks(load_study(LEARN, overrides)):
            assert seen >= set(one.after), one.name
            seen.add(one.name)


def test_a_broken_environment_does_not_break_the_doctor() -> None:
    """What it imports before it has looked at the packages is what the command line needs anyway."""
    loaded = modules_loaded_by(("jobs.doctor.doctor",), ROOT)
    assert not loaded & {
        "torch",
        "ray",
        "vllm",
        "deepspeed",
        "transformers",
        "pyarrow",
        "psutil",
        "numpy",
        "safetensors",
    }


def test_the_summary_names_what_failed() -> None:
    found = [Found("a", "ok", ""), Found("b", "failed", ""), Found("c", "not checked", ""), Found("d", "failed", "")]
    assert summary(found) == "doctor: 1 ok, 2 failed (b, d; docs/doctor.md says what each means), 1 not checked"
    assert summary(found[:1]) == "doctor: 1 ok"


def test_a_line_is_aligned_and_keeps_secrets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "a-very-secret-value")
    show(Found("keys", "failed", f"[red] a-very-secret-value {'x' * 200}"), 12)
    assert capsys.readouterr().out == f"  keys          failed       [red] *** {'x' * 200}\n"


# --- what fails before Ray -----------------------------------------------------------------------


def visit(study: Study, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, tuple[str, str]], str]:
    """State and line by name, and the last line, of a visit that finds a fault."""
    import ray

    capsys.readouterr()
    with pytest.raises(TruingError) as caught:
        run_doctor(study)
    assert not ray.is_initialized()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    planned = [one.name for one in checks(study)]
    assert len(lines) == len(planned)
    width = max(map(len, planned))
    cells = {line[2 : 2 + width].strip(): (line[4 + width : 15 + width].strip(), line[17 + width :]) for line in lines}
    return cells, str(caught.value)


def small_study(small: list[str], tmp_path: Path, *overrides: str) -> Study:
    return load_study(LEARN, [*small, f"storage={tmp_path / 'runs'}", *overrides])


def test_a_wrong_configuration_starts_no_ray(
    alone: None, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells, last = visit(small_study(small, tmp_path, "model.path=/no/such/model"), capsys)
    state, line = cells["configuration"]
    assert state == "failed"
    assert line.startswith("model /no/such/model: is not a language model (it has no config.json);")
    assert cells["storage"][0] == "ok"
    assert cells["cluster"] == ("not checked", "configuration failed")
    assert cells["collective"] == ("not checked", "placement was not checked")
    assert cells["policy.engine: parity"] == ("not checked", "policy.engine was not checked")
    assert last.startswith("doctor: ")
    assert "1 failed (configuration; docs/doctor.md says what each means)" in last
    assert not (tmp_path / "runs").exists()


def test_a_storage_that_cannot_be_written(
    alone: None, small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found beside the other faults, not instead of them; a study without models is not asked for any."""
    recorded = write_lines(tmp_path / "outputs.jsonl", [{"prompt": "Why?", "output": "So."}])
    given: dict[str, Any] = {
        "name": "records",
        "storage": "/dev/null/runs",
        "trackers": [{"kind": "wandb", "mode": "online"}],
        "evaluate": {"grid": None, "recorded": [{"kind": "outputs", "name": "a", "path": str(recorded)}]},
    }
    os.environ.pop("WANDB_API_KEY", None)
    cells, last = visit(Study.model_validate(given), capsys)
    assert list(cells) == HERE
    assert cells["storage"] == (
        "failed",
        "/dev/null/runs/records: cannot be written (Not a directory); free space or give another storage=...",
    )
    assert cells["keys"][0] == "failed"
    assert cells["configuration"] == ("ok", "1 recorded files, no model is asked")
    assert last == "doctor: 4 ok, 2 failed (keys, storage; docs/doctor.md says what each means)"


BROKEN = """
import sys
from pathlib import Path
sys.modules |= dict.fromkeys(("torch", "ray", "transformers", "pyarrow", "psutil"))
from jobs.doctor.doctor import run_doctor
from truing.config.load import load_study
from truing.errors import TruingError
try:
    run_doctor(load_study(Path(sys.argv[1]), sys.argv[2:]))
except TruingError as error:
    print(error)
"""


def test_packages_that_are_there_and_do_not_import(alone: None, small: list[str], tmp_path: Path) -> None:
    """Each check that needs one of them says so, and the others are made."""
    command = [sys.executable, "-c", BROKEN, str(LEARN), *small, f"storage={tmp_path / 'runs'}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    states = {line[2:27].strip(): line[28:].strip() for line in done.stdout.splitlines() if line.startswith("  ")}
    halted = "failed       could not be checked (ModuleNotFoundError: import of {} halted; None in sys.modules)"
    assert states["devices"] == halted.format("torch")
    assert states["open files"] == halted.format("psutil")
    assert states["configuration"].startswith("failed       could not be checked (ModuleNotFoundError: ")
    assert states["storage"].startswith("ok ")
    assert states["keys"].startswith("ok ")
    assert states["cluster"] == "not checked  configuration failed"


# --- a visit with a real engine ------------------------------------------------------------------


def test_a_healthy_study(alone: None, small: list[str], tmp_path: Path) -> None:
    """A cluster, two ranks, an engine and a forward pass: about 40 s on two free cores."""
    done = truing(tmp_path, "doctor", str(LEARN), *small, f"storage={tmp_path / 'runs'}").expect(0)
    planned = names(*small)
    assert done.last_line == f"doctor: {len(planned)} ok"
    lines = [line.strip() for line in done.out.splitlines() if line.startswith("  ")]
    assert [line.split("  ")[0] for line in lines] == planned
    assert "wrote 1 token, as float32" in lines[-3]
    assert not (tmp_path / "runs").exists()
