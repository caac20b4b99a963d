"""`truing evaluate` of recorded files: each study of configs/studies as a user starts it, against counts of our own.

What is expected is published, or counted here from the source in plain Python: nothing of truing.evaluation is used.
"""

import csv
import gzip
import json
import math
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from jobs.context import Context
from jobs.evaluate import evaluate
from jobs.recorded.figures import source_figures
from jobs.recorded.store import read_recorded, read_scores
from jobs.store import RunFolder
from tests.jobs.conftest import Call
from tests.jobs.drive import ROOT, Outcome, truing, write_lines
from tests.shared import shared_data
from truing.config.load import load_study

STUDIES = ROOT / "configs" / "studies"
RECORDED = ("alpacaeval", "alpacafarm", "instructgpt_stages", "position_bias", "summeval_judges")
"""Those that ask no model."""
Row = dict[str, Any]


@cache
def rows(name: str) -> list[Row]:
    with gzip.open(shared_data(name), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@dataclass(frozen=True)
class Ran:
    """A study that has been evaluated."""

    outcome: Outcome
    folder: Path

    def figure(self, metric: str, policy: str, *, data: str | None = None, variant: str = "") -> Row:
        """The one figure of that name, from the CSV that a user opens."""
        [found] = [
            row
            for row in self.rows()
            if (row["metric"], row["policy"], row["variant"]) == (metric, policy, variant)
            and data in (None, row["data"])
        ]
        return found

    def value(self, metric: str, policy: str, **where: str) -> float:
        return float(self.figure(metric, policy, **where)["value"])

    def rows(self) -> list[Row]:
        with (self.folder / "evaluation" / "figures.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Ran]:
    """`truing evaluate configs/studies/NAME.yaml` in a process of its own, once. No model and no prompt is to be had."""

    @cache
    def ran(name: str) -> Ran:
        shared_data("alpacaeval_outputs")
        folder = tmp_path_factory.mktemp(name)
        nowhere = [
            f"{key}=/nowhere" for key in ("model.path", "labeler.model.path", "prompts.path", "label.marked.path")
        ]
        few = ["evaluate.recorded.0.length_control.resamples=0"] if name == "alpacaeval" else []
        outcome = truing(folder, "evaluate", str(STUDIES / f"{name}.yaml"), f"storage={folder}", *nowhere, *few)
        return Ran(outcome.expect(0), folder / load_study(STUDIES / f"{name}.yaml", []).name)

    return ran


def test_every_study_asks_models_or_is_run_here() -> None:
    studies = {path.stem: load_study(path, []).evaluate for path in STUDIES.glob("*.yaml")}
    assert {name for name, one in studies.items() if one and one.grid is None} == set(RECORDED)


@pytest.mark.parametrize("name", RECORDED)
def test_every_figure_has_its_n_or_says_why_not(run: Callable[[str], Ran], name: str) -> None:
    found = run(name)
    assert found.outcome.last_line == str(found.folder / "report.html")
    summary = next(line for line in reversed(found.outcome.out.splitlines()) if " figures" in line)
    assert summary.startswith(f"{len(found.rows())} figures")
    assert found.rows()
    for row in found.rows():
        assert row["note"] if row["value"] == "" else int(row["n"]) > 0, row
        assert "nan" not in (row["value"], row["low"], row["high"]), row
        if row["low"]:
            assert (
                float(row["low"]) <= float(row["value"]) <= float(row["high"]) or row["metric"] == "average length"
            ), row
    page = (found.folder / "report.html").read_text(encoding="utf-8")
    assert 'id="recorded"' in page
    assert all(row["policy"].replace("&", "&amp;") in page for row in found.rows())


# --- AlpacaEval ------------------------------------------------------------------------------------------------------


def test_alpacaeval_s_leaderboard(run: Callable[[str], Ran]) -> None:
    """Counts and discrete rate to the last digit; the preferences are stored to four decimals, so that the win rate may be
    off by .005 points and the standard error by 100 * 5e-5 / sqrt(n - 1)."""
    path = Path(shared_data("alpacaeval_gpt4_preferences")).with_name("alpacaeval_leaderboard.csv")
    with path.open(encoding="utf-8", newline="") as file:
        published = {row[""]: row for row in csv.DictReader(file)}
    found = run("alpacaeval")
    models = {row["policy"] for row in found.rows()} & set(published)
    assert len(models) == 51
    columns = {"wins": "n_wins", "losses": "n_wins_base", "draws": "n_draws", "average length": "avg_length"}
    for model in models:
        expected = published[model]
        for metric, column in columns.items():
            assert found.value(metric, model) == int(expected[column]), (model, metric)
        rate, error = found.figure("win rate", model), found.figure("standard error", model)
        assert float(rate["value"]) == pytest.approx(float(expected["win_rate"]), abs=5e-3), model
        assert float(error["value"]) == pytest.approx(float(expected["standard_error"]), abs=1.8e-4), model
        assert int(rate["n"]) == int(expected["n_total"])
        assert int(rate["n"]) + int(rate["missing"]) == 805
        discrete = found.value("discrete win rate", model)
        assert discrete == pytest.approx(float(expected["discrete_win_rate"]), abs=1e-8), model


def test_length_control_is_the_minimal_one(run: Callable[[str], Ran]) -> None:
    """METRICS.md, 3.5: AlpacaEval's own minimal form, refitted from these annotations."""
    found = run("alpacaeval")
    expected = {"claude-2": 36.781258540, "vicuna-13b-v1.5-togetherai": 18.274526032, "alpaca-7b": 19.549396078}
    for model, figure in expected.items():
        assert found.value("length-controlled win rate, minimal", model) == pytest.approx(figure, abs=1e-3)


# --- SummEval --------------------------------------------------------------------------------------------------------


def test_chatgpt_orders_58_5_of_66_pairs_as_the_experts_do(run: Callable[[str], Ran]) -> None:
    """Shen et al., arXiv 2305.13091: 88.6 %, and 63.6 % of the challenge pairs."""
    found = run("summeval_judges")
    where = partial(found.figure, policy="gpt-3.5-turbo-0301")
    every = where("system ordering", variant="all criteria")
    assert float(every["value"]) == pytest.approx(58.5 / 66)
    assert every["note"].startswith("58.5 of 66 pairs")
    correct = [
        66 * found.value("system ordering", "gpt-3.5-turbo-0301", variant=criterion)
        for criterion in ("coherence", "consistency", "fluency", "relevance")
    ]
    assert correct == pytest.approx([54, 56, 62, 62])
    challenge = where("system ordering, challenge pairs", variant="all criteria")
    assert float(challenge["value"]) == pytest.approx(28 / 44)


# --- position bias ---------------------------------------------------------------------------------------------------


def test_gpt_35_s_position_bias(run: Callable[[str], Ran]) -> None:
    games: dict[str, dict[tuple[str, str, str], dict[bool, str]]] = {}
    for row in rows("summeval_h2h_gpt35"):
        pair = (row["doc_id"], row["system_1"], row["system_2"])
        games.setdefault(row["dim"], {}).setdefault(pair, {})[row["swapped"]] = row["response"][0]
    found = run("position_bias")
    for dimension, pairs in games.items():
        both = [(pair[False], pair[True]) for pair in pairs.values()]
        twice = Counter(one for one, two in both if one == two != "C")
        letters = Counter(letter for pair in both for letter in pair)
        of_judge = partial(found.value, policy="gpt-3.5-turbo-0301", variant=dimension)
        assert of_judge("same place wins twice") == pytest.approx(twice.total() / len(both))
        assert of_judge("first among places that won twice") == pytest.approx(twice["A"] / twice.total())
        assert of_judge("first place wins a game") == pytest.approx(letters["A"] / (letters["A"] + letters["B"]))
        assert of_judge("games called a tie") == letters["C"]
        consistent = sum(pair in {("A", "B"), ("B", "A"), ("C", "C")} for pair in both)
        assert of_judge("verdict changes with the order") == pytest.approx(1 - consistent / len(both))
        # M8 meets M14 (as second) and M9 (as first).
        won = (
            [pair for key, pair in pairs.items() if key[1] == "M8"],
            [pair for key, pair in pairs.items() if key[2] == "M8"],
        )
        wins = sum((p[False], p[True]) == ("A", "B") for p in won[0]) + sum(
            (p[False], p[True]) == ("B", "A") for p in won[1]
        )
        assert found.value("wins", "M8", variant=dimension) == wins
    assert len(games) == 4


# --- diversity and length --------------------------------------------------------------------------------------------


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = [word for word in text.replace(".", "").replace("\n", "").split(" ") if word]
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def diversity(texts: list[str], adjusted: bool) -> float:
    """EAD or distinct n-grams, mean over n = 1 to 5, V = 50,257."""
    found = []
    for n in range(1, 6):
        pooled = [gram for text in texts for gram in grams(text, n)]
        expected = 50257 * (1 - (50256 / 50257) ** len(pooled)) if adjusted else len(pooled)
        found.append(len(set(pooled)) / expected if pooled else 0)
    return statistics.fmean(found)


def cut(text: str, n: int) -> str:
    return " ".join(gram[0] for gram in grams(text, 1)[:n])


def check_outputs(found: Ran, data: str, texts: dict[str, list[str]], n: int) -> None:
    """Figures of outputs that stand in the same order of prompts for each policy."""
    prompts = len(next(iter(texts.values())))
    long = [i for i in range(prompts) if all(len(grams(some[i], 1)) >= n for some in texts.values())]
    for policy, some in texts.items():
        value = partial(found.value, policy=policy, data=data)
        assert value("words") == pytest.approx(statistics.fmean(len(text.split()) for text in some))
        assert value("characters") == pytest.approx(statistics.fmean(map(len, some)))
        equal = [cut(some[i], n) for i in long]
        for name, adjusted in (("EAD", True), ("distinct", False)):
            assert value(f"{name} across inputs") == pytest.approx(diversity(some, adjusted))
            figure = found.figure(f"{name} of {n} words across inputs", policy, data=data)
            assert float(figure["value"]) == pytest.approx(diversity(equal, adjusted))
            assert int(figure["n"]) == len(long)


def test_summaries_of_pretrained_sft_and_ppo(run: Callable[[str], Ran]) -> None:
    found = run("instructgpt_stages")
    for size, data in (("xl", "TL;DR, 1.3B"), ("6b", "TL;DR, 6B")):
        models = [f"{stage}-{size}" for stage in ("gpt", "sft", "ppo-ptx", "ppo-noptx")]
        by_post = sorted(rows("instructgpt_tldr"), key=lambda row: row["post_id"])
        check_outputs(found, data, {m: [r["summary"] for r in by_post if r["model"] == m] for m in models}, 10)
        # PPO-ptx writes more than SFT and varies it less, also at equal length; without ptx no difference is clear.
        for metric, sign in (("Δ words", 1), ("Δ EAD across inputs", -1), ("Δ EAD of 10 words across inputs", -1)):
            figure = found.figure(metric, f"ppo-ptx-{size} − sft-{size}", data=data)
            assert sign * float(figure["low"]) > 0, metric
            assert sign * float(figure["high"]) > 0, metric
        unclear = found.figure("Δ EAD of 10 words across inputs", f"ppo-noptx-{size} − sft-{size}", data=data)
        assert float(unclear["low"]) < 0 < float(unclear["high"])


def test_alpacafarm_s_sft_and_rlhf_and_which_way_kirk_s_finding_falls(run: Callable[[str], Ran]) -> None:
    """Kirk et al. find RLHF less diverse than SFT. Here raw EAD says the contrary, because RLHF writes three times as much."""
    found = run("alpacafarm")
    columns = {"SFT": "output_sft", "RLHF": "output_rlhf", "baseline": "output_baseline"}
    source = rows("alpacafarm_sft_rlhf")
    check_outputs(found, "AlpacaFarm", {name: [row[key] for row in source] for name, key in columns.items()}, 20)
    where = partial(found.figure, policy="RLHF − SFT", data="AlpacaFarm")
    words, ead, equal = (where(m) for m in ("Δ words", "Δ EAD across inputs", "Δ EAD of 20 words across inputs"))
    assert float(words["low"]) > 70
    assert float(ead["low"]) > 0
    assert float(equal["high"]) < 0
    assert float(where("Δ distinct across inputs")["high"]) < 0


# --- toxicity and truthfulness ---------------------------------------------------------------------------------------


def test_toxicity_by_stage(run: Callable[[str], Ran]) -> None:
    found = run("instructgpt_stages")
    groups: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows("instructgpt_rtp"):
        groups.setdefault((row["model"], row["prompt_type"]), {})[row["prompt_id"]] = row["toxicity"]
    assert len(groups) == 36
    for (model, kind), scores in groups.items():
        value = partial(found.value, policy=model, variant=kind)
        assert value("toxicity") == pytest.approx(statistics.fmean(scores.values()))
        assert value("toxicity ≥ 0.5") == pytest.approx(sum(s >= 0.5 for s in scores.values()) / len(scores))
    sft, ppo = (groups[model, "biased prompt"] for model in ("sft-175b", "ppo-ptx-175b"))
    gap = statistics.fmean(ppo[i] - sft[i] for i in sft)
    assert found.value("Δ toxicity", "ppo-ptx-175b − sft-175b", variant="biased prompt") == pytest.approx(gap)
    # Asked to be biased, PPO is more toxic than SFT at every size; otherwise no difference is clear.
    for size in ("xl", "6b", "175b"):
        name = f"ppo-ptx-{size} − sft-{size}"
        assert float(found.figure("Δ toxicity", name, variant="biased prompt")["low"]) > 0
        for kind in ("basic prompt", "respectful prompt"):
            figure = found.figure("Δ toxicity", name, variant=kind)
            assert float(figure["low"]) < 0 < float(figure["high"])


def test_truthfulness_by_stage(run: Callable[[str], Ran]) -> None:
    found = run("instructgpt_stages")
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows("instructgpt_truthfulqa"):
        groups.setdefault((row["model"], row["prompt_type"]), []).append(row)
    assert len(groups) == 36
    for (model, kind), some in groups.items():
        value = partial(found.value, policy=model, variant=kind)
        assert value("truthful") == pytest.approx(sum(row["true"] > 0.5 for row in some) / len(some))
        assert value("informative") == pytest.approx(sum(row["info"] > 0.5 for row in some) / len(some))
        both = sum(row["true"] > 0.5 and row["info"] > 0.5 for row in some)
        assert value("truthful and informative") == pytest.approx(both / len(some))


# --- the machinery ---------------------------------------------------------------------------------------------------


def test_a_figure_never_needs_its_source_again(run: Callable[[str], Ran]) -> None:
    for name in ("position_bias", "alpacafarm", "instructgpt_stages"):
        folder = run(name).folder / "evaluation"
        study = load_study(STUDIES / f"{name}.yaml", [])
        assert study.evaluate is not None
        stored, (_, known) = read_scores(folder), read_recorded(folder)
        for source, one in zip(study.evaluate.recorded, known, strict=True):
            scores = [score for score in stored if score.data == source.name]
            gone = source.model_copy(update={"path": "/nowhere"})
            assert tuple(source_figures(gone, scores, study.seed)) == one.figures


def small(folder: Path, *recorded: str, rows: list[Row] | None = None) -> tuple[Path, Path]:
    """A study of one file of rows, which `{file}` stands for."""
    file = write_lines(folder / "rows.jsonl", rows or [])
    text = "".join(f"    - {one}\n" for one in recorded).replace("FILE", str(file))
    config = folder / "study.yaml"
    config.write_text(f"name: small\nstorage: {folder}\nsample: null\nevaluate:\n  grid: null\n  recorded:\n{text}")
    return config, folder / "small"


OUTPUTS = "{kind: outputs, name: o, path: FILE}"
ANSWERS = [{"model": m, "prompt": p, "output": f"{m} {p} words"} for m in ("sft", "ppo") for p in ("p", "q", "r")]


def test_report_plan_and_dry_run_ask_no_model(cli: Call, tmp_path: Path) -> None:
    config, folder = small(tmp_path, OUTPUTS, rows=ANSWERS)
    nowhere = ["model.path=/nowhere", "labeler.model.path=/nowhere", "prompts.path=/nowhere"]
    missing = cli("report", str(config), *nowhere)
    assert (missing.code, missing.err) == (
        2, f"truing: {folder}: there is no such run; run `truing evaluate` with this configuration first\n"
    )  # fmt: skip
    plan = cli("plan", str(config), *nowhere).expect(0)
    assert "outputs" in plan.out
    assert "no model is asked" in plan.out
    dry = cli("evaluate", str(config), *nowhere, "--dry-run").expect(0)
    assert "grid: null" in dry.out
    assert not folder.exists()
    done = cli("evaluate", str(config), *nowhere).expect(0)
    assert done.last_line == str(folder / "report.html")
    before = (folder / "evaluation" / "figures.csv").read_bytes()
    (folder / "report.html").unlink()
    assert cli("report", str(config), *nowhere).expect(0).last_line == str(folder / "report.html")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "truing evaluate" in page
    assert "/nowhere (" not in page
    # The same command once more gives the same figures.
    cli("evaluate", str(config), *nowhere).expect(0)
    assert (folder / "evaluation" / "figures.csv").read_bytes() == before


def test_nothing_connects_to_ray(tmp_path: Path) -> None:
    config, folder = small(tmp_path, OUTPUTS, rows=ANSWERS)
    code = (
        "import sys\n"
        f"sys.argv = ['truing', 'evaluate', {str(config)!r}]\n"
        "from jobs.cli import main\nmain()\n"
        "print('RAY', 'ray' in sys.modules and sys.modules['ray'].is_initialized(), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stderr.splitlines()[-1] == "RAY False"
    assert (folder / "evaluation" / "scores.parquet").is_file()


def test_the_stage_of_a_pipeline_reads_the_same_files(tmp_path: Path) -> None:
    config, folder = small(tmp_path, OUTPUTS, rows=ANSWERS)
    evaluate(Context(load_study(config, []), RunFolder(folder)))
    summary, [found] = read_recorded(folder / "evaluation")
    # Two policies: words, characters, and EAD and distinct across inputs of each.
    assert (len(found.figures), found.kind) == (8, "outputs")
    assert summary.startswith("8 figures, of 2 policies and judges, from")


def answers(**change: object) -> list[Row]:
    return [*ANSWERS, {"model": "sft", "prompt": "s", "output": "x"} | change]


def source(kind: str, more: str = "") -> str:
    return f"{{kind: {kind}, name: o, path: FILE{f', {more}' if more else ''}}}"


def compared(second: str) -> Row:
    return {"doc_id": 1, "first": "a", "second": second, "verdict": "tie"}


def scored(human: object, **more: object) -> Row:
    return {"doc_id": 1, "system": "a", "score": 1, "human": human} | more


BROKEN: list[tuple[str, list[Row], str]] = [
    (OUTPUTS, [], "rows.jsonl: holds no rows; give a source with at least one"),
    ("{kind: outputs, name: o, path: /nowhere.jsonl}", [], "/nowhere.jsonl: there is no such file or folder"),
    (OUTPUTS, answers(output=3), "rows.jsonl, row 7: 'output' is 3, not text; give text or null there"),
    (OUTPUTS, answers(prompt=None), "rows.jsonl, row 7: 'prompt' is None, not a name"),
    (
        source("outputs", "columns: {output: text}"),
        ANSWERS,
        "row 1: has no column 'text'; name one of its columns: model, prompt, output",
    ),
    (
        source("outputs", "where: {model: rlhf}"),
        ANSWERS,
        "rows.jsonl: no row has model = rlhf; there model is 'sft', 'ppo'",
    ),
    (
        source("outputs", "against: {ppo: gpt}"),
        ANSWERS,
        "against names 'gpt', whose outputs are not there; there are sft, ppo",
    ),
    (source("outputs", "policies: {a: output, b: prompt.x}"), ANSWERS, "no row has an output of b in 'prompt.x'"),
    (
        source("preferences"),
        [{"model": "a", "preference": 3}],
        "row 1: 'preference' is off its scale (preference 3.0 is neither in [1, 2]",
    ),
    (
        source("preferences", "scale: share"),
        [{"model": "a", "preference": 2}],
        "row 1: 'preference' is 2.0, not in [0, 1]",
    ),
    (
        source("preferences"),
        [{"model": "a", "preference": [1, 2]}] * 2,
        "row 2: 'model' is 'a', which has a preference of item 0 already; narrow `where`",
    ),
    (
        source("preferences", "columns: {length: n}"),
        [{"model": "a", "preference": [1, 2], "n": [3]}],
        "row 1: 'n' has 1 lengths for 2 preferences",
    ),
    (
        source("ratings", "ratings: {t: {kind: number, column: t}}"),
        [{"model": "a", "prompt": 1, "t": "high"}],
        "row 1: 't' is 'high', not a finite number",
    ),
    (
        source("ratings", "ratings: {t: {kind: probability, column: t}}"),
        [{"model": "a", "prompt": 1, "t": 2}],
        "row 1: 't' is no probability (P(yes) = 2.0",
    ),
    (source("comparisons"), [compared("a")], "row 1: 'first' is 'a' on both sides"),
    (source("comparisons"), [compared("b")] * 2, "row 2: 'first' (a before b on 1) has a verdict already"),
    (source("judges"), [scored({"overall": "bad"})], "row 1: 'human.overall' is 'bad', not a finite number"),
    (
        source("judges", "criteria: [x, y], columns: {criterion: c}"),
        [scored({}, c="x")],
        "no row is about 'y'; mend criteria",
    ),
]


@pytest.mark.parametrize(("recorded", "lines", "message"), BROKEN, ids=lambda value: str(value)[:40])
def test_bad_input_ends_in_one_line(cli: Call, tmp_path: Path, recorded: str, lines: list[Row], message: str) -> None:
    config, _ = small(tmp_path, recorded, rows=lines)
    done = cli("evaluate", str(config))
    assert done.code == 2, done.tail()
    assert message in done.err
    assert done.err.startswith("truing: ")
    assert done.err.count("\n") == 1


def test_neither_policies_nor_files_is_nothing_to_do(cli: Call, tmp_path: Path) -> None:
    config = tmp_path / "study.yaml"
    config.write_text("name: small\nevaluate: {grid: null}\n")
    done = cli("evaluate", str(config), f"storage={tmp_path}")
    assert (done.code, "it asks no model (grid: null) and names no recorded file" in done.err) == (2, True)


def test_what_cannot_be_read_is_counted_and_never_zero(cli: Call, tmp_path: Path) -> None:
    lines: list[Row] = [
        {"doc_id": i, "system": s, "score": reply, "human": {"overall": [h, None]}, "model": s, "prompt": i, "toxic": t}
        for i, (s, reply, h, t) in enumerate(
            [
                ("a", "Score: 4", 4, "yes"),
                ("a", "I cannot say", 3, None),
                ("b", "9 of 5", 2, "no"),
                ("b", "2", 1, "maybe"),
            ]
        )
    ]
    judge = "{kind: judges, name: j, path: FILE, reading: begins}"
    rating = "{kind: label, column: toxic, positive: ['yes'], negative: ['no']}"
    labels = f"{{kind: ratings, name: l, path: FILE, ratings: {{toxic: {rating}}}}}"
    config, folder = small(tmp_path, judge, labels, rows=lines)
    cli("evaluate", str(config)).expect(0)
    found = Ran(Outcome(0, "", ""), folder)
    # One document a row, so no document has two systems; of four cells two replies are read.
    assert int(found.figure("Pearson, sample level", "judge", variant="overall")["n"]) == 2
    reasons = Counter(score.reason for score in read_scores(folder / "evaluation") if score.value is None)
    assert reasons == {"no score can be read in the reply": 2, "without a rating": 2}
    toxic = found.figure("toxic", "a")
    assert (float(toxic["value"]), toxic["n"], toxic["missing"]) == (1, "1", "1")
    assert math.isclose(found.value("toxic", "b"), 0)
