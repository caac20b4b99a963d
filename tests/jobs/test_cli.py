"""The command line itself: help at once, a dry run of every command, faults of its own in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.alone import working_alone
from tests.jobs.conftest import LEARN, Call
from tests.jobs.drive import ROOT, truing

COMMANDS = ("pipeline", "label", "train", "evaluate", "report")
DEMO = str(ROOT / "configs" / "smoke" / "demo.yaml")


def test_help_is_printed_without_loading_what_is_heavy():
    code = (
        "import json, sys\n"
        "sys.argv = ['truing', '--help']\n"
        "from jobs.cli import main\n"
        "try:\n    main()\n    code = 0\n"
        "except SystemExit as end:\n    code = end.code\n"
        "print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    code, modules = json.loads(done.stderr)
    assert not code
    assert not {"torch", "ray", "vllm", "pydantic", "deepspeed", "transformers", "numpy"} & set(modules)
    for command in (*COMMANDS, "plan", "serve", "keys"):
        assert command in done.stdout


def test_the_console_script_answers_for_itself():
    script = Path(sys.executable).with_name("truing")
    done = subprocess.run([script, "--help"], cwd="/", capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0
    assert "Align language models" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_what_it_would_do_and_does_nothing(cli: Call, command: str, tiny: str, tmp_path: Path):
    storage = tmp_path / "runs"
    overrides = (f"storage={storage}", f"model.path={tiny}", f"labeler.model.path={tiny}", "policy.steps=3")
    done = cli(command, DEMO, *overrides, "--dry-run").expect(0)
    assert done.err == ""
    # The resolved configuration: an override, and a default that no file names.
    assert "  steps: 3\n" in done.out
    assert "  importance_cap: 2.0\n" in done.out
    # The plan, and what each role asks of the cluster.
    assert "rloo: 3 steps of 4 prompts x 4 completions" in done.out
    assert "60 marked" in done.out or "marked pairs, both orders" in done.out
    # A long path is folded over lines.
    assert f"resultsgoto{storage}" in "".join(done.out.split())
    assert "policy.learner" in done.out
    # What each role needs, and which one takes longest.
    assert "Memory, GB" in done.out
    assert "  bottleneck: " in done.out
    assert not storage.exists()


def test_a_dry_run_refuses_what_a_run_would_refuse(cli: Call, tmp_path: Path):
    done = cli("train", str(LEARN), f"model.path={tmp_path}", "--dry-run")
    assert done.code == 2
    assert "is not a language model" in done.err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("trian", "x.yaml"), "No such command 'trian'"),
        (("train",), "Missing argument 'config'; see truing --help"),
        (("train", "--fast", "x.yaml"), "No such option: --fast"),
        (("train", "nowhere.yaml"), "nowhere.yaml: there is no such file; the recipes are in configs/"),
        (("train", str(LEARN), "steps"), "'steps' is not an override; write key.path=value"),
        (("keys", "policy.lerner"), "keys policy.lerner: there is no such key; did you mean 'learner'?"),
    ],
)
def test_a_wrong_command_line_gets_one_line(cli: Call, arguments: tuple[str, ...], expected: str):
    done = cli(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("truing: ")
    assert expected in done.err
    assert done.err.count("\n") == 1


def test_the_keys_of_a_section_are_shown_as_a_table(cli: Call):
    done = cli("keys", "policy.learner").expect(0)
    title, head, *lines = done.out.strip().splitlines()
    assert title == "policy.learner (Learner): DeepSpeed ZeRO ranks that train one network."
    row = next(line for line in lines if line.startswith("learning_rate "))
    assert head.split() == ["key", "takes", "default", "meaning"]
    # As `learner` of `policy` has it: a Learner by itself has 1e-05.
    cells = ["learning_rate", "number above 0", "`1e-06`", "Peak learning rate of AdamW."]
    assert row.split() == " ".join(cells).split()
    assert [row.index(cell) for cell in cells] == [head.index(name) for name in head.split()]


def test_brackets_of_a_default_are_shown_as_they_are(cli: Call):
    done = cli("keys", "evaluate.recorded.outputs.metrics").expect(0)
    assert "`[length, ead, distinct]`" in done.out


def test_the_keys_of_the_top_level_are_shown_without_a_name(cli: Call):
    done = cli("keys").expect(0)
    assert done.out.strip().startswith("study (Study): The whole configuration.")
    assert "\nprompts " in done.out


def test_a_report_needs_a_run(cli: Call, tiny: str, tmp_path: Path):
    done = cli("report", str(LEARN), f"storage={tmp_path}", f"model.path={tiny}", f"labeler.model.path={tiny}")
    assert done.code == 2
    expected = f"truing: {tmp_path}/learn: there is no such run; run `truing pipeline` with this configuration first\n"
    assert done.err == expected


def test_a_report_of_a_run_that_has_only_begun(cli: Call, tiny: str, tmp_path: Path):
    (tmp_path / "learn").mkdir()
    done = cli("report", str(LEARN), f"storage={tmp_path}", f"model.path={tiny}", f"labeler.model.path={tiny}").expect(
        0
    )
    assert done.last_line == str(tmp_path / "learn" / "report.html")
    assert (tmp_path / "learn" / "report.html").read_text().startswith("<!")


def test_a_second_command_on_a_run_is_refused_and_the_report_is_not(cli: Call, tiny: str, tmp_path: Path):
    given = (str(LEARN), f"storage={tmp_path}", f"model.path={tiny}", f"labeler.model.path={tiny}")
    (tmp_path / "learn").mkdir()
    with working_alone(tmp_path / "learn"):
        done = cli("train", *given).expect(2)
        cli("report", *given).expect(0)
    who = f"process {os.getpid()}"
    assert done.err == f"truing: {tmp_path}/learn: {who} works on this run; wait until it has ended, or end it\n"
    with working_alone(tmp_path / "learn"):
        pass


@pytest.mark.parametrize("there", ["link", "file", "open"])
def test_locks_that_others_could_have_laid_are_refused(
    cli: Call, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
):
    """A link in the place of a lock would be followed, and what it names emptied."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    locks = tmp_path / f"truing-{os.getuid()}"
    if there == "link":
        (tmp_path / "elsewhere").mkdir()
        locks.symlink_to(tmp_path / "elsewhere")
    elif there == "file":
        locks.touch()
    else:
        locks.mkdir()
        locks.chmod(0o777)
    given = (str(LEARN), f"storage={tmp_path}", f"model.path={tiny}", f"labeler.model.path={tiny}")
    done = cli("train", *given).expect(2)
    assert done.err == f"truing: {locks}: is to be a folder that this user alone can write; remove it, or set TMPDIR\n"
    assert not list(tmp_path.glob("elsewhere/*"))


def test_a_report_does_without_git(cli: Call, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An image for pods need not have it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "learn").mkdir()
    cli("report", str(LEARN), f"storage={tmp_path}", f"model.path={tiny}", f"labeler.model.path={tiny}").expect(0)
    assert "not a git checkout" in (tmp_path / "learn" / "report.html").read_text()


def test_a_fault_has_its_line_and_its_code_in_a_real_process(tmp_path: Path):
    done = truing(tmp_path, "train", str(LEARN), "polcy.steps=3")
    assert done.code == 2
    assert done.out == ""
    assert done.err.splitlines() == [f"truing: {LEARN}: polcy: there is no such key; did you mean 'policy'?"]
