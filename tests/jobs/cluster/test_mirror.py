"""Storage by URI, against a real S3 server: the same files come back, a kill anywhere leaves one state or the other."""

import itertools
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs

from jobs.cluster import bucket as buckets
from jobs.cluster import manifest as manifests
from jobs.cluster import mirror as mirrors
from jobs.cluster.bucket import Bucket
from jobs.cluster.mirror import RECORD, Keeper, Mirror, mirrored
from jobs.cluster.snapshot import Unsettled, looked_at, snapshot
from jobs.run_path import run_address, run_path
from jobs.store import read_json
from tests.jobs.cluster.s3 import Server, server
from tests.jobs.conftest import LEARN, Call
from tests.jobs.drive import Command
from truing.config.study import Study
from truing.errors import ConfigError, TruingError

Tree = Mapping[str, bytes]
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    with server() as running:
        yield running


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "PAUSES", (0.0, 0.0))


@dataclass
class Place:
    """A URI that has a bucket of its own, and the caches of as many machines as are asked for."""

    s3: Server
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    bucket: str

    def study(self, machine: str) -> Study:
        """The study, worked on there from now on."""
        self.monkeypatch.setenv("TRUING_CACHE", str(self.folder / machine))
        return Study.model_validate({"name": "mine", "storage": self.s3.uri(f"{self.bucket}/some/runs")})

    def mirror(self, machine: str, kind: Callable[..., Bucket] = Bucket) -> Mirror:
        """What the machine has after a fetch."""
        study = self.study(machine)
        filesystem, root = fs.FileSystem.from_uri(run_address(study))
        mirror = Mirror(kind(filesystem, root), run_path(study), run_address(study))
        mirror.fetch()
        return mirror

    def objects(self) -> set[str]:
        return Bucket.of(self.study("anywhere")).keys()


@pytest.fixture
def place(s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(s3, tmp_path, monkeypatch, s3.make(f"bucket-{next(NUMBERS)}"))


def lay(folder: Path, tree: Tree) -> None:
    """Make a folder hold these files alone, beside the record; each is written anew under another name and renamed."""
    for path in looked_at(folder) if folder.is_dir() else ():
        if path not in tree:
            (folder / path).unlink()
    for path, data in tree.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        part = folder / path.replace(Path(path).name, f".{Path(path).name}.part")
        part.write_bytes(data)
        part.replace(folder / path)


def tree_of(folder: Path) -> dict[str, bytes]:
    return {path: (folder / path).read_bytes() for path in looked_at(folder)}


# --- fetch after upload ----------------------------------------------------------------------------------------------

FOLDERS = st.sampled_from(["", "policy/", "policy/checkpoint-000008/policy/", "labels.ledger/", "ä ö/"])
NAMES = st.sampled_from(["metrics.jsonl", "a#b", "50%", "x y+z", "ü.json", "what?", "part-1.pending.parquet", "key"])
TREES = st.dictionaries(st.builds(str.__add__, FOLDERS, NAMES), st.binary(max_size=40), max_size=6)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=1, max_size=3))
def test_what_is_fetched_is_what_was_uploaded_last(place: Place, trees: list[Tree]):
    place.bucket = place.s3.make(f"bucket-{next(NUMBERS)}")
    shutil.rmtree(place.folder / "a", ignore_errors=True)
    shutil.rmtree(place.folder / "b", ignore_errors=True)
    mirror = place.mirror("a")
    for tree in trees:
        mirror.folder.mkdir(parents=True, exist_ok=True)
        lay(mirror.folder, tree)
        mirror.upload()
    there = place.mirror("b").folder
    assert (tree_of(there) if there.is_dir() else {}) == trees[-1]
    # Who looks into the bucket sees the same files at their own paths, and nothing else that is not hidden.
    filesystem, root = fs.FileSystem.from_uri(mirror.address)
    plain = {key for key in place.objects() if not key.startswith(".mirror/")}
    assert {key: filesystem.open_input_stream(f"{root}/{key}").read() for key in plain} == trees[-1]


def test_what_is_temporary_stays_here_and_a_page_opens_in_a_browser(place: Place):
    mirror = place.mirror("a")
    temporary = [".write-test-1", "policy/checkpoint-000001.part/state.json", "refused.x.part", ".x/y"]
    lay(mirror.folder, {"report.html": b"<p>", **dict.fromkeys(temporary, b"half")})
    mirror.upload()
    assert place.objects() == {"report.html", manifests.KEY}
    assert place.s3.kind(f"{place.bucket}/some/runs/mine/report.html") == "text/html"


# --- killed anywhere -------------------------------------------------------------------------------------------------

BEFORE = {"study.yaml": b"a", "policy/metrics.jsonl": b"1\n", "policy/checkpoint-1/w": b"one", "gone": b"-"}
AFTER = {
    "study.yaml": b"b",
    "policy/metrics.jsonl": b"1\n2\n",
    "policy/checkpoint-2/w": b"two",
    "policy/checkpoint-2/s": b"2",
}


class Killed(BaseException):
    """What a kill looks like to those that it does not reach."""


class Failing(Bucket):
    """A bucket whose k-th change is never made, is made by half, or is made and never heard of."""

    at, how, changes = 10**9, "not", 0

    def put(self, key: str, source: Path, size: int) -> None:
        self._change(
            lambda: super(Failing, self).put(key, source, size),
            lambda: super(Failing, self).put(key, source, size // 2),
        )

    def replace(self, key: str, data: bytes) -> None:
        self._change(
            lambda: super(Failing, self).replace(key, data), lambda: self._write(f"{key}.new", data[: len(data) // 2])
        )

    def delete(self, key: str) -> None:
        self._change(lambda: super(Failing, self).delete(key), lambda: None)

    def _change(self, whole: Callable[[], None], half: Callable[[], None]) -> None:
        self.changes += 1
        if self.changes != self.at:
            whole()
            return
        if self.how != "not":
            (half if self.how == "half" else whole)()
        raise Killed


@pytest.mark.parametrize("how", ["not", "half", "unheard"])
def test_a_pass_killed_at_any_change_leaves_one_state_or_the_other(
    place: Place, how: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(buckets, "WORKERS", 1)
    monkeypatch.setattr(mirrors, "ORPHANED", -60.0)
    found: list[str] = []
    for at in itertools.count(1):
        place.bucket = place.s3.make(f"bucket-{next(NUMBERS)}")
        a, b = f"a{at}", f"b{at}"
        mirror: Any = place.mirror(a, Failing)
        lay(mirror.folder, BEFORE)
        mirror.upload()
        lay(mirror.folder, AFTER)
        bucket = mirror._bucket
        bucket.at, bucket.how = bucket.changes + at, how
        try:
            mirror.upload()
        except Killed:
            elsewhere = tree_of(place.mirror(b).folder)
            assert elsewhere in (BEFORE, AFTER)
            found.append("before" if elsewhere == BEFORE else "after")
            # The machine itself has lost nothing, and its next pass ends what this one had begun.
            again = place.mirror(a)
            assert tree_of(again.folder) == AFTER
            assert not again.folder.with_name("mine.aside-1").exists()
            again.upload()
            changed = {
                f"{manifests.CHANGED}/{entry.sha256}"
                for entry in again._manifest.values()
                if "/changed/" in entry.object
            }
            assert len(changed) == 2
            assert place.objects() - {f"{manifests.KEY}.new"} == set(AFTER) | changed | {manifests.KEY}
            assert tree_of(place.mirror(f"c{at}").folder) == AFTER
        else:
            break
    # 2 new files, 2 changed ones, the manifest; then the 2 changed ones at their own paths, and 2 that are gone.
    first = 4 + (how != "unheard")
    assert found == ["before"] * first + ["after"] * (9 - first)


def test_files_that_grow_and_go_while_they_are_uploaded(place: Place):
    class Busy(Bucket):
        """While the first object is put, the run goes on."""

        once = True

        def put(self, key: str, source: Path, size: int) -> None:
            if self.once:
                self.once = False
                with (folder / "metrics.jsonl").open("ab") as file:
                    file.write(b"3\n")
                lay(folder, {**tree_of(folder), "new": b"n", "trust.json": b"other"})
                (folder / "checkpoint").unlink()
            super().put(key, source, size)

    mirror = place.mirror("a", Busy)
    folder = mirror.folder
    then = {"metrics.jsonl": b"1\n2\n", "checkpoint": b"weights", "trust.json": b"{}"}
    lay(folder, then)
    # Written in place, so that it can be appended to: the link is to this very file.
    (folder / "metrics.jsonl").write_bytes(b"1\n2\n")
    mirror.upload()
    assert tree_of(place.mirror("b").folder) == then
    mirror.upload()
    assert tree_of(place.mirror("c").folder) == {"metrics.jsonl": b"1\n2\n3\n", "new": b"n", "trust.json": b"other"}


def test_a_folder_that_does_not_hold_still_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from jobs.cluster import snapshot as snapshots

    (tmp_path / "run").mkdir()
    numbers = itertools.count()

    def restless(folder: Path):
        (folder / "f").write_text(str(next(numbers)))
        return looked_at(folder)

    monkeypatch.setattr(snapshots, "PAUSE", 0)
    monkeypatch.setattr(snapshots, "looked_at", restless)
    with (
        pytest.raises(Unsettled, match="did not hold still for 20 looks"),
        snapshot(tmp_path / "run", tmp_path / "l", {}),
    ):
        pass
    assert not (tmp_path / "l").exists()


# --- two machines ----------------------------------------------------------------------------------------------------


def test_a_run_that_went_on_elsewhere_is_fetched_and_the_older_state_put_aside(
    place: Place, capsys: pytest.CaptureFixture[str]
):
    here = place.mirror("a")
    lay(here.folder, {"a": b"1"})
    here.upload()
    there = place.mirror("b")
    lay(there.folder, {"a": b"2", "b": b"2"})
    there.upload()
    lay(here.folder, {"a": b"unsent"})

    again = place.mirror("a")
    assert tree_of(again.folder) == {"a": b"2", "b": b"2"}
    aside = here.folder.with_name("mine.aside-1")
    assert tree_of(aside) == {"a": b"unsent"}
    assert f"mine went on elsewhere; what this machine had of it is now in {aside}" in capsys.readouterr().out


def test_a_folder_that_is_ahead_is_gone_on_with_also_where_it_deleted_something(place: Place):
    here = place.mirror("a")
    lay(here.folder, {"a": b"1", "stages/label.json": b"{}"})
    here.upload()
    lay(here.folder, {"a": b"1", "b": b"killed before it was sent"})
    again = place.mirror("a")
    assert tree_of(again.folder) == {"a": b"1", "b": b"killed before it was sent"}
    again.upload()
    assert tree_of(place.mirror("b").folder) == {"a": b"1", "b": b"killed before it was sent"}


def test_a_page_written_elsewhere_while_the_run_goes_on_breaks_neither(place: Place):
    here = place.mirror("a")
    lay(here.folder, {"metrics.jsonl": b"1", "report.html": b"old"})
    here.upload()
    there = place.mirror("b")
    lay(there.folder, {"metrics.jsonl": b"1", "report.html": b"of b"})
    # In the middle of a pass of the run's own machine: put, and not named yet.
    here._bucket.put("weights", here.folder / "metrics.jsonl", 1)
    there.upload()
    assert "weights" in place.objects()
    assert tree_of(place.mirror("c").folder) == {"metrics.jsonl": b"1", "report.html": b"of b"}
    lay(here.folder, {"metrics.jsonl": b"2", "report.html": b"old", "weights": b"w"})
    here.upload()
    assert tree_of(place.mirror("d").folder) == {"metrics.jsonl": b"2", "report.html": b"old", "weights": b"w"}


def test_a_bucket_that_was_emptied_meanwhile_gets_everything_again(place: Place):
    here = place.mirror("a")
    lay(here.folder, {"a": b"1", "b": b"1"})
    here.upload()
    place.s3.forget()
    place.s3.make(place.bucket)
    lay(here.folder, {"a": b"1", "b": b"2"})
    here.upload()
    assert tree_of(place.mirror("b").folder) == {"a": b"1", "b": b"2"}


def test_what_is_no_run_is_left_alone(place: Place):
    bucket = Bucket.of(place.study("a"))
    bucket.replace("thesis.tex", b"years")
    with pytest.raises(ConfigError, match=r"holds 1 objects \(thesis\.tex, \.\.\.\) and no manifest, so it is no run"):
        place.mirror("a")
    assert place.objects() == {"thesis.tex"}


def test_an_object_that_somebody_else_has_written_over_is_not_taken(place: Place):
    here = place.mirror("a")
    lay(here.folder, {"a": b"1", "b": b"1"})
    here.upload()
    Bucket.of(place.study("a")).replace("a", b"2")
    with pytest.raises(
        TruingError, match="the object a of a is not what the manifest says: somebody else writes there"
    ):
        place.mirror("b")
    assert not run_path(place.study("b")).exists()


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ".mirror.json", "a/.x", ""])
def test_a_manifest_leads_nowhere_else(path: str):
    text = manifests.written({path: manifests.Entry(1, "0", "x")})
    with pytest.raises(TruingError, match="which is no file of a run"):
        manifests.read(text, "s3://b/mine")


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b'{"version": 2, "files": {}}', b'{"version": 1, "files": {"a": {"size": 1}}}']
)
def test_a_manifest_that_cannot_be_read(text: bytes):
    with pytest.raises(TruingError, match=r"^s3://b/mine: \.mirror/manifest\.json cannot be read \(.*\); restore it"):
        manifests.read(text, "s3://b/mine")


# --- a command -------------------------------------------------------------------------------------------------------


def test_a_server_that_is_not_there_is_one_line_before_anything_else(
    cli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TRUING_CACHE", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    uri = "s3://bucket/runs?endpoint_override=127.0.0.1:9&scheme=http"
    done = cli("train", str(LEARN), f"storage={uri}", "model.path=/nowhere").expect(2)
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith(
        "truing: storage s3://bucket/runs/learn?endpoint_override=127.0.0.1:9&scheme=http: cannot be used ("
    )
    assert line.endswith(f"; {buckets.REMEDY}")
    assert not list(tmp_path.iterdir())
    # The plan does not look there.
    assert "/nowhere" in cli("plan", str(LEARN), f"storage={uri}", "model.path=/nowhere").expect(2).err


def test_a_bucket_that_is_not_there_and_a_scheme_that_is_none(s3: Server, cli: Call):
    done = cli("train", str(LEARN), f"storage={s3.uri('nobody/runs')}").expect(2)
    assert "NO_SUCH_BUCKET" in done.err
    done = cli("train", str(LEARN), "storage=s4://nobody/runs").expect(2)
    assert done.err.startswith("truing: storage s4://nobody/runs/learn: cannot be used (Unrecognized filesystem type")


def command(study: Study, work: Callable[[], None]) -> None:
    with mirrored(study):
        work()


def test_a_last_upload_that_fails_loses_nothing(place: Place, capsys: pytest.CaptureFixture[str]):
    study = place.study("a")

    def work() -> None:
        lay(run_path(study), {"a": b"1", "b": b"2"})
        place.s3.forget()

    with pytest.raises(TruingError) as raised:
        command(study, work)
    assert raised.value.exit_code == 1
    line = str(raised.value)
    assert line.startswith(f"{run_address(study)}: what is new since the last upload could not be uploaded (")
    assert (
        f"; all of the run is in {run_path(study)} on this machine: mend the cause and run the same command again"
        in line
    )
    assert tree_of(run_path(study)) == {"a": b"1", "b": b"2"}

    place.s3.make(place.bucket)
    with mirrored(study):
        pass
    assert tree_of(place.mirror("b").folder) == {"a": b"1", "b": b"2"}


def test_a_command_that_fails_uploads_what_it_has_and_says_its_own_fault(
    place: Place, capsys: pytest.CaptureFixture[str]
):
    study = place.study("a")

    def stopped() -> None:
        lay(run_path(study), {"a": b"1"})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        command(study, stopped)
    assert tree_of(place.mirror("b").folder) == {"a": b"1"}

    def broken() -> None:
        lay(run_path(study), {"a": b"2"})
        place.s3.forget()
        raise ConfigError("its own fault")

    with pytest.raises(ConfigError, match="its own fault"):
        command(place.study("a"), broken)
    assert f"all of the run is in {run_path(study)}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("every", "number", "code"), [(3600, signal.SIGTERM, 130), (1, signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_process_that_is_stopped_uploads_and_one_that_is_killed_has_uploaded(
    place: Place, every: int, number: signal.Signals, code: int
):
    study = place.study("a")
    folder = run_path(study)

    def far_enough() -> bool:
        # The first is stopped an hour before its thread would upload anything, the second killed when it just has.
        return (folder / "a").exists() and (number == signal.SIGTERM or len(read_json(folder / RECORD) or "") == 1)

    running = Command(place.folder, study.storage, str(every), module="tests.jobs.cluster.at_work")
    try:
        running.until(far_enough)
        running.process.send_signal(number)
        outcome = running.wait()
    finally:
        running.end()
    assert outcome.code == code, outcome.tail()
    assert tree_of(place.mirror("b").folder) == {"a": b"1"}


def test_a_second_command_of_this_machine_leaves_the_upload_to_the_first(
    place: Place, capsys: pytest.CaptureFixture[str]
):
    study = place.study("a")
    with mirrored(study):
        lay(run_path(study), {"a": b"1"})
        capsys.readouterr()
        with mirrored(study):
            lay(run_path(study), {"a": b"1", "report.html": b"2"})
        assert "another command of this machine works in" in capsys.readouterr().out
        assert place.objects() == {manifests.KEY}
    assert tree_of(place.mirror("b").folder) == {"a": b"1", "report.html": b"2"}


def test_a_pass_that_fails_is_told_of_once_and_made_up_for(place: Place, capsys: pytest.CaptureFixture[str]):
    class Down(Bucket):
        """Down for the first three passes."""

        failures = 0

        def put(self, key: str, source: Path, size: int) -> None:
            if self.failures < 3:
                self.failures += 1
                raise OSError("the server is\ndown")
            super().put(key, source, size)

    mirror = place.mirror("a", Down)
    lay(mirror.folder, {"a": b"1"})
    keeper = Keeper(mirror, 0.01)
    end = time.monotonic() + 300
    while "a" not in place.objects() and time.monotonic() < end:
        time.sleep(0.05)
    assert keeper.end() == ""
    assert tree_of(place.mirror("b").folder) == {"a": b"1"}
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("what is new could not be uploaded (the server is down); it is tried again each 0.01 s")


def test_the_record_names_the_manifest(place: Place):
    mirror = place.mirror("a")
    lay(mirror.folder, {"a": b"1"})
    mirror.upload()
    text = Bucket.of(place.study("a")).read(manifests.KEY)
    assert text is not None
    assert json.loads((mirror.folder / RECORD).read_text()) == [manifests.identity(text)]
    # What was written elsewhere and is the same here is this folder's state too.
    (mirror.folder / RECORD).write_text("[]")
    mirror.upload()
    assert json.loads((mirror.folder / RECORD).read_text()) == [manifests.identity(text)]
    # Nothing is new: nothing is written.
    mirror._bucket = Failing(*fs.FileSystem.from_uri(mirror.address))
    mirror.upload()
    assert mirror._bucket.changes == 0
