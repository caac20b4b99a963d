"""`truing label storage=s3://...` as a user starts it: the machine is lost, the next one finds all of it and asks nothing again."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from jobs.cluster.snapshot import looked_at
from jobs.run_path import run_address, run_path
from jobs.store import Table
from tests.jobs.cluster.s3 import Server, server
from tests.jobs.drive import ROOT, truing, write_lines
from truing.config.load import load_study

RECIPE = str(ROOT / "configs" / "smoke" / "label.yaml")


@pytest.fixture(scope="module")
def s3() -> Iterator[Server]:
    with server() as running:
        yield running


def times_asked(run: Path) -> int:
    return sum(Table(path.with_suffix("")).times_asked() for path in run.rglob("*.asked"))


def test_a_run_outlives_its_machine(s3: Server, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("TRUING_CACHE", str(cache))
    rows = [
        {"prompt": f"Question {i}?", "first": f"Yes, {i}.", "second": f"No, {i}.", "judge": [1, 1]} for i in range(6)
    ]
    pairs = write_lines(tmp_path / "pairs.jsonl", rows)
    uri = s3.uri(f"{s3.make('studies')}/runs")
    overrides = [
        f"storage={uri}", f"labeler={{kind: recorded, path: {pairs}, verdict: judge}}", f"label.pairs.path={pairs}",
        "label.marked=null", f"model.path={tiny}", "cluster.mirror_every=1",
    ]  # fmt: skip
    study = load_study(Path(RECIPE), overrides)
    run = run_path(study)
    assert run.is_relative_to(cache)

    first = truing(tmp_path, "label", RECIPE, *overrides).expect(0)
    assert f"smoke-label is kept at {run_address(study)}, worked on in {run}" in first.out
    assert first.last_line == str(run / "report.html")
    asked, files = times_asked(run), set(looked_at(run))
    assert asked == len(rows)
    filesystem, root = fs.FileSystem.from_uri(run_address(study))
    with filesystem.open_input_stream(f"{root}/report.html") as stream:
        assert stream.read() == (run / "report.html").read_bytes()

    shutil.rmtree(cache)
    again = truing(tmp_path, "label", RECIPE, *overrides).expect(0)
    assert again.last_line == str(run / "report.html")
    assert set(looked_at(run)) == files
    assert times_asked(run) == asked

    # The page alone, from what the bucket has.
    shutil.rmtree(cache)
    page = truing(tmp_path, "report", RECIPE, *overrides).expect(0)
    assert page.last_line == str(run / "report.html")
    assert set(looked_at(run)) == files
