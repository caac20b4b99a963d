"""Every recipe loads, and all of it that can be checked without a model or a cluster is right."""

from pathlib import Path

import pytest

from jobs.askings import askings
from jobs.cluster.capacity import check_capacity
from jobs.cluster.kinds import Nodes
from jobs.context import Context
from jobs.store import RunFolder
from truing.config.load import load_study
from truing.config.study import Study
from truing.data.loaders import SPLITS
from truing.labeling.templates import load_template

ROOT = Path(__file__).resolve().parent.parent
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.yaml") if path.parent.name != "prompts")


def named(path: Path) -> str:
    return path.relative_to(ROOT / "configs").as_posix()


@pytest.fixture(params=CONFIGS, ids=named)
def study(request: pytest.FixtureRequest) -> Study:
    return load_study(request.param, [])


@pytest.fixture
def context(study: Study, tmp_path: Path) -> Context:
    return Context(study, RunFolder(tmp_path / study.name))


def test_there_are_recipes():
    there = {named(path) for path in CONFIGS}
    assert {"demo.yaml", "smoke/demo.yaml", "smoke/learn.yaml"} <= there
    # Every trainer's recipe has a small one beside it, which the tests run.
    trainers = ("sft", "paft", "reward_model", "dpo", "ppo", "grpo", "reinforce", "rejection", "rounds")
    assert {f"{where}{name}.yaml" for name in trainers for where in ("", "smoke/")} <= there


def test_it_begins_with_what_it_is_for(request: pytest.FixtureRequest):
    for path in CONFIGS:
        assert path.read_text(encoding="utf-8").startswith("# "), path


def test_no_two_recipes_write_to_one_folder():
    names = [load_study(path, []).name for path in CONFIGS]
    assert len(set(names)) == len(names)


def test_what_a_run_stores_of_it_reads_as_the_same_study(context: Context):
    """`study.yaml` in a run's folder is what the report tells a reader to run again."""
    context.save_config()
    stored = load_study(context.run.path / "study.yaml", [])
    assert stored == context.study
    # To the type of each number: 0 and 0.0 are equal, and two keys of a stage.
    assert stored.model_dump_json() == context.study.model_dump_json()


def test_prompts_are_left_to_train_on(context: Context):
    policy = context.study.policy
    assert context.training
    assert all(prompt.split == "id" for prompt in context.training)
    if policy is not None:
        assert len(context.training) >= policy.prompts, "a batch would hold one prompt twice"
    if context.study.rejection is not None:
        assert len(context.training) >= context.study.rejection.batch


def test_pairs_and_templates_are_there(context: Context):
    label, surveyed = context.study.label, context.survey
    assert surveyed.pairs or not label.marked.path
    asked = askings([label.templates], [label.style], label.criteria, surveyed.domains)
    assert all(set(asking.templates) == set(surveyed.domains) for asking in asked.values())
    if context.study.agreement is not None:
        wanted = context.study.agreement
        ways = askings(wanted.templates or [label.templates], wanted.styles, wanted.criteria, surveyed.domains)
        assert len(ways) == len(wanted.styles) * max(1, len(wanted.templates)) * len(wanted.criteria)
    for part in context.study.policy.rewards if context.study.policy else ():
        if part.kind == "ai_score":
            assert load_template(part.template).labels[:9] == tuple("123456789")


def test_an_evaluation_has_prompts_of_every_split(context: Context):
    settings = context.study.evaluate
    if settings is None:
        return
    splits = [prompt.split for prompt in context.evaluation]
    assert {split: splits.count(split) for split in SPLITS} == dict.fromkeys(SPLITS, settings.prompts_per_split)
    assert not {p.text for p in context.evaluation} & {p.text for p in context.training}


def test_it_fits_a_machine_with_two_cpus(study: Study):
    check_capacity(study, [Nodes("machine", {"CPU": 2}, 1)])


def test_prompt_and_answer_have_room_in_the_context(study: Study):
    if study.policy is not None:
        assert study.policy.sampling.max_tokens * 2 < study.model.context
    if study.evaluate is not None and study.evaluate.grid is not None:
        assert study.evaluate.grid.max_tokens * 2 < study.model.context
