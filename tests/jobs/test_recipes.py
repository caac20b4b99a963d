"""Every trainer's recipe, cut to seconds, on the tiny model: it runs from the command line to its end, and it learns."""

import json
import math
import random
import signal
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.drive import ROOT, Command, Outcome, metrics, truing, write_lines
from tests.trainers.stage import Writer
from truing.algorithms.rules import pattern_share

pytestmark = pytest.mark.timeout(3600)

SMOKE = ROOT / "configs" / "smoke"
WORDS = ("bread", "river", "wheel", "snow", "salt", "glass", "tea", "wood", "maps", "soap", "owls", "bells")
BANK = [
    "Which serves: {goal}? A {A} or B {B}", "{goal}: is it A, {A}, or B, {B}?", "Goal {goal}. A: {A} B: {B}. Letter?",
    "Choose for {goal} between A {A} and B {B}", "A) {A} B) {B} for {goal}", "To reach {goal}, take A={A} or B={B}:",
]  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """A finished recipe."""

    outcome: Outcome
    folder: Path

    def report(self, stage: str) -> dict[str, Any]:
        return json.loads((self.folder / "stages" / f"{stage}.json").read_text(encoding="utf-8"))["report"]

    def rows(self, stage: str) -> list[dict[str, Any]]:
        return metrics(self.folder / stage / "metrics.jsonl")


def demonstrations(folder: Path) -> Path:
    """Many questions, one answer: what a model of two layers learns in a dozen updates."""
    rows = [{"prompt": f"What about {a} and {b}?", "answer": "It is good."} for a in WORDS for b in WORDS[:8]]
    return write_lines(folder / "demonstrations.jsonl", rows)


def choices(folder: Path) -> Path:
    """Two choices, of which the second is always right: a random model says the first."""
    rows = [{"goal": f"{a} {b}", "sol1": a, "sol2": b, "label": 1} for a in WORDS[:6] for b in WORDS[6:]]
    return write_lines(folder / "questions.jsonl", rows)


def bank(folder: Path) -> Path:
    path = folder / "bank.yaml"
    path.write_text(json.dumps({"fields": ["goal", "A", "B"], "prompts": BANK}), encoding="utf-8")
    return path


def tasks(folder: Path) -> list[str]:
    """Three tasks of yes and no, of which yes is always right: a random model says either."""
    settings: list[str] = []
    for number, name in enumerate(("foods", "tools", "clouds")):
        rows = [{"question": f"{name}: {a} or {b}?", "label": 1} for a in WORDS for b in WORDS[:6]]
        path = write_lines(folder / f"{name}.jsonl", rows)
        settings.append(f"sft.data.sources.{number}.path={path}")
    return settings


def pairs(folder: Path) -> Path:
    """Of two answers the one that says please is better, wherever it says so."""
    draw = random.Random(0)
    rows: list[dict[str, Any]] = []
    for i in range(80):
        words = draw.sample(WORDS, 4)
        polite = [*words[:2], "please", *words[2:]] if i % 2 else [*words, "please"]
        chosen, rejected = " ".join(polite), " ".join(draw.sample(WORDS, 5))
        rows.append({"prompt": f"Say {words[0]} {i}.", "chosen": chosen, "rejected": rejected})
    return write_lines(folder / "pairs.jsonl", rows)


OVERRIDES: dict[str, Callable[[Path], list[str]]] = {
    "sft": lambda folder: [f"sft.data.0.path={demonstrations(folder)}"],
    "paft": lambda folder: [f"sft.data.0.path={choices(folder)}", f"sft.prompts.path={bank(folder)}"],
    "flan": tasks,
    "reward_model": lambda folder: [f"reward_model.data.0.path={pairs(folder)}"],
    "dpo": lambda folder: [f"dpo.data.0.path={pairs(folder)}"],
}
COMMANDS = {"sft": "train", "paft": "train", "flan": "train", "reward_model": "train", "dpo": "train", "grpo": "train",
            "reinforce": "train", "rejection": "train", "rounds": "pipeline"}  # fmt: skip
STAGES = {"paft": "sft", "flan": "sft", "grpo": "policy", "reinforce": "policy", "rounds": "round-2/dpo"}
"""The folder of a recipe's model, where it is not its name."""


def arguments(name: str, folder: Path, small: list[str]) -> list[str]:
    own = OVERRIDES[name](folder) if name in OVERRIDES else []
    return [COMMANDS[name], str(SMOKE / f"{name}.yaml"), f"storage={folder}", *small, *own]


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory, small: list[str]) -> Callable[[str], Recipe]:
    """A recipe by its name, run once a session."""

    @cache
    def run(name: str) -> Recipe:
        folder = tmp_path_factory.mktemp(name)
        outcome = truing(folder, *arguments(name, folder, small))
        return Recipe(outcome.expect(0), folder / f"smoke-{name.replace('_', '-')}")

    return run


Run = Callable[[str], Recipe]


def test_every_trainer_has_a_recipe_that_is_run():
    """By another test file: demo, learn, ppo, label, agreement, grid, arms."""
    there = {path.stem for path in SMOKE.glob("*.yaml")}
    assert there - {"demo", "learn", "ppo", "label", "agreement", "grid", "arms"} == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_recipe_ends_well(recipe: Run, name: str):
    done = recipe(name)
    assert done.outcome.err == ""
    stage = done.folder / STAGES.get(name, name)
    assert (stage / "model" / "model.safetensors").is_file()
    assert not [path for kind in ("checkpoint-*", "best-*", "*.part") for path in stage.glob(kind)]
    rows = metrics(stage / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(len(rows)))
    assert all(math.isfinite(value) for row in rows for value in row.values() if isinstance(value, float))


# --- what each has learned ---------------------------------------------------------------------------


def test_sft_lowers_the_held_out_loss_and_answers_as_it_was_shown(recipe: Run):
    report = recipe("sft").report("sft")
    before, after = report["before"]["held out"], report["after"]["held out"]
    # A random model's loss is about that of a uniform one: ln 320 = 5.77 nats a token.
    assert 5 < before["loss"] < 6.5
    assert after["loss"] < 0.5
    # Its answer is a dozen tokens of noise, then the one that was shown.
    assert before["rouge_l"]["value"] < 0.1
    assert after["rouge_l"]["value"] > 0.9
    looks = [row["held_out_loss"] for row in recipe("sft").rows("sft") if "held_out_loss" in row]
    # What is kept is the best look's.
    assert after["loss"] == pytest.approx(min(looks), rel=1e-4)


def test_paft_is_tested_in_wordings_that_were_not_trained_on(recipe: Run):
    done = recipe("paft")
    report = done.report("sft")
    before, after = (report[when]["held out"]["unseen_prompts"] for when in ("before", "after"))
    # One in three of six prompts is for the test.
    assert (before["prompts"], after["prompts"]) == (2, 2)
    # The second choice is always right, and the model has learned so, in whatever words it is asked.
    assert before["mean"] < 0.5
    assert after["mean"] > 0.9
    assert after["worst"] > 0.9
    assert after["top"] == 1.0
    assert after["worst"] <= after["worst_tenth"] <= after["mean"] <= after["best"]
    assert report["after"]["held out"]["loss"] < report["before"]["held out"]["loss"] / 2
    assert "unseen prompts: worst tenth" in done.outcome.out


def test_instruction_tuning_reaches_a_cluster_that_was_held_out(recipe: Run):
    report = recipe("flan").report("sft")
    before, after = (report[when]["held-out weather"] for when in ("before", "after"))
    assert (before["n"], after["n"]) == (72, 72)
    assert before["loss"] > 2 * after["loss"]
    # The words that are answered are the trained tasks' own, so what is right there is right here.
    assert after["accuracy"]["value"] > 0.9
    assert report["after"]["trained tasks"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize(("name", "where"), [("reward_model", "all"), ("dpo", None)])
def test_preferences_are_learned_and_hold_on_prompts_that_were_held_out(recipe: Run, name: str, where: str | None):
    report = recipe(name).report(name)
    figure = report["accuracy"] if where is None else report["accuracy"][where]
    # A quarter of 80 prompts is tested.
    assert (figure["n"], report["training_prompts"]) == (20, 60)
    assert figure["value"] > 0.8
    rows = recipe(name).rows(name)
    looks = [row for row in rows if "held_out_loss" in row]
    assert looks[-1]["held_out_loss"] < rows[0]["loss"]
    assert rows[-1]["loss"] < rows[0]["loss"]


def test_preference_learners_begin_from_equality(recipe: Run):
    # A head of zeros, and a policy that is its reference, give each pair log 2.
    for name in ("reward_model", "dpo"):
        assert recipe(name).rows(name)[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)


@pytest.mark.parametrize("name", ["grpo", "reinforce"])
def test_reinforcement_learning_raises_its_reward(recipe: Run, name: str):
    rewards = [row["reward"] for row in recipe(name).rows("policy")]
    early, late = rewards[:3], rewards[-3:]
    error = math.sqrt(statistics.variance(early) / 3 + statistics.variance(late) / 3)
    assert statistics.mean(late) - statistics.mean(early) > max(0.1, 2 * error), rewards


def test_what_is_written_ahead_is_one_version_old_at_most(recipe: Run):
    """How many of its tokens are, where weights are swapped under a batch, hangs on the clock."""
    for name in ("grpo", "reinforce"):
        rows = recipe(name).rows("policy")
        assert (rows[0]["staleness"], rows[0]["stalest"]) == (0, 0)
        assert all(row["staleness"] <= row["stalest"] <= 1 for row in rows)
    assert all(row["staleness"] == 1 for row in recipe("grpo").rows("policy")[1:])


def test_reinforces_baseline_learns(recipe: Run):
    losses = [row["value_loss"] for row in recipe("reinforce").rows("policy")]
    assert statistics.mean(losses[-3:]) < losses[0], losses


@pytest.mark.parametrize("name", ["grpo", "reinforce"])
def test_before_the_first_update_policy_and_start_policy_are_one(recipe: Run, name: str):
    first = recipe(name).rows("policy")[0]
    assert first["kl"] == pytest.approx(0, abs=1e-6)
    assert first["first_ratio"] == pytest.approx(1, abs=1e-5)
    # GRPO's is a mean over two minibatches, the second of which meets weights that the first has changed.
    assert (first["ratio"] == first["first_ratio"]) == (name == "reinforce")
    assert first["logprob_gap"] < 1e-3


def test_rejection_samples_and_learns_from_the_best(recipe: Run):
    report = recipe("rejection").report("rejection")
    assert (report["prompts"], report["failed"]) == (8, 0)
    assert report["best"] > report["mean"]
    assert [one["n"] for one in report["frontier"]] == [1, 2, 4, 8]
    values = [one["reward"]["value"] for one in report["frontier"]]
    assert values == sorted(values)
    # n = 1 is the mean of all, n = 8 of 8 the mean of the best; KL = ln 8 - 7/8.
    assert values[0] == pytest.approx(report["mean"])
    assert values[-1] == pytest.approx(report["best"])
    assert report["frontier"][-1]["kl"] == pytest.approx(math.log(8) - 7 / 8)
    losses = [row["loss"] for row in recipe("rejection").rows("rejection")]
    assert losses[-1] < losses[0]


def test_what_was_learned_from_the_best_is_answered_afterwards(recipe: Run, tiny: str):
    def mean_reward(folder: str) -> float:
        asked = [(key, number) for key in questions for number in range(16)]
        answers = Writer(folder, length=12, ends=False).complete(asked, seed=0, step=0)
        return statistics.mean(pattern_share(answer.text, "[a-z]") for answer in answers)

    questions = ("a", "b", "c")
    before, after = mean_reward(tiny), mean_reward(str(recipe("rejection").folder / "rejection" / "model"))
    # 48 answers each: the mean's standard error is about 0.02.
    assert after > before + 0.05


def test_the_second_round_goes_on_from_the_first(recipe: Run, tiny: str):
    import yaml

    home = recipe("rounds").folder
    assert sorted(path.name for path in home.glob("round-*")) == ["round-1", "round-2"]
    first, second = (yaml.safe_load((home / f"round-{i}" / "study.yaml").read_text()) for i in (1, 2))
    assert (first["model"]["path"], first["seed"]) == (tiny, 7)
    assert (second["model"]["path"], second["seed"]) == (str(home / "round-1" / "dpo" / "model"), 8)
    assert second["reward_model"]["earlier"] == second["dpo"]["earlier"] == [str(home / "round-1")]


def test_the_second_round_learns_from_the_preferences_of_both(recipe: Run):
    import pyarrow.parquet as pq

    home = recipe("rounds").folder
    ids = [
        {row for path in (home / f"round-{i}/preferences").glob("*.parquet") for row in pq.read_table(path)["id"].to_pylist()}
        for i in (1, 2)
    ]  # fmt: skip
    rows = json.loads((home / "rounds.json").read_text())
    assert [row["round"] for row in rows] == [1, 2]
    tested = [json.loads((home / f"round-{i}/stages/reward_model.json").read_text())["report"] for i in (1, 2)]
    held = [one["accuracy"]["all"]["n"] for one in tested]
    assert [row["pairs"] + n for row, n in zip(rows, held, strict=True)] == [len(ids[0]), len(ids[0] | ids[1])]
    assert ids[1] - ids[0]


# --- killed and gone on with -------------------------------------------------------------------------


@pytest.fixture(scope="session")
def killed(tmp_path_factory: pytest.TempPathFactory, small: list[str]) -> Recipe:
    """GRPO with a batch ahead, killed in step 7 of 10 (each 4th has a checkpoint), then gone on with."""
    folder = tmp_path_factory.mktemp("killed")
    given = arguments("grpo", folder, small)
    file = folder / "smoke-grpo" / "policy" / "metrics.jsonl"
    first = Command(folder, *given)
    try:
        first.until(lambda: len(metrics(file)) >= 6)
        first.signal_group(signal.SIGKILL)
        first.wait()
        assert first.survivors(60) == []
    finally:
        first.end()
    assert len(metrics(file)) % 4, "the kill was meant for a step without a checkpoint"
    return Recipe(truing(folder, *given).expect(0), folder / "smoke-grpo")


def test_a_batch_that_was_ahead_of_a_kill_is_not_drawn_again(recipe: Run, killed: Recipe):
    """The checkpoint has it as it was written: killed and gone on with equals uninterrupted, to the last bit."""
    assert killed.rows("policy") == recipe("grpo").rows("policy")
    one, two = ((run.folder / "policy/model/model.safetensors").read_bytes() for run in (recipe("grpo"), killed))
    assert one == two
