"""The whole loop on a tiny model: every stage real, two learner ranks, ZeRO 2. One run, and what it left, seen from all sides."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.grid.store import read_grid
from tests.jobs.drive import ROOT, Outcome, metrics, truing, write_lines
from truing.data.loaders import load_prompts, split_holdout
from truing.report.grid_contents import Grid

pytestmark = pytest.mark.timeout(3600)

DEMO = str(ROOT / "configs" / "smoke" / "demo.yaml")
DOMAINS = ("summarize", "helpful", "harmless")
HELD, SHIFTED = 3, 3
LONG = "long-prompt"
POLICIES = ("start", "best of 2", "trained")
SPLITS = ("id", "ood_domain", "ood_style")
SUBJECTS = (
    "bread", "rivers", "wheels", "bees", "snow", "salt", "glass", "tea",
    "wood", "maps", "soap", "owls", "paper", "tides", "bells",
)  # fmt: skip


def prompts(path: Path) -> Path:
    """Fourteen short prompts and one that no engine of 1024 tokens can answer, and three of each shift."""
    rows = [
        {"id": f"id-{i}", "text": f"Tell me about {subject}.", "domain": DOMAINS[i % 3], "split": "id"}
        for i, subject in enumerate(SUBJECTS[:14])
    ]
    # The tiny tokenizer has a token for most letters: far more than the 1012 that fit beside 12 new ones.
    rows.append(
        {"id": LONG, "text": "Tell me about " + "tides and bells and " * 100, "domain": "helpful", "split": "id"}
    )
    for split in SPLITS[1:]:
        rows += [
            {"id": f"{split}-{i}", "text": f"{subject}, {split[4:]}?", "domain": DOMAINS[i], "split": split}
            for i, subject in enumerate(SUBJECTS[:SHIFTED])
        ]
    write_lines(path, rows)
    trained = {prompt.id for prompt in split_holdout(load_prompts(str(path)), HELD)[0]}
    assert LONG in trained, "the long prompt is to meet the sampler and the trainer: give it another id"
    return path


def pairs(path: Path) -> Path:
    """Thirty of the embedded pairs, and one that the judge's context of 2560 tokens does not hold."""
    lines = (ROOT / "truing/data/demo/pairs.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines][::4][:30]
    long = {"id": "long-pair", "domain": "helpful", "prompt": "Why? " * 800, "chosen": "Because.", "rejected": "No."}
    return write_lines(path, [*rows, long])


@dataclass(frozen=True)
class Run:
    """One finished pipeline, and the command that made it."""

    outcome: Outcome
    arguments: tuple[str, ...]
    folder: Path

    def json(self, *where: str) -> Any:
        return json.loads(self.folder.joinpath(*where).read_text(encoding="utf-8"))

    def rows(self, table: str) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        return [
            row for path in sorted(self.folder.glob(f"{table}/*.parquet")) for row in pq.read_table(path).to_pylist()
        ]

    @property
    def grid(self) -> Grid:
        found = read_grid(self.folder)
        assert found is not None
        return found

    @property
    def steps(self) -> list[dict[str, Any]]:
        return metrics(self.folder / "policy" / "metrics.jsonl")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> Run:
    """`truing pipeline configs/smoke/demo.yaml` on the tiny model."""
    folder = tmp_path_factory.mktemp("pipeline")
    arguments = (
        "pipeline",
        DEMO,
        f"storage={folder}",
        f"model.path={tiny}",
        f"labeler.model.path={tiny}",
        f"prompts.path={prompts(folder / 'prompts.jsonl')}",
        f"prompts.holdout={HELD}",
        f"label.marked.path={pairs(folder / 'pairs.jsonl')}",
        # Two of 24 completions fail for certain, and a random model may end an answer before it has begun.
        "label.max_failed=0.25",
        # Every update sees every pair (20 to 25 are trained on): that the loss falls does not hang on which the last one drew.
        "reward_model.batch=20",
        "reward_model.epochs=4",
    )
    outcome = truing(folder, *arguments)
    return Run(outcome.expect(0), arguments, folder / "smoke")


# --- what it says ------------------------------------------------------------------------------------


def test_the_last_line_is_the_reports_path(run: Run):
    assert run.outcome.last_line == str(run.folder / "report.html")
    assert Path(run.outcome.last_line).is_file()


def test_nothing_is_written_to_standard_error(run: Run):
    assert run.outcome.err == ""


@pytest.mark.parametrize(
    "title",
    [
        "Completions",
        "Trust in the labeler",
        "Reward model on held-out pairs",
        "Policy",
        r"id \(in distribution, 3 items\)",
    ],
)
def test_each_stage_prints_one_table(run: Run, title: str):
    assert len(re.findall(rf"^{title} *$", run.outcome.out, re.MULTILINE)) == 1


def test_a_labeler_that_misses_its_gate_is_said_to(run: Run):
    """A random judge prefers a position, not a response."""
    assert "gate: " in run.outcome.out
    assert "A real run would stop here." in run.outcome.out


# --- preferences -------------------------------------------------------------------------------------


def test_preferences_load_as_a_dataset(run: Run, tmp_path: Path):
    from datasets import load_dataset

    files = str(run.folder / "preferences" / "*.parquet")
    data = load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path))
    assert {"prompt", "chosen", "rejected", "p_chosen"} <= set(data.column_names)
    # 11 prompts that fit, a pair each unless a completion was empty or both are the same; 31 marked pairs.
    assert data["source"].count("marked") == 31
    assert 8 <= data["source"].count("ai") <= 11
    assert all(0.5 <= p <= 1 for p in data["p_chosen"])
    assert all(row["chosen"] != row["rejected"] for row in data)
    assert len(set(data["id"])) == len(data)


def test_p_chosen_follows_from_the_raw_log_probs_of_both_orders(run: Run):
    labelled = [row for row in run.rows("preferences") if row["source"] == "ai"]
    for row in labelled:
        # P(first) of an order is the share of "1" in the likelihoods of "1" and "2"; in the other order "2" means it.
        ab = 1 / (1 + math.exp(row["logp_second_ab"] - row["logp_first_ab"]))
        ba = 1 / (1 + math.exp(row["logp_first_ba"] - row["logp_second_ba"]))
        first = (ab + ba) / 2
        if row["domain"] == "harmless":
            # That template asks which response is worse.
            first = 1 - first
        assert row["p_chosen"] == pytest.approx(first if row["chosen_first"] else 1 - first, abs=1e-9)


def test_marked_pairs_are_certain_and_carry_no_log_probs(run: Run):
    marked = [row for row in run.rows("preferences") if row["source"] == "marked"]
    assert {row["p_chosen"] for row in marked} == {1.0}
    assert {row["labeler"] for row in marked} == {f"people, {run.folder.parent / 'pairs.jsonl'}"}
    assert {row["logp_first_ab"] for row in marked} == {None}


def test_trust_is_measured_with_n_and_an_interval(run: Run):
    saved = run.json("trust.json")
    (trust,) = saved["trust"]
    for figure in ("flip rate", "alignment"):
        (found,) = [row for row in trust["rows"] if row["scope"] == "all" and row["figure"] == figure]
        # 31 marked pairs, one of which the judge cannot read.
        assert found["n"] == 30
        assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
    assert {row["group"] for row in trust["rows"] if row["scope"] == "domain"} == set(DOMAINS)
    assert sum(one["n"] for one in trust["bins"]) == 30
    assert trust["unanswered"] == 1
    assert saved["reasons"]
    assert saved["unparsable"] == pytest.approx(1 / 31)


def test_the_summary_of_labels_adds_up(run: Run):
    report = run.json("stages", "label.json")["report"]
    (one,) = report["passes"]
    assert one["asked"] == one["answered"] + one["failed"]
    assert (one["failed"], one["retried"]) == (0, 0)
    assert report["preferences"] == {"ai": one["answered"], "marked": 31}


def test_each_label_is_stored_once_with_its_question_and_raw_logprobs(run: Run):
    labels = [row for row in run.rows("labels/pairs/*") if "asking" in row]
    assert len({row["id"] for row in labels}) == len(labels) >= 8
    for row in labels:
        assert row["prompt"]
        assert row["first"] != row["second"]
        assert all(row[key] < 0 for key in ("logp_first_ab", "logp_second_ab", "logp_first_ba", "logp_second_ba"))


# --- failures ----------------------------------------------------------------------------------------


def test_a_prompt_that_does_not_fit_fails_alone_and_says_why(run: Run):
    reasons = [row["reason"] for row in run.rows("completions.dead")]
    long = [
        reason for reason in reasons if re.fullmatch(r"prompt has \d{4} tokens; 1012 fit beside 12 new ones", reason)
    ]
    # Both completions of that prompt; the others may have been empty.
    assert len(long) == 2
    assert set(reasons) - set(long) <= {"the completion is empty"}
    assert LONG not in {row["prompt_id"] for row in run.rows("completions")}
    assert "failed; reasons in" in run.outcome.out


def test_a_pair_that_does_not_fit_the_judge_fails_alone_and_says_why(run: Run):
    dead = run.rows("labels/marked/*.dead")
    assert len(dead) == 1
    assert re.fullmatch(r"judge prompt has \d{4} tokens; 2559 fit the context", dead[0]["reason"])


def test_the_trainer_leaves_out_what_does_not_fit(run: Run):
    dead = run.rows("prompts.dead")
    assert [row["id"] for row in dead] == [LONG]
    assert dead[0]["reason"].endswith("tokens; 1012 fit beside 12 new ones")


# --- reward model ------------------------------------------------------------------------------------


def test_reward_model_accuracy_is_held_out_and_has_n(run: Run):
    report = run.json("stages", "reward_model.json")["report"]
    accuracy = report["accuracy"]
    marked = accuracy["source marked"]
    # Half of 31 prompts, rounded to even; a tenth of the 8 to 11 that the labeler judged.
    assert (marked["n"], accuracy["source ai"]["n"], accuracy["all"]["n"]) == (16, 1, 17)
    assert 0 <= marked["low"] <= marked["value"] <= marked["high"] <= 1
    by_domain = [figure["n"] for name, figure in accuracy.items() if name.startswith("domain ")]
    by_margin = [figure["n"] for name, figure in accuracy.items() if name.startswith(("label ", "strength "))]
    assert sum(by_domain) == sum(by_margin) == 17
    assert report["calibration"]
    assert sum(row["n"] for row in report["calibration"]) == 16
    for figure in (report["ece"], report["log_loss"]):
        assert figure["n"] == 16
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_reward_model_learns_from_equality(run: Run):
    losses = [row["loss"] for row in metrics(run.folder / "reward_model" / "metrics.jsonl")]
    # A head of zeros gives every pair log 2.
    assert losses[0] == pytest.approx(math.log(2), abs=1e-6)
    assert losses[-1] < losses[0]


# --- policy ------------------------------------------------------------------------------------------


def test_before_the_first_update_policy_and_start_policy_are_one(run: Run):
    first = run.steps[0]
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert first["ratio"] == pytest.approx(1, abs=1e-3)
    assert first["logprob_gap"] < 1e-2


def test_each_step_pushed_other_weights_and_the_engine_took_them(run: Run):
    assert [row["step"] for row in run.steps] == [0, 1, 2, 3]
    assert [row["version"] for row in run.steps] == [0, 1, 2, 3]
    assert len({row["checksum"] for row in run.steps}) == 4
    assert all(row["probe_gap"] < 0.01 for row in run.steps)
    assert all(row["logprob_gap"] < 0.01 for row in run.steps)
    assert run.steps[-1]["kl"] != 0


def test_every_part_of_the_reward_is_reported(run: Run):
    for row in run.steps:
        assert set(row["parts"]) == {"reward_model", "ai_score", "finished"}
        assert row["failed"] == 0
        # All weights are 1.
        assert row["reward"] == pytest.approx(sum(row["parts"].values()), abs=1e-6)


def test_the_policy_is_a_plain_model_folder(run: Run, tiny: str):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = run.folder / "policy" / "model"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    turn = [{"role": "user", "content": "Tell me about bread."}]
    ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    out = model.generate(**ids, max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert out.shape[1] == ids["input_ids"].shape[1] + 5
    start = AutoModelForCausalLM.from_pretrained(tiny)
    changed = [not torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True)]
    assert any(changed)


# --- evaluation --------------------------------------------------------------------------------------


def test_three_policies_are_measured_on_three_splits(run: Run):
    figures = [one for one in run.grid.figures if one.metric == "words"]
    assert {(one.policy, one.data) for one in figures} == {(p, s) for p in POLICIES for s in SPLITS}
    assert {(one.data, one.shift) for one in figures} == {(split, split) for split in SPLITS}
    assert len(figures) == 9
    assert all(1 <= one.n <= 3 for one in figures)


def test_win_rates_have_intervals(run: Run):
    wins = [one for one in run.grid.figures if one.metric == "win rate"]
    assert {one.policy for one in wins} == set(POLICIES) - {"start"}
    for one in wins:
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert 0 <= one.low <= one.value <= one.high <= 1


def test_diversity_has_four_figures_and_rewards_their_parts(run: Run):
    values = {(one.policy, one.data, one.metric): one.value for one in run.grid.figures}
    for policy in POLICIES:
        for split in SPLITS:
            for kind in ("EAD", "SBERT"):
                for where in ("per input", "across inputs"):
                    assert (values[policy, split, f"{kind} {where}"] or 0) > 0, (policy, split, kind, where)
            for part in ("reward", "reward: reward model", "reward: ai score", "reward: finished"):
                assert math.isfinite(values[policy, split, part] or 0.0)


def test_best_of_two_is_no_worse_by_the_reward_it_was_chosen_by(run: Run):
    values = {(one.policy, one.data, one.metric): one.value for one in run.grid.figures}
    gains = [(values["best of 2", s, "reward"] or 0) - (values["start", s, "reward"] or 0) for s in SPLITS]
    assert sum(gains) > 0
    # KL of best-of-n: ln 2 - 1/2.
    assert values["best of 2", "id", "KL"] == pytest.approx(math.log(2) - 0.5)
    assert ("start", "id", "KL") not in values
    assert values["trained", "id", "KL"] is not None


# --- report ------------------------------------------------------------------------------------------


def test_the_report_shows_what_was_found(run: Run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for name in (*POLICIES, *DOMAINS, "reward_model", "ai_score"):
        assert name in text, name
    first = run.steps[0]["reward"], run.steps[-1]["reward"]
    assert all(f"{value:.6}"[:5] in page for value in first), "the reward curve's numbers are in the page"
    for sample in run.grid.samples:
        assert sample.prompt.split(",")[0].rstrip(".") in text
    assert run.arguments[2].removeprefix("storage=") in text, "the resolved configuration is shown"


def test_the_report_asks_nothing_of_a_network(run: Run):
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    markup = re.sub(
        r"<(script|style)\b[^>]*>.*?</\1>", lambda found: found.group(0).split(">")[0] + ">", page, flags=re.DOTALL
    )
    assert not re.findall(r"<(?:script|img|iframe|link|source)\b[^>]*\b(?:src|href)\s*=\s*[\"']?(?!data:)", markup)
    assert not re.findall(r"@import|url\(\s*[\"']?https?:", page)


# --- again -------------------------------------------------------------------------------------------

GRID = ("grid.json", "figures.csv", "figures.parquet", "scores.parquet", "questions.parquet", "outputs.parquet")
REWRITTEN = {"report.html", "study.yaml", "trust.json", *GRID}
"""Written anew by each run, from what is stored. So are the stages' reports; their content is compared."""


def state(folder: Path) -> dict[str, int]:
    """Time of last change of everything that a stage makes once: Parquet parts, models, metrics, keys."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in REWRITTEN]
    # What a driver saw of the nodes is a file of its own each time.
    apart = {"stages", "nodes"}
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files if path.parent.name not in apart}


def contents(folder: Path) -> dict[str, str]:
    """What is written anew and must say the same."""
    stages = [path for path in folder.glob("stages/*.json") if path.name != "seconds.json"]
    found = [folder / "trust.json", *(folder / "evaluation" / "grid" / name for name in GRID[:2]), *stages]
    return {path.name: path.read_text(encoding="utf-8") for path in found}


@pytest.fixture(scope="module")
def again(run: Run) -> tuple[dict[str, int], dict[str, str], Outcome]:
    """The same command once more, after what there was before it."""
    before = state(run.folder), contents(run.folder)
    return *before, truing(run.folder.parent, *run.arguments)


def test_a_second_run_does_nothing_again(run: Run, again: tuple[dict[str, int], dict[str, str], Outcome]):
    times, said, outcome = again
    outcome.expect(0)
    assert outcome.last_line == run.outcome.last_line
    assert state(run.folder) == times
    assert contents(run.folder) == said


def test_a_second_run_prints_the_same_tables(run: Run, again: tuple[dict[str, int], dict[str, str], Outcome]):
    """Progress is all that is missing: a stage that is finished shows what it found."""

    def tables(text: str) -> list[str]:
        progress = re.compile(r"^  [^:]+: \d+/\d+, ")
        return [line.rstrip() for line in text.splitlines() if line.strip() and not progress.match(line)]

    assert tables(again[2].out) == tables(run.outcome.out)


def test_other_settings_do_not_pass_for_what_is_stored(run: Run):
    done = truing(run.folder.parent, *run.arguments, "policy.steps=5")
    assert done.code == 2, done.tail()
    assert done.err == (
        f"truing: {run.folder}: its policy was made with other settings or data; give name=... for a new run,"
        f" or delete {run.folder}/stages/policy.json and {run.folder}/policy to do it again\n"
    )
