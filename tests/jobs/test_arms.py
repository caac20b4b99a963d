"""Arms: what each shares with the others and what it has of its own; and three of them run from the command line to the end."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.arms import arm_run, arms_table, check_arms
from jobs.context import Context
from jobs.grid.policies import trained
from jobs.grid.store import read_grid
from jobs.plan import show_plan
from jobs.reward_graph import unplaced
from jobs.status import runs_in, status
from jobs.store import RunFolder
from tests.jobs.drive import ROOT, Outcome, metrics, truing
from truing.config.load import arm_of, load_study, shares_reward_model, ways
from truing.config.rewards import RewardModelPart
from truing.config.study import Study
from truing.errors import ConfigError

ARMS = ROOT / "configs" / "smoke" / "arms.yaml"
REWARDED = {"rewards": [{"kind": "reward_model"}, {"kind": "reward_model", "name": "other", "path": "x"}]}


def study(folder: Path, **given: Any) -> Study:
    plain = {
        "name": "all", "storage": str(folder), "seed": 7, "reward_model": {}, "policy": REWARDED,
        "arms": {
            "held": {"policy.kl.coefficient": 0.5, "policy.rewards.1.weight": 3},
            "deep": {"reward_model.epochs": 4},
            "again": {"seed": 8},
            "direct": {"reward_model": None, "policy": None, "dpo": {}},
        },
    }  # fmt: skip
    return Study.model_validate(plain | given)


# --- one arm ----------------------------------------------------------------------------------------------------------


def test_an_arm_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    whole = study(tmp_path)
    held = arm_of(whole, "held")
    assert held.policy is not None
    assert whole.policy is not None
    assert held.policy.kl.coefficient == 0.5
    assert [part.weight for part in held.policy.rewards] == [1, 3]
    assert held.model_copy(update={"policy": whole.policy}) == whole
    direct = arm_of(whole, "direct")
    assert (direct.reward_model, direct.policy) == (None, None)
    assert direct.dpo is not None


def test_an_arm_is_a_run_of_its_trainers_below_the_study(tmp_path: Path) -> None:
    given = study(tmp_path, evaluate={}, agreement={"sets": [{"path": "demo"}]})
    one = arm_run(given, "deep")
    assert (one.name, one.storage, one.arms) == ("deep", str(tmp_path / "all" / "arms"), {})
    assert (one.sample, one.evaluate, one.agreement, one.model) == (None, None, None, given.model)
    # Demonstrations are shown once, by the study.
    tuned = arm_run(study(tmp_path, sft={"data": [{"path": "x"}]}, model={"path": "m", "revision": "r"}), "deep")
    assert (tuned.sft, tuned.model.path, tuned.model.revision) == (None, str(tmp_path / "all/sft/model"), None)


@pytest.mark.parametrize(("arm", "shared"), [("held", True), ("deep", False), ("again", False), ("direct", False)])
def test_the_reward_model_is_the_studys_where_an_arm_leaves_it_and_the_seed(
    tmp_path: Path, arm: str, shared: bool
) -> None:
    given = study(tmp_path)
    one = arm_run(given, arm)
    assert shares_reward_model(given, arm_of(given, arm)) is shared
    assert (one.reward_model is None) is (shared or arm == "direct")
    paths = [part.path for part in one.policy.rewards if isinstance(part, RewardModelPart)] if one.policy else []
    assert paths == {"held": [str(tmp_path / "all/reward_model/model"), "x"], "direct": []}.get(arm, ["", "x"])


def test_the_policies_of_arms_are_called_as_the_arms(tmp_path: Path) -> None:
    context = Context(study(tmp_path, dpo={}), RunFolder(tmp_path / "all"))
    # `direct` had a policy section once; that of `deep` is under way.
    for stage in ("held/dpo", "held/policy", "direct/dpo", "direct/policy", "deep/dpo"):
        model = tmp_path / "all" / "arms" / stage / "model"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
    home = tmp_path / "all" / "arms"
    assert trained(context) == {"held": str(home / "held/policy/model"), "direct": str(home / "direct/dpo/model")}


def test_what_is_done_is_what_arms_share_and_then_each(tmp_path: Path) -> None:
    done = ways(study(tmp_path, sft={"data": [{"path": "x"}]}))
    assert list(done) == ["", "held", "deep", "again", "direct"]
    assert [name for name, one in done.items() if one.sft] == [""]
    assert [name for name, one in done.items() if one.sample] == [""]
    assert [name for name, one in done.items() if one.reward_model] == ["", "deep", "again"]
    assert [name for name, one in done.items() if one.policy] == ["held", "deep", "again"]
    # Where no arm shares it, nobody trains it.
    alone = study(tmp_path, arms={"deep": {"reward_model.epochs": 4}})
    assert [name for name, one in ways(alone).items() if one.reward_model] == ["deep"]
    plain = study(tmp_path, arms={})
    assert ways(plain) == {"": plain}


def test_a_default_that_depends_on_the_algorithm_is_that_of_the_arms(tmp_path: Path) -> None:
    """An estimator of KL that nobody gave: k3 for GRPO, k1 for others."""
    arms = {"grpo": {"policy.algorithm": {"kind": "grpo"}}, "rloo": {"policy.algorithm": {"kind": "rloo"}}}
    for kind in ("rloo", "grpo"):
        given = study(tmp_path, policy=REWARDED | {"algorithm": {"kind": kind}}, arms=arms)
        found = [one.policy.kl.estimator for name, one in ways(given).items() if name and one.policy]
        assert found == ["k3", "k1"]


def test_where_a_reward_model_lies_is_no_part_of_a_stages_key(tmp_path: Path) -> None:
    ones = [arm_run(study(folder), "held").policy for folder in (tmp_path, tmp_path / "x")]
    first, second = (unplaced(one) for one in ones if one)
    assert ones[0] != ones[1]
    assert first == second
    assert first["rewards"][1]["weight"] == 3


def test_a_change_on_the_command_line_stays_one_change() -> None:
    given = ["arms.held.policy.kl.coefficient=3", "arms.0.5.policy.steps=2", "arms.0.5.seed=9"]
    found = load_study(ARMS, ["arms={held: {}, '0.5': {seed: 1}}", *given])
    assert found.arms["held"] == {"policy.kl.coefficient": 3}
    assert found.arms["0.5"] == {"policy.steps": 2, "seed": 9}
    assert load_study(ARMS, ["arms=null", "arms.x.seed=3"]).arms == {"x": {"seed": 3}}
    held = arm_of(found, "held").policy
    assert held is not None
    assert found.policy is not None
    assert (held.kl.coefficient, held.rewards) == (3, found.policy.rewards)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "arms={a: {reward_model: null}}",
            "arms.a: its rewards have a reward model and it trains none; give the arm other rewards, or the path of one",
        ),
        (
            "arms={a: {labeler.model.context: 2000}}",
            "arms.a: changes the labeler, and nothing in it asks one: the labels are the study's; make it two studies",
        ),
        (
            "arms={a: {seed: 3}}",
            "evaluate.grid: its rewards have the study's reward model, and each arm has one of its own or none; give",
        ),
        ("arms.start={seed: 3}", "arms: 'start' is the name of another policy in evaluate.grid; call one of them otherwise"),
        ("evaluate.grid.baseline=DPO", "evaluate.grid: 'DPO' is none of start, free, held, direct; mend `baseline` or `of`"),
    ],
)  # fmt: skip
def test_what_is_refused_before_anything_is_started(small: list[str], override: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_arms(load_study(ARMS, [*small, override]))
    assert str(error.value).startswith(said)


def test_the_plan_has_what_is_shared_once(capsys: pytest.CaptureFixture[str], small: list[str]) -> None:
    show_plan(load_study(ARMS, [*small, "prompts.path=demo", "prompts.holdout=108"]))
    said = capsys.readouterr().out
    rows = said.partition("Plan")[2].partition("results go to")[0].splitlines()
    stages = [row.partition("  ")[0] for row in rows if row[:1].strip()]
    assert stages == [
        "stage",
        "sample",
        "label",
        "reward model",
        "free: policy",
        "held: policy",
        "direct: DPO",
        "evaluate",
    ]
    needs = said.partition("Memory")[2].splitlines()
    assert [row.split()[2] for row in needs if row.startswith("reward model ")] == ["reward_model.learner"]
    assert sum("labeler.engine" in row for row in needs) == 1


def test_status_has_a_part_for_each_arm(tmp_path: Path) -> None:
    for run in (".", "arms/b", "arms/a"):
        (tmp_path / run / "policy").mkdir(parents=True)
        (tmp_path / run / "study.yaml").touch()
    (tmp_path / "arms/a/policy/metrics.jsonl").write_text('{"step": 0, "timings": {"step": 1.0}}\n')
    assert runs_in(tmp_path) == [tmp_path, tmp_path / "arms/a", tmp_path / "arms/b"]
    assert not status(tmp_path).training
    assert [one.name for one in status(tmp_path / "arms/a").training] == ["policy"]


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ("{a: {policy.kl.coeficient: 1}}", "arms.a: policy.kl.coeficient: there is no such key; did you mean 'coefficient'?"),
        ("{a: {policy.steps: 0}}", "arms.a: policy.steps: input should be greater than 0, got 0"),
        ("{a: {policy: null}}", "arms.a: trains no policy; give the study, or the arm, a policy, rejection or dpo section"),
        ("{a: {policy.rewards.7.weight: 1}}", "arms.a: policy.rewards.7.weight: 7 is not a position of that list; give 0 to 1"),
        (
            "{a: {sample.completions: 4}}",
            "arms: a changes sample.completions, which all arms share; one may change reward_model, dpo, rejection, policy",
        ),
    ],
)  # fmt: skip
def test_an_arm_that_cannot_be(arms: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_study(ARMS, [f"arms={arms}"])
    assert str(error.value).removeprefix(f"{ARMS}: ").startswith(said)


def test_arms_have_one_round() -> None:
    with pytest.raises(ConfigError, match=r"arms are trained from one start policy, rounds each from the one before"):
        load_study(ARMS, ["rounds=2"])


# --- all of them ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny: str) -> tuple[Outcome, Path]:
    folder = tmp_path_factory.mktemp("arms")
    return truing(folder, *pipeline(folder, tiny)).expect(0), folder / "smoke-arms"


def pipeline(folder: Path, tiny: str) -> list[str]:
    """The command, with the tiny model in the demo model's place."""
    return ["pipeline", str(ARMS), f"storage={folder}", f"model.path={tiny}", f"labeler.model.path={tiny}"]


def models(home: Path) -> dict[str, int]:
    """When each model was written, by its folder."""
    return {
        str(path.parent.relative_to(home)): path.stat().st_mtime_ns for path in home.rglob("model/model.safetensors")
    }


@pytest.mark.timeout(1800)
def test_what_arms_share_is_trained_once(run: tuple[Outcome, Path]) -> None:
    _, home = run
    of_arms = ["arms/direct/dpo/model", "arms/free/policy/model", "arms/held/policy/model"]
    assert sorted(models(home)) == [*of_arms, "reward_model/model"]


@pytest.mark.timeout(1800)
def test_an_arm_that_pays_for_kl_stays_nearer_and_each_has_a_row(run: tuple[Outcome, Path]) -> None:
    outcome, home = run
    rows = {row["arm"]: row for row in json.loads((home / "arms.json").read_text())}
    assert list(rows) == ["free", "held", "direct"]
    assert rows["free"]["last KL"] > 2 * rows["held"]["last KL"]
    assert rows["free"]["pairs"] == rows["held"]["pairs"]
    assert rows["direct"]["pairs"] is None
    # From step one on the same policy, reward model and prompts.
    first = [metrics(home / "arms" / arm / "policy/metrics.jsonl")[0] for arm in ("free", "held")]
    assert first[0]["parts"] == pytest.approx(first[1]["parts"])
    table = arms_table(Context(load_study(home / "study.yaml", []), RunFolder(home)))
    assert table is not None
    assert [dict(zip(table.columns, row, strict=True)) for row in table.rows] == list(rows.values())
    assert "Arms" in outcome.out


@pytest.mark.timeout(1800)
def test_the_studys_grid_has_the_start_and_every_arm(run: tuple[Outcome, Path]) -> None:
    grid = read_grid(run[1])
    assert grid is not None
    assert {figure.policy for figure in grid.figures} >= {"start", "free", "held", "direct"}
    assert "Arms" in (run[1] / "report.html").read_text(encoding="utf-8")


@pytest.mark.timeout(1800)
def test_the_same_command_again_trains_nothing(run: tuple[Outcome, Path], tiny: str) -> None:
    _, home = run
    before = models(home)
    truing(home.parent, *pipeline(home.parent, tiny)).expect(0)
    assert models(home) == before
