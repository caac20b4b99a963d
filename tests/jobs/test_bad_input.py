"""Bad input gets one clear line, a non-zero exit, and nothing is lost. Each line is shown here."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from jobs.context import Context
from tests.jobs.conftest import LEARN, Call
from tests.jobs.drive import Outcome, write_lines
from truing.config.load import load_study
from truing.errors import TruingError


def one_line(done: Outcome, code: int) -> str:
    """The one line that a refused command prints, without its `truing: `."""
    assert done.code == code, done.tail()
    lines = done.err.splitlines()
    assert len(lines) == 1, done.tail()
    assert lines[0].startswith("truing: ")
    return lines[0].removeprefix("truing: ")


# --- configuration -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("polcy.steps=3", "polcy: there is no such key; did you mean 'policy'?"),
        ("policy.stepz=3", "policy.stepz: there is no such key; did you mean 'steps'?"),
        ("policy.learner.lr=0.1", "policy.learner.lr: there is no such key; "),
        ("policy.rewards.0.patern=a", "policy.rewards.0.pattern.patern: there is no such key; did you mean 'pattern'?"),
        (
            "policy.steps=many",
            "policy.steps: input should be a valid integer, unable to parse string as an integer, got 'many'",
        ),
        (
            "policy.rewards.0={kind: ai_score, criterion: 'a/b'}",
            "policy.rewards.0.ai_score.criterion: string should match pattern",
        ),
        ("policy.steps=0", "policy.steps: input should be greater than 0, got 0"),
        ("policy.learner.learning_rate=.nan", "policy.learner.learning_rate: input should be a finite number"),
        ("policy.rewards.0.pattern='['", "policy.rewards.0.pattern.pattern: is not a regular expression ("),
        (
            "policy.learner.offload=true",
            "policy.learner: offload moves a GPU's state to the host, and gpus is 0: leave",
        ),
        ("reward_model.patience=3", "reward_model: patience counts looks at the held-out data: set evaluate_every too"),
        ("label.marked.train_share=0.5", "label.marked.train_share: there is no such key; "),
        ("reward_model.label_weight=0.5", "reward_model.label_weight: there is no such key; "),
        ("name=../elsewhere", "name: string should match pattern"),
    ],
)
def test_configuration(cli: Call, small: list[str], tmp_path: Path, override: str, expected: str):
    line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path / 'runs'}", override), 2)
    assert line.startswith(f"{LEARN}: {expected}")
    assert not (tmp_path / "runs").exists()


# --- prompts and pairs -------------------------------------------------------------------------------

GOOD = b'{"id": "a", "text": "What is bread?"}\n'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, ": there is no such file or folder; give JSON Lines, JSON, Parquet, a folder or org/name:split"),
        (b"", ": holds no rows; give a source with at least one"),
        (b"\n \n", ": holds no rows; give a source with at least one"),
        (GOOD + b'{"id": "b"}\n', ", row 2: has no 'text'; give it as a non-empty string, or remove the row"),
        (
            GOOD + b'{"id": "b", "text": "  "}\n',
            ", row 2: has no 'text'; give it as a non-empty string, or remove the row",
        ),
        (GOOD + b'{"text": "caf\xe9"}\n', ", row 2: invalid UTF-8 at byte 13; save the file as UTF-8"),
        (GOOD + b"What is bread?\n", ", row 2: is not JSON (Expecting value, column 1); one object a line"),
        (GOOD + b'{"id": "a", "text": "Why?"}\n', ": id 'a' names two different prompts; give each its own id"),
        (
            GOOD + b'{"text": "Why?", "split": "test"}\n',
            ": prompt 'Why?' has split 'test'; use id, ood_domain, ood_style",
        ),
    ],
)
def test_prompts(cli: Call, small: list[str], tmp_path: Path, content: bytes | None, expected: str):
    path = tmp_path / "prompts.jsonl"
    if content is not None:
        path.write_bytes(content)
    done = cli("pipeline", str(LEARN), *small, f"storage={tmp_path / 'runs'}", f"prompts.path={path}")
    assert one_line(done, 2) == f"{path}{expected}"
    assert not (tmp_path / "runs").exists()


def test_no_prompt_is_left_to_train_on(cli: Call, small: list[str], tmp_path: Path):
    line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path / 'runs'}", "prompts.holdout=8"), 2)
    assert line.startswith("prompts.holdout is 8 and there are 8 in-distribution prompts: none is left to train on;")


def test_a_pair_without_its_prompt(cli: Call, small: list[str], tmp_path: Path):
    path = write_lines(tmp_path / "pairs.jsonl", [{"chosen": "yes", "rejected": "no"}])
    done = cli("label", str(LEARN), *small, f"storage={tmp_path / 'runs'}", f"label.marked.path={path}")
    assert one_line(done, 2) == (
        f"{path}, row 1: 'prompt' is not text; give text there, name the right column (columns: {{noun: column}}),"
        " or remove the row"
    )


@pytest.mark.parametrize("stage", ["reward_model", "dpo"])
def test_preferences_that_are_not_there(cli: Call, small: list[str], tmp_path: Path, stage: str):
    done = cli("train", str(LEARN), *small, f"storage={tmp_path}", f"{stage}.batch=8")
    assert one_line(done, 2) == (
        f"{stage}: {tmp_path}/learn holds no preferences to train on; run `truing label` with this configuration first,"
        f" or name a set of human labels in {stage}.data"
    )


def people(folder: Path) -> Path:
    rows = [{"prompt": f"Why {i}?", "chosen": "So.", "rejected": "Because."} for i in range(10)]
    return write_lines(folder / "people.jsonl", rows)


@pytest.mark.parametrize("stage", ["reward_model", "dpo"])
def test_a_source_that_is_not_there(cli: Call, small: list[str], tmp_path: Path, stage: str):
    given = f"{stage}={{data: [{{path: {people(tmp_path)}, name: people}}], sources: {{peple: {{weight: 2}}}}}}"
    assert one_line(cli("train", str(LEARN), *small, f"storage={tmp_path}", given), 2) == (
        f"{stage}.sources names 'peple' and no preference is of that source; there are people"
    )


@pytest.mark.parametrize("stage", ["reward_model", "dpo"])
def test_fewer_prompts_than_a_batch(cli: Call, small: list[str], tmp_path: Path, stage: str):
    given = f"{stage}={{data: [{{path: {people(tmp_path)}, name: people}}], batch: 16}}"
    # A tenth of ten is tested.
    assert one_line(cli("train", str(LEARN), *small, f"storage={tmp_path}", given), 2) == (
        f"{stage}: 9 training prompts for a batch of 16; label more pairs"
    )


def test_demonstrations_of_which_none_is_left(cli: Call, small: list[str], tmp_path: Path):
    path = write_lines(tmp_path / "d.jsonl", [{"prompt": f"Why {i}?", "answer": "So."} for i in range(4)])
    given = f"sft={{data: [{{path: {path}}}], holdout: 1.0}}"
    line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path}", given), 2)
    assert line == (
        "a held-out share of 1.0 of 4 demonstrations: none is left to train on; give more demonstrations or another share"
    )


def test_rounds_that_train_no_policy(cli: Call, small: list[str], tmp_path: Path):
    line = one_line(cli("pipeline", str(LEARN), *small, f"storage={tmp_path}", "policy=null", "rounds=2"), 2)
    assert line == ("rounds: each begins from the policy of the one before; add a policy, rejection or dpo section")


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            "template: geval, criterion: wit",
            "template geval: has no criterion 'wit'; use overall, coherence, consistency,",
        ),
        ("template: helpful", "template helpful: "),
        ("template: gevall", "template 'gevall': there is none such; use geval,"),
    ],
)
def test_a_direct_score_that_cannot_be_asked_for(cli: Call, small: list[str], tmp_path: Path, part: str, expected: str):
    given = f"policy.rewards=[{{kind: ai_score, {part}}}]"
    line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path / 'runs'}", given), 2)
    assert line.startswith(expected)
    assert not (tmp_path / "runs").exists()


def test_a_reward_model_that_nobody_trains(cli: Call, small: list[str], tmp_path: Path):
    given = "policy.rewards=[{kind: reward_model}]"
    assert one_line(cli("train", str(LEARN), *small, f"storage={tmp_path}", given), 2) == (
        "the reward graph has a reward_model part and none is trained; add a reward_model section, or give its path"
    )


# --- models ------------------------------------------------------------------------------------------


def folder_with(path: Path, **files: str) -> Path:
    path.mkdir()
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "is not a language model (it has no config.json); give a Hugging Face folder, a Hub name or 'demo'"),
        ({"config_json": "{}"}, "its config.json names no model_type; give a Hugging Face folder"),
        ({"config_json": "{"}, "its config.json cannot be read ("),
        (
            {"config_json": '{"model_type": "llama"}', "model_bin": "x"},
            "has no *.safetensors file; save it with save_pretrained",
        ),
    ],
)
@pytest.mark.parametrize("key", ["model.path", "labeler.model.path"])
def test_a_folder_that_is_not_a_model(
    cli: Call, small: list[str], tmp_path: Path, files: dict[str, str], expected: str, key: str
):
    folder = folder_with(tmp_path / "model", **files)
    line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path / 'runs'}", f"{key}={folder}"), 2)
    assert line.startswith(f"model {folder}: {expected}")
    assert not (tmp_path / "runs").exists()


def test_a_model_folder_that_is_not_there(cli: Call, small: list[str], tmp_path: Path):
    line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path}", "model.path=/no/such/model"), 2)
    assert line.startswith("model /no/such/model: is not a language model (it has no config.json);")


def test_weights_that_are_damaged(cli: Call, small: list[str], tiny: str, tmp_path: Path):
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    whole = (folder / "model.safetensors").read_bytes()
    for damaged in (b"not tensors", whole[: len(whole) // 2]):
        (folder / "model.safetensors").write_bytes(damaged)
        line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path / 'runs'}", f"model.path={folder}"), 2)
        assert line.startswith(f"model {folder}: model.safetensors is damaged (")
        assert line.endswith("copy or save the model again")


def test_an_actor_of_rl_that_cannot_load():
    from ray.exceptions import ActorDiedError, RayTaskError

    from actors.pending import translated

    fault = RayTaskError(
        "Host.__init__", "Traceback ...\nValueError: no such architecture", ValueError("no such architecture")
    )
    assert translated(ActorDiedError(fault)) == "it could not be started (ValueError: no such architecture)"


def test_a_node_that_is_lost_is_named():
    from ray.core.generated.common_pb2 import ActorDiedErrorContext
    from ray.exceptions import ActorDiedError, NodeDiedError

    from actors.pending import translated

    said = "The actor died because its node has died. Node Id: ab \tthe actor's node was terminated unexpectedly"
    death = ActorDiedErrorContext(error_message=said, node_ip_address="10.0.0.3", actor_id=b"a" * 16, pid=7)
    assert translated(ActorDiedError(death)) == "its node 10.0.0.3 was lost, or cut off the network"
    task = "Task failed because the node it was running on is dead or unavailable. Node IP: 10.0.0.4, node ID: ab."
    assert translated(NodeDiedError(task)) == "its node 10.0.0.4 was lost, or cut off the network"
    assert translated(NodeDiedError("The node has died.")) == "its node was lost, or cut off the network"


def test_a_start_policy_that_is_still_to_be_fine_tuned(small: list[str], tmp_path: Path):
    path = write_lines(tmp_path / "d.jsonl", [{"prompt": f"Why {i}?", "answer": "So."} for i in range(4)])
    context = Context.of(load_study(LEARN, [*small, f"storage={tmp_path}", f"sft={{data: [{{path: {path}}}]}}"]))
    with pytest.raises(TruingError) as caught:
        _ = context.start_folder
    assert str(caught.value) == (
        f"{tmp_path}/learn/sft/model: the start policy is not there yet; run `truing train` or `truing pipeline` first"
    )


# --- resources ---------------------------------------------------------------------------------------


def test_more_ranks_than_the_machine_has_cpus(cli: Call, small: list[str], tmp_path: Path):
    """Refused before a cluster is started, instead of waiting for what never comes."""
    have = os.cpu_count() or 1
    done = cli("train", str(LEARN), *small, f"storage={tmp_path}", "policy.learner.ranks=640")
    line = one_line(done, 3)
    assert line.startswith(
        f"policy.learner: asks for 640 x 2 = 1280 CPUs and the cluster has {have} ({1280 - have} short);"
    )
    assert line.endswith(f"{have // 2} of them fit, or lower policy.learner.cpus")


# --- the run folder ----------------------------------------------------------------------------------


def test_a_run_folder_that_cannot_be_made(cli: Call, small: list[str]):
    line = one_line(cli("train", str(LEARN), *small, "storage=/dev/null/runs"), 1)
    assert line == "/dev/null/runs/learn: cannot be written (Not a directory); free space or give another storage=..."


def test_a_disk_that_is_full_before_the_start(cli: Call, small: list[str], tmp_path: Path):
    (tmp_path / "learn").mkdir()
    # What is written goes to a temporary name first.
    (tmp_path / "learn" / ".study.yaml.part").symlink_to("/dev/full")
    line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path}"), 1)
    expected = f"{tmp_path}/learn: cannot be written (No space left on device); free space or give another storage=..."
    assert line == expected


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_fills_up_later(
    cli: Call, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
):
    """Any write of the driver, wherever it is: metrics, a checkpoint's state, the report."""

    def full(study: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("jobs.pipeline.run_train", full)
    line = one_line(cli("train", str(LEARN), *small, f"storage={tmp_path}"), 1)
    assert line == f"{tmp_path}/learn: cannot be written ({os.strerror(code)}); free space or give another storage=..."


def test_a_disk_that_is_full_for_an_actor(tmp_path: Path):
    """A checkpoint is written by the learner's process, in Rust."""
    from safetensors import SafetensorError

    from actors.host import Host

    def save(_: object, folder: Path) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with pytest.raises(TruingError) as caught:
        Host(None).call(save, tmp_path)
    assert "No space left on device" in str(caught.value)
    assert str(caught.value).endswith("free space or give another storage=...")


def test_an_error_that_is_no_fault_of_the_users_is_not_hidden(
    cli: Call, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(study: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("jobs.pipeline.run_train", broken)
    with pytest.raises(ZeroDivisionError):
        cli("train", str(LEARN), *small, f"storage={tmp_path}")


def test_everything_is_checked_before_the_run_folder_is_made(small: list[str], tmp_path: Path):
    study = load_study(LEARN, [*small, f"storage={tmp_path / 'runs'}"])
    Context.of(study)
    assert not (tmp_path / "runs").exists()
