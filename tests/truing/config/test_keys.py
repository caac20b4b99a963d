"""docs/configuration.md is what the sections say, every key of them; and what `truing keys` finds at a path."""

import re
from pathlib import Path

import pytest

from truing.config import words
from truing.config.base import Section
from truing.config.keys import Place, keys_of, page, places, row, tables
from truing.config.load import load_study
from truing.config.roles import Learner, Lora
from truing.config.training import RewardModel
from truing.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
FILE = ROOT / "docs" / "configuration.md"


def plain(text: str, _: str) -> str:
    return text


@pytest.fixture(scope="module")
def written() -> dict[tuple[str, str], list[str]]:
    """Cells of every row of the page by section and key."""
    rows: dict[tuple[str, str], list[str]] = {}
    for part in re.split(r"^## ", page(), flags=re.MULTILINE)[1:]:
        for line in part.splitlines():
            if line.startswith("| `"):
                key, *cells = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
                rows[part.split("\n")[0], key.strip("`")] = cells
    return rows


# --- the page ------------------------------------------------------------------------------------


def test_the_page_is_what_the_sections_say() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "the sections say something else: run `make keys`"


def test_every_key_is_in_a_row_of_four_cells(written: dict[tuple[str, str], list[str]]) -> None:
    keys = {(section.__name__, key) for section in places() for key in section.model_fields if key != "kind"}
    assert written.keys() == keys
    assert {len(cells) for cells in written.values()} == {3}


def test_every_key_has_a_meaning_and_every_section_a_docstring() -> None:
    silent = [section.__name__ for section in places() if not words.about(section)]
    silent += [
        f"{one.__name__}.{key.name}" for one in places() for key in keys_of(Place(one), plain) if not key.meaning
    ]
    assert silent == [], "write their docstrings in truing/config, then run `make keys`"


def test_a_key_without_a_docstring_means_what_its_section_is_or_nothing() -> None:
    class Inner(Section):
        """What is inside. And more."""

    class Outer(Section):
        one: Inner | None = None
        bare: int = 0
        said: int = 0
        """In two
        lines."""

    meanings = {name: words.meaning(field) for name, field in Outer.model_fields.items()}
    assert meanings == {"one": "What is inside.", "bare": "", "said": "In two lines."}


def test_links_lead_somewhere() -> None:
    text = FILE.read_text(encoding="utf-8")
    headings = [line.removeprefix("## ").lower() for line in text.splitlines() if line.startswith("## ")]
    assert len(set(headings)) == len(headings)
    links = re.findall(r"\]\(([^)]*)\)", text)
    inside = {link.removeprefix("#") for link in links if link.startswith("#")}
    # Both ways: each section is what some key takes, and the page's beginning links to Study.
    assert inside == set(headings)
    assert all((FILE.parent / link).exists() for link in links if not link.startswith("#"))


def test_other_pages_link_to_sections_that_are_there() -> None:
    headings = {section.__name__.lower() for section in places()}
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    linked = {
        name for one in pages for name in re.findall(r"configuration\.md#([^)]*)\)", one.read_text(encoding="utf-8"))
    }
    assert {"grid", "label"} <= linked <= headings


def test_the_example_is_a_study(tmp_path: Path) -> None:
    lines = page().partition("\n## ")[0].splitlines()
    file = tmp_path / "mine.yaml"
    file.write_text("\n".join(line[4:] for line in lines if line.startswith("    ")))
    study = load_study(file, ["policy.steps=40", "policy.learner.lora={rank: 8}"])
    assert study.policy is not None
    assert study.policy.learner == Learner(learning_rate=2e-6, warmup_steps=10, lora=Lora(rank=8))
    assert (study.policy.steps, study.reward_model) == (40, RewardModel())


def test_a_pipe_does_not_end_its_cell() -> None:
    assert row("`a`", "b | c") == r"| `a` | b \| c |"


@pytest.mark.parametrize(
    ("section", "key", "takes", "default"),
    [
        ("Learner", "warmup_steps", "whole number, at least 0", "`0`"),
        ("Learner", "token_budget", "whole number, at least 1", "`2048`"),  # gt=0
        ("Learner", "learning_rate", "number above 0", "`1e-05`"),
        ("Engine", "gpu_memory_share", "number above 0 and at most 1", "`0.85`"),
        ("Dpo", "smoothing", "number, at least 0 and below 0.5", "`0.0`"),
        ("FewShot", "exemplars", "whole number from 1 to 16", "`4`"),  # gt=0, le=16
        ("Cluster", "budget", "number above 0 or `null`", "none"),
        ("Cluster", "memory", "mapping from one of `learner`, `rollout`, `labeler`, `scorer` to numbers above 0", "`{}`"),
        ("Learner", "offload", "true or false", "`false`"),
        ("Learner", "precision", "one of `bfloat16`, `float32`", "`bfloat16`"),
        ("Push", "route", "one of `object_store`, `native`, or `null`", "none"),
        ("EndpointLabeler", "model", "text", "required"),
        ("EndpointLabeler", "url", "text", "`http://127.0.0.1:8000/v1`"),
        ("BestOf", "of", "text of 1 to 64 characters", "required"),
        ("AiScorePart", "criterion", r"text that matches `^[\w -]+$`", "`overall`"),
        ("RecordedJudges", "scale", "list (exactly 2) of numbers", "`[1, 5]`"),
        ("RecordedJudges", "challenge", "list of lists (exactly 2) of texts", "`[]`"),
        ("Label", "templates", "mapping from names to texts", "`{'*': helpful}`"),
        ("Policy", "engine", "section [Engine](#engine)", "its own"),
        ("Ppo", "critic", "section [Learner](#learner)", "`learning_rate: 2e-05`"),
        ("EngineLabeler", "model", "section [Model](#model)", "`context: 1024`"),
        ("Sft", "data", "list (at least 1) of sections [Examples](#examples) or section [Mixture](#mixture)", "required"),
        (
            "Policy", "algorithm",
            "section of `kind` [rloo](#rloo), [grpo](#grpo), [reinforce](#reinforce) or [ppo](#ppo)", "`kind: rloo`",
        ),
        (
            "Grid", "data",
            "list (at least 1) of sections of `kind` [prompts](#promptset), [choices](#choiceset) or [study](#studyprompts)",
            "`[{kind: study}]`",
        ),
    ],
)  # fmt: skip
def test_rows(written: dict[tuple[str, str], list[str]], section: str, key: str, takes: str, default: str) -> None:
    assert written[section, key][:2] == [takes, default]


def test_a_section_says_where_it_stands() -> None:
    found = {section.__name__: paths for section, paths in places().items()}
    assert list(found)[:3] == ["Study", "Model", "Cluster"]
    assert found["Study"] == [""]
    assert found["LabelSource"] == ["reward_model.sources.NAME", "dpo.sources.NAME"]
    # `critic` of two algorithms is one path, and longer than those of the trainers.
    assert found["Learner"] == [
        "sft.learner", "reward_model.learner", "dpo.learner", "rejection.learner", "policy.learner", "policy.algorithm.critic",
    ]  # fmt: skip
    text = FILE.read_text(encoding="utf-8")
    assert "At `sft.learner`, `reward_model.learner`, `dpo.learner`, `rejection.learner` and 2 more.\n" in text
    assert "`kind: ppo`, at `policy.algorithm`.\n" in text


# --- one section ---------------------------------------------------------------------------------


def default(path: str) -> str:
    """Of the single key at a path."""
    [table] = tables(path)
    [key] = table.keys
    return key.default


def test_a_default_is_that_of_the_place() -> None:
    assert default("policy.learner.learning_rate") == "`1e-06`"
    assert default("reward_model.learner.learning_rate") == "`2e-05`"
    assert default("rejection.learner.learning_rate") == "`1e-05`"
    assert default("model.context") == "`512`"
    # The kind of the default labeler, and one of a list that has no default.
    assert default("labeler.engine.model.context") == "`1024`"
    assert default("evaluate.grid.policies.0.n") == "`4`"


@pytest.mark.parametrize(
    ("path", "titles"),
    [
        ("", ["study (Study)"]),
        ("dpo.learner.lora", ["dpo.learner.lora (Lora)"]),
        ("trackers", ["trackers (kind: tensorboard)", "trackers (kind: mlflow)", "trackers (kind: wandb)"]),
        ("trackers.0.mlflow", ["trackers.0.mlflow (kind: mlflow)"]),
        ("dpo.sources", ["dpo.sources (LabelSource)"]),
        ("dpo.sources.people", ["dpo.sources.people (LabelSource)"]),
        ("policy.algorithm.grpo", ["policy.algorithm.grpo (kind: grpo)"]),
        # A kind and a key of the same name, one after the other.
        ("evaluate.grid.policies.endpoint.endpoint.price", ["evaluate.grid.policies.endpoint.endpoint.price (Price)"]),
        ("labeler.ensemble.kind", ["labeler.ensemble.kind (kind: ensemble)"]),
        ("policy.algorithm.clip", ["policy.algorithm.clip (kind: grpo)", "policy.algorithm.clip (kind: ppo)"]),
    ],
)
def test_what_stands_at_a_path(path: str, titles: list[str]) -> None:
    # Behind a section's title stands what it is.
    assert [re.sub(r"(?<=\)): .*", "", table.title) for table in tables(path)] == titles


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("polcy", "keys polcy: there is no such key; did you mean 'policy'?"),
        ("policy.lerner.lora", "keys policy.lerner: there is no such key; did you mean 'learner'?"),
        ("policy.algorithm.pp", "keys policy.algorithm.pp: there is no such key; did you mean 'ppo'?"),
        ("model.zzz", "keys model.zzz: there is no such key; known here: context, path, revision"),
        ("policy.steps.x", "keys policy.steps.x: steps is a plain value; it has no keys below it"),
        ("policy..steps", "keys policy.: there is no such key; known here: "),
        ("policy.0", "keys policy.0: there is no such key; known here: "),
    ],
)
def test_what_is_not_there_gets_one_line(path: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        tables(path)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
