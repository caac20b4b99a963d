from pathlib import Path

import pytest

from truing.config.load import load_study
from truing.config.policy import Ppo, Rloo
from truing.config.rewards import part_name
from truing.config.study import Study
from truing.config.training import LabelSource
from truing.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
RECIPES = sorted(path for path in ROOT.joinpath("configs").rglob("*.yaml") if path.parent.name != "prompts")

FULL = """
name: full
policy:
  algorithm: {kind: ppo}
  rewards:
    - {kind: reward_model, weight: 2.0}
    - {kind: pattern, pattern: "[0-9]"}
"""


def study(folder: Path, text: str, *overrides: str) -> Study:
    path = folder / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return load_study(path, list(overrides))


def refusal(folder: Path, text: str, *overrides: str) -> str:
    """The message, less the path that it begins with."""
    with pytest.raises(ConfigError) as error:
        study(folder, text, *overrides)
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder / 'study.yaml'}: ")


# --- the recipes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_recipe_loads(path: Path) -> None:
    assert load_study(path, ["seed=5"]).seed == 5


def test_there_are_recipes() -> None:
    names = {str(path.relative_to(ROOT / "configs")) for path in RECIPES}
    assert names >= {"demo.yaml", "smoke/demo.yaml"}


# --- files and overrides that are right ----------------------------------------------------------


def test_a_name_is_enough(tmp_path: Path) -> None:
    found = study(tmp_path, "name: a")
    assert found == Study(name="a")
    assert (found.reward_model, found.policy, found.evaluate) == (None, None, None)


def test_overrides_reach_every_depth(tmp_path: Path) -> None:
    found = study(
        tmp_path,
        FULL,
        "seed=3",
        "policy.steps=20",
        "policy.algorithm.critic.learning_rate=1e-4",  # YAML 1.1 reads a text here; it is a number all the same
        "policy.rewards.1.weight=-0.5",
        "label.templates.poems=helpful",
        "reward_model.epochs=2",
        "policy.rewards.0.path=a=b",
    )
    assert found.seed == 3
    assert found.policy is not None
    assert found.policy.steps == 20
    assert isinstance(found.policy.algorithm, Ppo)
    assert found.policy.algorithm.critic.learning_rate == 1e-4
    assert [part.weight for part in found.policy.rewards] == [2.0, -0.5]
    assert found.policy.rewards[0].path == "a=b"
    assert found.label.templates == {"poems": "helpful"}
    assert found.reward_model is not None
    assert found.reward_model.epochs == 2


def test_overrides_take_yaml_values(tmp_path: Path) -> None:
    assert study(tmp_path, FULL, "policy=null").policy is None
    assert study(tmp_path, FULL, "policy=").policy is None
    found = study(tmp_path, FULL, "policy.rewards.0={kind: finished}", "policy.algorithm={kind: rloo, completions: 8}")
    assert found.policy is not None
    assert [part.kind for part in found.policy.rewards] == ["finished", "pattern"]
    assert found.policy.algorithm == Rloo(completions=8)


def test_a_later_override_wins(tmp_path: Path) -> None:
    assert study(tmp_path, "name: a", "seed=1", "seed=2").seed == 2


def test_sources_of_preferences_are_used_each_in_its_own_way(tmp_path: Path) -> None:
    found = study(tmp_path, FULL, "reward_model.sources={ai: {weight: 0.5, temperature: 0}, marked: {holdout: 0.4}}")
    assert found.reward_model is not None
    assert found.reward_model.sources == {
        "ai": LabelSource(weight=0.5, temperature=0.0, holdout=0.1), "marked": LabelSource(holdout=0.4),
    }  # fmt: skip


def test_a_stage_with_nothing_below_it_takes_overrides(tmp_path: Path) -> None:
    found = study(tmp_path, "name: a\nreward_model:\n", "reward_model.epochs=3")
    assert found.reward_model is not None
    assert found.reward_model.epochs == 3


# --- files that are wrong ------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as error:
        load_study(path, [])
    assert str(error.value) == f"{path}: there is no such file; the recipes are in configs/"


@pytest.mark.parametrize("content", ["", "# nothing\n", "- name: a\n", "name"])
def test_a_file_without_keys(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, content) == "holds no keys; a study begins with `name: ...`"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("name: [a", "expected ',' or ']'"),
        ("name: a\n\tseed: 1", "found character '\\t' that cannot start any token"),
        ("name: !!python/object:os.system x", "could not determine a constructor"),
        ("name: 2024-13-45", "month must be in 1..12"),
    ],
)
def test_a_file_that_is_not_yaml(tmp_path: Path, content: str, reason: str) -> None:
    message = refusal(tmp_path, content)
    assert message.startswith("is not YAML: ")
    assert reason in message


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: caf\xe9")
    for unreadable in (path, tmp_path):
        with pytest.raises(ConfigError) as error:
            load_study(unreadable, [])
        assert str(error.value).startswith(f"{unreadable}: cannot be read as UTF-8 text (")
        assert str(error.value).endswith("); give a YAML file")


# --- keys that are wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("polcy.steps=2", "polcy: there is no such key; did you mean 'policy'?"),
        ("policy.step=2", "policy.step: there is no such key; did you mean 'steps'?"),
        ("policy.kl.coeficient=1", "policy.kl.coeficient: there is no such key; did you mean 'coefficient'?"),
        ("reward_model.epocs=1", "reward_model.epocs: there is no such key; did you mean 'epochs'?"),
        ("label.gate.on_fail=warn", "label.gate.on_fail: there is no such key; did you mean 'on_failure'?"),
        # Below a union only the keys of the chosen kind are known: `clip` is PPO's, `value_clip` too.
        ("policy.algorithm.clipp=1", "policy.algorithm.ppo.clipp: there is no such key; did you mean 'clip'?"),
        (
            "policy.algorithm={kind: rloo, clip: 1}",
            "policy.algorithm.rloo.clip: there is no such key; known here: completions, kind",
        ),
        (
            "policy.rewards.0.wieght=1",
            "policy.rewards.0.reward_model.wieght: there is no such key; did you mean 'weight'?",
        ),
        ("policy.rewards.1.wieght=1", "policy.rewards.1.pattern.wieght: there is no such key; did you mean 'weight'?"),
        (
            "policy.sampling.xyzzy=1",
            "policy.sampling.xyzzy: there is no such key; known here: max_tokens, temperature",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(tmp_path: Path, override: str, message: str) -> None:
    assert refusal(tmp_path, FULL, override) == message


def test_a_required_key(tmp_path: Path) -> None:
    assert refusal(tmp_path, "seed: 1") == "name: is required; add it"
    message = refusal(tmp_path, FULL, "policy.rewards.1={kind: pattern}")
    assert message == "policy.rewards.1.pattern.pattern: is required; add it"


def test_several_faults_are_counted(tmp_path: Path) -> None:
    message = refusal(tmp_path, "seed: -1\npolicy: {steps: 0}")
    assert message == "name: is required; add it (and 2 more)"


# --- values that are wrong -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "policy.steps=many",
            "policy.steps: input should be a valid integer, unable to parse string as an integer, got 'many'",
        ),
        ("policy.steps=0", "policy.steps: input should be greater than 0, got 0"),
        (
            "policy.steps=1.5",
            "policy.steps: input should be a valid integer, got a number with a fractional part, got 1.5",
        ),
        ("policy.steps=", "policy.steps: input should be a valid integer, got None"),
        ("policy=3", "policy: input should be a valid dictionary or instance of Policy, got 3"),
        ("seed=[1]", "seed: input should be a valid integer"),
        ("name=7", "name: input should be a valid string, got 7"),
        (
            "name=a/b",
            "name: string should match pattern '^[A-Za-z0-9][A-Za-z0-9._-]*$', got 'a/b'",
        ),
        (
            "policy.rewards.0.weight=.nan",
            "policy.rewards.0.reward_model.weight: input should be a finite number, got nan",
        ),
        ("policy.kl.coefficient=.inf", "policy.kl.coefficient: input should be a finite number, got inf"),
        ("policy.kl.controller=pid", "policy.kl.controller: input should be 'fixed' or 'adaptive', got 'pid'"),
        (
            "sample.engine.gpu_memory_share=2",
            "sample.engine.gpu_memory_share: input should be less than or equal to 1, got 2",
        ),
        (
            "policy.algorithm={completions: 4}",
            "policy.algorithm: has no kind; add kind: grpo or ppo or reinforce or rloo",
        ),
        (
            "policy.rewards.1={weight: 1}",
            (
                "policy.rewards.1: has no kind;"
                " add kind: ai_score or combined or finished or length or pattern or reward_model"
            ),
        ),
        (
            "policy.algorithm.kind=sarsa",
            (
                "policy.algorithm: input tag 'sarsa' found using 'kind' does not match any of the expected tags:"
                " 'rloo', 'grpo', 'reinforce', 'ppo'"
            ),
        ),
        ("policy.rollouts.ahead=2", "policy.rollouts.ahead: input should be 0 or 1, got 2"),
        (
            "reward_model.patience=2",
            "reward_model: patience counts looks at the held-out data: set evaluate_every too",
        ),
        ("dpo.patience=2", "dpo: patience counts looks at the held-out data: set evaluate_every too"),
        ("dpo.smoothing=0.5", "dpo.smoothing: input should be less than 0.5, got 0.5"),
        ("dpo.loss=kto", "dpo.loss: input should be 'dpo' or 'ipo', got 'kto'"),
        (
            "reward_model.sources={ai: {holdout: 2}}",
            "reward_model.sources.ai.holdout: input should be less than or equal to 1, got 2",
        ),
        (
            "reward_model.sources={ai: {share: 1}}",
            "reward_model.sources.ai.share: there is no such key; known here: holdout, temperature, weight",
        ),
        (
            "policy.learner.offload=true",
            "policy.learner: offload moves a GPU's state to the host, and gpus is 0: leave offload out",
        ),
        (
            "policy.learner={offload: true, gpus: 1, zero_stage: 0}",
            "policy.learner: offload needs a sharded optimizer: set zero_stage to 1, 2 or 3",
        ),
        ("rounds=0", "rounds: input should be greater than 0, got 0"),
        ("policy.rewards=[]", "policy.rewards: tuple should have at least 1 item after validation, not 0"),
        (
            'policy.rewards.1.pattern="["',
            (
                "policy.rewards.1.pattern.pattern: is not a regular expression"
                " (unterminated character set at position 0); escape what is meant literally, got '['"
            ),
        ),
    ],
)
def test_a_wrong_value_is_shown(tmp_path: Path, override: str, message: str) -> None:
    assert refusal(tmp_path, FULL, override) == message


def test_rlaifs_objective_is_a_mixture(tmp_path: Path) -> None:
    message = refusal(tmp_path, FULL, "policy.kl.objective=rlaif", "policy.kl.coefficient=1.5")
    assert message == "policy.kl: objective rlaif mixes (1-β)·r and β·KL: give kl.coefficient between 0 and 1"
    assert study(tmp_path, FULL, "policy.kl.objective=rlaif", "policy.kl.coefficient=1").policy is not None
    assert study(tmp_path, FULL, "policy.kl.coefficient=1.5").policy is not None


@pytest.mark.parametrize(
    ("algorithm", "overrides", "estimator"),
    [
        ("grpo", (), "k3"),
        ("grpo", ("policy.kl.coefficient=0.1",), "k3"),
        ("grpo", ("policy.kl.estimator=k2",), "k2"),
        ("grpo", ("policy.kl.estimator=k3",), "k3"),
        ("rloo", (), "k1"),
        ("reinforce", ("policy.kl.objective=rlaif",), "k1"),
        ("ppo", ("policy.kl.coefficient=0.1",), "k1"),
        ("ppo", ("policy.kl.estimator=k3",), "k3"),
    ],
)
def test_the_estimator_is_for_where_the_penalty_is(
    tmp_path: Path, algorithm: str, overrides: tuple[str, ...], estimator: str
) -> None:
    policy = study(tmp_path, FULL, f"policy.algorithm={{kind: {algorithm}}}", *overrides).policy
    assert policy is not None
    # It stands in what is printed and stored, and what is stored is read as the same.
    assert policy.model_dump()["kl"]["estimator"] == estimator
    assert type(policy).model_validate(policy.model_dump()) == policy


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "estimator=k1",
            (
                "policy.kl: estimator k1 has no gradient on average in a loss, where grpo has its penalty:"
                " give kl.estimator k3 or k2, or leave it out"
            ),
        ),
        (
            "objective=rlaif",
            (
                "policy.kl: objective rlaif mixes β·KL into the reward, and grpo has it in the loss:"
                " leave kl.objective out; kl.coefficient β/(1-β) is the same mixture"
            ),
        ),
    ],
)
def test_a_penalty_that_is_no_loss_is_refused_for_grpo(tmp_path: Path, override: str, message: str) -> None:
    assert refusal(tmp_path, FULL, "policy.algorithm={kind: grpo}", f"policy.kl.{override}") == message
    # The algorithm that has it in the reward takes it, in whatever order the two are given.
    assert study(tmp_path, FULL, f"policy.kl.{override}", "policy.algorithm={kind: rloo}").policy is not None


def test_a_reward_part_is_named_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, FULL, "policy.rewards.1={kind: reward_model, weight: 0.5}")
    assert message == (
        "policy.rewards: names reward_model twice: give one entry with the summed weight, or each reward model a name of its own"
    )
    named = "policy.rewards=[{kind: reward_model}, {kind: reward_model, name: safety, path: x}]"
    parts = study(tmp_path, FULL, named).policy
    assert parts is not None
    assert [part_name(part) for part in parts.rewards] == ["reward_model", "safety"]
    judged = "policy.rewards=[{kind: ai_score}, {kind: ai_score, template: geval, criterion: coherence}]"
    parts = study(tmp_path, FULL, judged).policy
    assert parts is not None
    assert [part_name(part) for part in parts.rewards] == ["ai_score", "ai_score coherence"]
    # Two patterns are two different rules.
    found = study(tmp_path, FULL, "policy.rewards=[{kind: pattern, pattern: a}, {kind: pattern, pattern: b}]")
    assert found.policy is not None
    assert len(found.policy.rewards) == 2


# --- overrides that are wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("policy.steps", "'policy.steps' is not an override; write key.path=value, e.g. policy.steps=20"),
        ("=20", "'=20' is not an override; write key.path=value, e.g. policy.steps=20"),
        ("policy.steps=[20", "override policy.steps: '[20' is not a YAML value; put quotes around a text"),
        ("name=2024-13-45", "override name: '2024-13-45' is not a YAML value; put quotes around a text"),
        ("name.first=a", "override name.first: name is a plain value in the file; it has no keys below it"),
        (
            "policy.rewards.2.weight=1",
            "override policy.rewards.2.weight: 2 is not a position of that list; give 0 to 1",
        ),
        ("policy.rewards.2={}", "override policy.rewards.2: 2 is not a position of that list; give 0 to 1"),
        (
            "policy.rewards.-1.weight=1",
            "override policy.rewards.-1.weight: -1 is not a position of that list; give 0 to 1",
        ),
        (
            "policy.rewards.².weight=1",
            "override policy.rewards.².weight: ² is not a position of that list; give 0 to 1",
        ),
        (
            "policy.rewards.pattern.weight=1",
            "override policy.rewards.pattern.weight: pattern is not a position of that list; give 0 to 1",
        ),
    ],
)
def test_a_bad_override_says_how_to_write_one(tmp_path: Path, override: str, message: str) -> None:
    assert refusal(tmp_path, FULL, override) == message


def test_a_plain_value_in_a_list_has_no_keys(tmp_path: Path) -> None:
    message = refusal(tmp_path, "name: a\npolicy: {rewards: [finished]}", "policy.rewards.0.weight=2")
    assert message == "override policy.rewards.0.weight: 0 is a plain value in the file; it has no keys below it"


def test_a_budget_needs_a_price(tmp_path: Path) -> None:
    given = "labeler={kind: endpoint, model: m, budget: 5%s}"
    assert refusal(tmp_path, FULL, given % "").endswith(
        "budget: nothing is spent while price is 0; give price.input and price.output"
    )
    assert study(tmp_path, FULL, given % ", price: {output: 0.6}").labeler is not None
