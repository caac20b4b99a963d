"""A whole grid from the command line, on tiny models and a real Ray: what is measured, and that nothing is done twice."""

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jobs.grid.store import read_grid
from jobs.store import Table
from tests.actors.chat_server import completion, serving
from tests.jobs.drive import ROOT, Outcome, truing, write_lines
from truing.evaluation.figure import Figure
from truing.report.grid_contents import Grid

pytestmark = pytest.mark.timeout(3600)

SMOKE = ROOT / "configs" / "smoke" / "grid.yaml"
WORDS = ("bread", "river", "wheel", "snow", "salt", "glass", "tea", "wood")


class Run:
    """The grid, evaluated once."""

    def __init__(self, home: Path, tiny: str) -> None:
        self.home, self.tiny = home, tiny
        write_lines(
            home / "questions.jsonl", [{"prompt": f"What about {w}?", "answer": f"{w} is good."} for w in WORDS]
        )
        write_lines(home / "others.jsonl", [{"prompt": f"Say {w} twice", "answer": f"{w} {w}"} for w in WORDS])
        write_lines(home / "outputs.jsonl", [{"prompt": f"What about {w}?", "output": f"{w} is good."} for w in WORDS])
        rows = [{"goal": w, "sol1": w, "sol2": "no", "label": 0} for w in WORDS[:4]]
        write_lines(home / "choices.jsonl", rows)
        wordings = ["Which serves {goal}: A {A} or B {B}?", "{goal}: A={A} B={B}. Letter:"]
        (home / "wordings.yaml").write_text(json.dumps({"prompts": wordings}), encoding="utf-8")
        self.folder = home / "smoke-grid"
        self.first = self.evaluate()

    def evaluate(self, *overrides: str) -> Outcome:
        given = {
            "storage": self.home, "model.path": self.tiny, "labeler.model.path": self.tiny,
            "labeler.engine.cache_gb": 0.1, "labeler.model.context": 700,
            "evaluate.grid.policies.0.path": self.tiny,
            "evaluate.grid.policies.2.path": self.home / "outputs.jsonl",
            "evaluate.grid.data.0.path": self.home / "questions.jsonl",
            "evaluate.grid.data.1.path": self.home / "others.jsonl",
            "evaluate.grid.data.2.examples.path": self.home / "choices.jsonl",
            "evaluate.grid.data.2.wordings.path": self.home / "wordings.yaml",
        }  # fmt: skip
        settings = [f"{key}={value}" for key, value in given.items()]
        return truing(self.home, "evaluate", str(SMOKE), *settings, *overrides).expect(0)

    @property
    def grid(self) -> Grid:
        found = read_grid(self.folder)
        assert found is not None
        return found

    def table(self, name: str) -> list[dict[str, Any]]:
        return pq.read_table(self.folder / "evaluation" / "grid" / f"{name}.parquet").to_pylist()

    def figures(self, metric: str, **where: Any) -> list[Figure]:
        return [
            f for f in self.grid.figures if f.metric == metric and all(getattr(f, k) == v for k, v in where.items())
        ]

    def asked(self) -> dict[str, int]:
        """How often something was asked, by table."""
        tables = [path.with_suffix("") for path in self.folder.rglob("*.asked")]
        return {str(path.relative_to(self.folder)): Table(path).times_asked() for path in tables}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Run:
    return Run(tmp_path_factory.mktemp("grid"), tiny)


def test_every_policy_has_a_figure_in_every_cell_that_it_can_have(run: Run) -> None:
    places = {(f.policy, f.data, f.temperature) for f in run.figures("words")}
    sampled = {(p, d, t) for p in ("start",) for d in ("questions", "others") for t in (0.0, 1.0)}
    best = {("best of 2", d, 1.0) for d in ("questions", "others")}
    assert places == sampled | best | {("recorded", "questions", None)}


def test_n_is_the_number_of_prompts(run: Run) -> None:
    assert {(f.data, f.n) for f in run.figures("words", policy="start")} == {("questions", 6), ("others", 4)}


def test_the_bound_of_best_of_two_is_counted_by_hand(run: Run) -> None:
    # log 2 - 1/2
    values = [f.value for f in run.figures("KL", policy="best of 2")]
    assert values == [pytest.approx(math.log(2) - 0.5)] * 2


def test_best_of_two_is_drawn_beside_the_outputs_that_it_meets(run: Run) -> None:
    asked = run.asked()
    (start,) = [name for name in asked if name.startswith("evaluation/grid/outputs/")]
    # 6 + 4 prompts: once greedy; at temperature 1 K = 2 of its own, and twice two of which the better one counts.
    assert asked[start] == 10 * 1 + 10 * (2 + 2 * 2)
    sampled = [row for row in run.table("outputs") if row["temperature"] == 1.0]
    own, best = ({(row["item"], row["text"]) for row in sampled if row["policy"] == p} for p in ("start", "best of 2"))
    assert (len(own), len(best), own & best) == (20, 20, set())


def test_recorded_outputs_equal_to_their_references_tie_and_overlap_wholly(run: Run) -> None:
    (won,) = run.figures("win rate against reference", policy="recorded")
    (overlap,) = run.figures("ROUGE-L F1", policy="recorded")
    assert (won.value, won.n, overlap.value) == (0.5, 6, 1.0)


def test_a_greedy_policy_has_one_output_and_no_diversity_per_input(run: Run) -> None:
    rows = [row for row in run.table("outputs") if row["policy"] == "start" and row["data"] == "questions"]
    by_temperature = {t: [row["number"] for row in rows if row["temperature"] == t] for t in (0.0, 1.0)}
    assert by_temperature == {0.0: [0] * 6, 1.0: [0, 1] * 6}
    assert {f.temperature for f in run.figures("EAD per input", policy="start")} == {1.0}


def test_every_score_can_be_traced_to_its_question_and_its_outputs(run: Run) -> None:
    questions = {(row["data"], row["item"], row["variant"]): row for row in run.table("questions")}
    outputs = {
        (row["policy"], row["temperature"], row["data"], row["item"], row["variant"]) for row in run.table("outputs")
    }
    scores = [row for row in run.table("scores") if row["item"]]
    assert {(row["data"], row["item"], row["variant"]) for row in scores} <= set(questions)
    words = [row for row in scores if row["metric"] == "words" and row["value"] is not None]
    assert {(r["policy"], r["temperature"], r["data"], r["item"], r["variant"]) for r in words} == outputs
    assert {len(row["choices"]) for (data, _, _), row in questions.items() if data == "choices"} == {2}


def test_gaps_are_of_the_shifted_data(run: Run) -> None:
    found = run.figures("gap: reward", policy="start")
    assert {(f.data, f.shift, f.n) for f in found} == {("others", "topic", 10)}


def test_accuracy_in_each_wording_and_over_them(run: Run) -> None:
    each = {f.variant: f.value for f in run.figures("accuracy", data="choices")}
    (mean,) = run.figures("accuracy: mean over wordings", data="choices")
    assert set(each) == {"1", "2"}
    assert "accuracy: mean" in run.first.out
    assert mean.value == pytest.approx(sum(value or 0 for value in each.values()) / 2)
    (wordings,) = [w for w in run.grid.wordings if w.metric == "accuracy"]
    assert list(wordings.accuracies) == list(each.values())


def test_the_page_shows_it(run: Run) -> None:
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert "best of 2" in page
    assert run.grid.samples[0].prompt in page
    assert run.first.last_line == str((run.folder / "report.html").resolve())


def test_further_policies_cost_themselves_alone(run: Run, other_tiny: str) -> None:
    before = run.asked()
    (start,) = [name for name in before if name.startswith("evaluation/grid/outputs/")]
    with serving() as server:
        server.play(completion("It is good."))
        endpoint = {"kind": "endpoint", "url": f"http://127.0.0.1:{server.server_port}/v1", "model": "remote"}
        policies = [
            {"kind": "model", "name": "start", "path": run.tiny},
            {"kind": "best_of", "name": "best of 2", "of": "start", "n": 2},
            {"kind": "outputs", "name": "recorded", "path": str(run.home / "outputs.jsonl")},
            {"kind": "model", "name": "other", "path": other_tiny},
            {"kind": "endpoint", "name": "remote", "endpoint": endpoint},
        ]
        run.evaluate(f"evaluate.grid.policies={json.dumps(policies)}")
        sent = [body["temperature"] for body in server.bodies]
    after = run.asked()
    new = {name for name in after if name.startswith("evaluation/grid/outputs/")} - set(before)
    # 6 + 4 prompts of each of the two: once greedy, and K = 2 at temperature 1.
    assert [after[name] for name in sorted(new)] == [10 * 1 + 10 * 2] * 2
    assert after[start] == before[start]
    (kl,) = run.figures("KL", policy="other", data="questions", temperature=1.0)
    assert kl.value is not None
    assert kl.value > 0
    # One more request sees whether the server answers at all.
    assert (sent.count(0.0), sent.count(1.0)) in {(10, 21), (11, 20)}
    assert {f.value for f in run.figures("words", policy="remote")} == {3.0}
