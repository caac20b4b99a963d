"""A plan, and a dry run: what would be done and what it needs, and every fault that can be found before anything starts."""

import re
from pathlib import Path

import pytest

from jobs.memory import Shape, learner_need
from jobs.work import heaviest, work
from tests.jobs.conftest import LEARN, Call
from tests.jobs.drive import ROOT, Outcome, write_lines
from truing.config.load import load_study
from truing.config.roles import Learner

RECIPE = str(ROOT / "configs" / "smoke" / "agreement.yaml")


@pytest.fixture
def given(tiny: str, tmp_path: Path) -> list[str]:
    rows = [{"prompt": f"Why {i}?", "first": "So.", "second": "Because.", "human": "first"} for i in range(7)]
    path = write_lines(tmp_path / "human.jsonl", rows)
    models = [f"model.path={tiny}", f"labeler.model.path={tiny}", f"storage={tmp_path / 'runs'}"]
    return [RECIPE, *models, f"agreement.sets.0.path={path}", "agreement.sets.0.limit=5"]


def test_the_plan_names_each_set_and_each_way_of_asking(cli: Call, given: list[str], tmp_path: Path) -> None:
    done = cli("label", *given, "agreement.templates=[{'*': helpful}, {'*': summarize}]", "--dry-run").expect(0)
    said = " ".join(done.out.split())
    # Two templates in the recipe's two styles; 5 of the 7 pairs.
    assert "human: 5 pairs x 4 ways of asking = 20 questions, both orders" in said
    for template in ("helpful", "summarize"):
        assert f"{template}: base, no exemplars, no rationale" in said
        assert f"{template}: detailed, 2 exemplars, 1 rationale" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("agreement.sets.0.path=nowhere.jsonl", "nowhere.jsonl: there is no such file or folder;"),
        ("agreement.templates=[{'*': helpfull}]", "helpfull"),
        ("agreement.criteria=[charm]", "charm"),
        ("label.reuse=[nowhere]", "label.reuse: nowhere is not a run folder (it has no study.yaml);"),
    ],
)
def test_faults_are_found_before_anything_starts(
    cli: Call, given: list[str], tmp_path: Path, override: str, expected: str, mode: tuple[str, ...]
) -> None:
    done = cli("label", *given, override, *mode)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert expected in done.err
    assert not (tmp_path / "runs").exists()


# --- what a study needs ----------------------------------------------------------------------------------------------

PARAMETERS = 320 * 128 + 2 * (128 * 128 + 2 * 128 * 64 + 128 * 128 + 3 * 128 * 256 + 2 * 128) + 128
"""The tiny Llama: embedding, tied to the head; a layer's q (4 heads of 32), k and v (2 heads), o, the three of the MLP and
two norms; the last norm."""


def plan(cli: Call, name: str, tiny: str, tmp_path: Path, *overrides: str) -> Outcome:
    models = (f"model.path={tiny}", f"labeler.model.path={tiny}", f"storage={tmp_path / 'runs'}")
    return cli("plan", str(ROOT / "configs" / "smoke" / f"{name}.yaml"), *models, *overrides)


def test_the_plan_names_roles_memory_layout_and_bottleneck(cli: Call, tiny: str, tmp_path: Path) -> None:
    done = plan(cli, "ppo", tiny, tmp_path, "prompts.holdout=0").expect(0)
    assert done.err == ""
    for title in ("Plan", "Roles", "Memory, GB"):
        assert f"\n{title} " in f"\n{done.out}", title
    memory = done.out.partition("Memory, GB")[2]
    for role in ("policy.engine", "policy.reference", "policy.learner", "policy.algorithm.critic"):
        assert role in memory
    for part in ("KV cache 1.07", "weights", "gradients", "optimizer", "activations", "LM head"):
        assert part in " ".join(memory.split())
    assert "ppo: 8 steps of 4 prompts x 4 completions, 1 x 2 updates a step" in " ".join(done.out.split())
    assert "  layout: one node of" in done.out
    assert "  bottleneck: " in done.out
    assert ", in stage " in done.out
    # It starts nothing, and does not show the configuration, as --dry-run does.
    assert not (tmp_path / "runs").exists()
    assert "importance_cap" not in done.out


@pytest.mark.parametrize(
    ("name", "override", "stage", "role", "lower"),
    [
        ("ppo", "policy.engine.cache_gb=9999", "policy", "policy.engine", "cache_gb or policy.engine.max_sequences"),
        (
            "grpo", "policy.learner.token_budget=1000000000", "policy", "policy.learner",
            "token_budget or policy.learner.zero_stage, or train policy.learner.lora",
        ),
        (
            "reward_model", "reward_model.learner.token_budget=1000000000", "reward model", "reward_model.learner",
            "token_budget or reward_model.learner.zero_stage, or train reward_model.learner.lora",
        ),
        ("rejection", "rejection.engine.cache_gb=9999", "rejection sampling", "rejection.engine",
         "cache_gb or rejection.engine.max_sequences"),
    ],
)  # fmt: skip
def test_a_study_that_cannot_fit_is_refused_with_the_number_to_change(
    cli: Call, tiny: str, tmp_path: Path, name: str, override: str, stage: str, role: str, lower: str
) -> None:
    done = plan(cli, name, tiny, tmp_path, override)
    assert (done.code, done.err.count("\n")) == (3, 1)
    assert re.match(rf"truing: {stage}: needs about [\d.]+ GB and this machine has [\d.]+ \([\d.]+ short\); ", done.err)
    assert re.search(rf"; {re.escape(role)} takes [\d.]+ of it: lower {re.escape(f'{role}.{lower}')}\n$", done.err)


def test_a_dry_run_refuses_it_too(cli: Call, tiny: str, tmp_path: Path) -> None:
    recipe = str(ROOT / "configs" / "smoke" / "grpo.yaml")
    models = (f"model.path={tiny}", f"labeler.model.path={tiny}", f"storage={tmp_path}")
    assert cli("train", recipe, *models, "policy.engine.cache_gb=9999", "--dry-run").code == 3


def test_the_shape_of_a_model_is_read_from_its_files(tiny: str, tmp_path: Path) -> None:
    shape = Shape.of(tiny)
    assert PARAMETERS == 336512
    assert shape == Shape(PARAMETERS, layers=2, hidden=128, intermediate=256, vocabulary=320)
    assert Shape.of(str(tmp_path)) is None
    assert Shape.of("org/name") is None


def test_a_head_of_its_own_is_counted(tmp_path: Path) -> None:
    from tests.tiny import save_tiny_llama

    shape = Shape.of(str(save_tiny_llama(tmp_path / "untied", tied=False)))
    assert shape is not None
    assert shape.parameters == PARAMETERS + 320 * 128


SHAPE = Shape(1_000_000_000, layers=10, hidden=1000, intermediate=4000, vocabulary=50_000)


@pytest.mark.parametrize(
    ("settings", "weights", "gradients", "optimizer"),
    [
        # A billion parameters: float32 weights 4 GB, gradients 4, AdamW 8 without a copy, 16 with one and a buffer.
        ({"zero_stage": 0}, 4, 4, 8),
        ({"zero_stage": 1}, 4, 4, 16),
        # Two ranks share what the stage shards.
        ({"zero_stage": 1, "ranks": 2}, 4, 4, 8),
        ({"zero_stage": 2, "ranks": 2}, 4, 2, 8),
        ({"zero_stage": 3, "ranks": 2}, 2, 2, 8),
        # Adapters of rank 10: 10 layers of 4·2·1000·10 + 3·5000·10 = 230,000: 2.3 million
        ({"zero_stage": 1, "lora": {"rank": 10}}, 4, 4 * 0.0023, 16 * 0.0023),
    ],
)
def test_a_learners_memory_by_hand(
    settings: dict[str, object], weights: float, gradients: float, optimizer: float
) -> None:
    need = learner_need("x.learner", SHAPE, Learner.model_validate(settings))
    assert need.parts["weights"] == pytest.approx(weights)
    assert need.parts["gradients"] == pytest.approx(gradients)
    assert need.parts["optimizer"] == pytest.approx(optimizer)
    assert need.total == pytest.approx(need.count * sum(need.parts.values()))


def test_activations_by_hand_and_what_checkpointing_saves() -> None:
    plain = Learner(precision="float32", token_budget=1000)
    # 1000 tokens · 10 layers · 1.5·(110·1000 + 8·4000) = 213,000 bytes: 2.13 GB
    assert learner_need("x", SHAPE, plain).parts["activations"] == pytest.approx(2.13)
    # 1000 tokens · (10 layers · 4·1000, and one layer's 213,000): 0.253 GB
    kept = plain.model_copy(update={"gradient_checkpointing": True})
    assert learner_need("x", SHAPE, kept).parts["activations"] == pytest.approx(0.253)


def test_the_work_of_a_step_by_hand(tiny: str) -> None:
    study = load_study(LEARN, [f"model.path={tiny}"])
    assert study.policy is not None
    # 4 prompts of (1024 - 12)/2 = 506 tokens, 32 answers of 12: 2024 + 384 = 2408 tokens are read.
    #   sampling 2·(2024 + 4·384) = 7120;  reference 2·2408 = 4816;  learner (2 + 6)·2408 = 19264;  together 31200
    assert work(study, study.policy) == {"sampling": 7120, "reference": 4816, "learner": 19264}
    assert heaviest(study) == ["bottleneck: learner; of a step's work learner 62 %, sampling 23 %, reference 15 %"]
    assert heaviest(load_study(LEARN, ["policy=null"])) == []
