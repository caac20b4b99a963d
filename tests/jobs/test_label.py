"""`truing label` as a whole, with recorded labelers: gate, cascade, reuse, what is left out, no marked pairs at all."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from tests.jobs.conftest import Call
from tests.jobs.drive import Outcome, truing, write_lines

MARKED, PAIRS = 20, 8


def row(kind: str, i: int, gap: bool) -> dict[str, Any]:
    """A pair with the verdicts of two judges: `sure` has one of every pair, `gaps` has none where there is a gap."""
    texts = {"prompt": f"{kind} question {i}?", "first": f"Yes, {i}.", "second": f"No, not {i}."}
    return {**texts, "human": "first", "sure": [1, 1], "gaps": None if gap else [1, 1]}


@dataclass(frozen=True)
class Files:
    """Marked pairs, pairs to be labelled (two of them cannot be used), and the file of verdicts on all of them."""

    folder: Path
    marked: Path
    pairs: Path
    verdicts: Path

    def run(self, name: str, labeler: dict[str, Any], **label: Any) -> Outcome:
        given = {"pairs": {"path": str(self.pairs)}, "marked": {"path": str(self.marked), "name": "people"}, **label}
        config = {
            "name": name,
            "seed": 7,
            "sample": None,
            "storage": str(self.folder),
            "labeler": labeler,
            "label": given,
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        return truing(self.folder, "label", str(file))

    def recorded(self, verdict: str) -> dict[str, Any]:
        return {"kind": "recorded", "path": str(self.verdicts), "verdict": verdict}

    def rows(self, name: str, table: str) -> list[dict[str, Any]]:
        return [
            row for path in (self.folder / name).glob(f"{table}/*.parquet") for row in pq.read_table(path).to_pylist()
        ]

    def report(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / name / "stages" / "label.json").read_text(encoding="utf-8"))["report"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("label")
    # `gaps` has no verdict on 6 of the 20 marked pairs and on 2 of the 9 others, of which the last comes later.
    marked = [row("Marked", i, gap=i < 6) for i in range(MARKED)]
    pairs = [row("Plain", i, gap=i < 2) for i in range(PAIRS + 1)]
    unusable = [{**pairs[0], "prompt": "Empty?", "first": " "}, {**pairs[0], "prompt": "Same?", "second": "Yes, 0."}]
    return Files(
        folder,
        write_lines(folder / "marked.jsonl", [*marked, {**marked[0], "prompt": "Unmarked?", "human": None}]),
        write_lines(folder / "pairs.jsonl", [*pairs[:PAIRS], *unusable]),
        write_lines(folder / "verdicts.jsonl", [*marked, *pairs]),
    )


# --- the gate ----------------------------------------------------------------------------------------


def test_an_ensemble_is_as_answering_as_its_worst_member(files: Files) -> None:
    labeler = {"kind": "ensemble", "members": [files.recorded("sure"), files.recorded("gaps")]}
    # 6 of 40 questions failed, 15 %; of those of `gaps` 6 of 20, 30 %.
    done = files.run("ensemble", labeler, gate={"max_unparsable": 0.2}).expect(5)
    assert "30.0% of the replies of gaps cannot be parsed, above the allowed 20.0%." in done.err
    assert not (files.folder / "ensemble" / "preferences").exists()


# --- a cascade ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cascade(files: Files) -> Outcome:
    labeler = {"kind": "cascade", "first": files.recorded("gaps"), "second": files.recorded("sure")}
    return files.run("cascade", labeler, gate={"on_failure": "warn"}, max_failed=0.5).expect(0)


def test_what_the_first_labeler_fails_on_goes_to_the_second(cascade: Outcome, files: Files) -> None:
    # It is sure of all that it answers: the second is asked about the two failures alone, and all 8 have a label.
    first, second = files.report("cascade")["passes"]
    assert (first["asked"], first["answered"], first["failed"]) == (8, 6, 2)
    assert (second["asked"], second["answered"], second["failed"]) == (2, 2, 0)
    ai = [row for row in files.rows("cascade", "preferences") if row["source"] == "ai"]
    assert {row["prompt"] for row in ai} == {f"Plain question {i}?" for i in range(PAIRS)}
    assert {row["chosen"] for row in ai} == {f"Yes, {i}." for i in range(PAIRS)}
    # Of the 20 marked pairs none is without an answer.
    trust = json.loads((files.folder / "cascade" / "trust.json").read_text())["trust"][0]
    assert trust["unanswered"] == 0
    assert next(one["n"] for one in trust["rows"] if one["figure"] == "alignment") == MARKED


def test_what_is_left_out_is_shown_and_kept(cascade: Outcome, files: Files) -> None:
    said = " ".join(cascade.out.split())
    assert (
        "pairs to be labelled: 2 left out: the prompt or a response is empty (1); the two responses are identical (1)"
        in said
    )
    assert "marked pairs: 1 left out: nobody has marked it (1)" in said
    kept = json.loads((files.folder / "cascade" / "left_out.json").read_text())
    assert kept == {
        "marked": [{"reason": "nobody has marked it", "n": 1, "where": [f"{files.marked}, row 21"]}],
        "pairs": [
            {"reason": "the prompt or a response is empty", "n": 1, "where": [f"{files.pairs}, row 9"]},
            {"reason": "the two responses are identical", "n": 1, "where": [f"{files.pairs}, row 10"]},
        ],
    }


# --- reuse -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reused(cascade: Outcome, files: Files) -> Outcome:
    """The second labeler of the cascade alone, in another folder."""
    return files.run("reused", files.recorded("sure"), reuse=[str(files.folder / "cascade")]).expect(0)


def test_labels_of_another_run_are_taken_over(reused: Outcome, files: Files) -> None:
    # There it was asked about 6 marked pairs and 2 others.
    report = files.report("reused")
    (one,) = report["passes"]
    assert (one["asked"], one["answered"], one["reused"], one["retried"]) == (PAIRS, PAIRS, 2, 0)
    assert (report["asked"], report["reused"]) == (MARKED, 6)
    assert "6 were answered in other runs" in " ".join(reused.out.split())
    assert report["preferences"] == {"ai": PAIRS, "marked": MARKED}


def test_what_is_taken_over_is_not_asked(reused: Outcome, files: Files) -> None:
    logs = {path.name: path.read_text().split() for path in (files.folder / "reused").glob("labels/pairs/*.asked/*")}
    assert logs.pop("reused") == ["2"]
    assert sum(int(n) for log in logs.values() for n in log) == PAIRS - 2
    parts = (path for path in (files.folder / "reused").glob("labels/pairs/*/*.parquet") if "." not in path.parent.name)
    ids = [row["id"] for path in parts for row in pq.read_table(path).to_pylist()]
    assert len(ids) == len(set(ids)) == PAIRS


# --- without marked pairs ----------------------------------------------------------------------------


def test_without_marked_pairs_there_are_ai_labels_alone(files: Files) -> None:
    done = files.run("blind", files.recorded("sure"), marked=None, gate={"on_failure": "warn"}).expect(0)
    said = " ".join(done.out.split())
    assert "gate: There are no marked pairs (label.marked is null): how far to trust the labeler is not known." in said
    assert "Trust in the labeler" not in said
    assert {row["source"] for row in files.rows("blind", "preferences")} == {"ai"}
    assert len(files.rows("blind", "preferences")) == PAIRS
    assert not (files.folder / "blind" / "trust.json").exists()
    assert not (files.folder / "blind" / "labels" / "marked").exists()


def test_without_marked_pairs_a_gate_that_stops_is_refused(cli: Call, files: Files) -> None:
    file = files.folder / "blind.yaml"
    assert file.exists()
    done = cli("label", str(file), "name=never", "label.gate.on_failure=stop")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("truing: label.gate: cannot be judged without marked pairs")
    assert not (files.folder / "never").exists()


# --- again, with more --------------------------------------------------------------------------------


def test_earlier_failures_of_the_first_labeler_stay_with_the_second(reused: Outcome, files: Files) -> None:
    """The failures are dead letters by now, and no longer among the first labeler's requests."""
    with files.pairs.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row("Plain", PAIRS, gap=False)) + "\n")
    (files.folder / "cascade" / "stages" / "label.json").unlink()
    labeler = {"kind": "cascade", "first": files.recorded("gaps"), "second": files.recorded("sure")}
    files.run("cascade", labeler, gate={"on_failure": "warn"}, max_failed=0.5).expect(0)
    assert files.report("cascade")["preferences"] == {"ai": PAIRS + 1, "marked": MARKED}
    trust = json.loads((files.folder / "cascade" / "trust.json").read_text())["trust"][0]
    assert next(one["n"] for one in trust["rows"] if one["figure"] == "alignment") == MARKED
