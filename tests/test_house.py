"""The architecture is a test: import layers, budgets and habits of this repository, and proof that each can fail."""

import configparser
from pathlib import Path

import pytest

from tests import house_rules as rules
from tests.house_rules import Rule, Source

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("truing", "actors", "trainers", "jobs", "benchmarks")
TORCH_FREE = ("truing.config", "truing.records", "truing.labeling", "truing.evaluation")
HEAVY = {"torch", "ray", "vllm", "deepspeed", "transformers"}


# --- the tree ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", rules.BUDGETS + rules.HABITS, ids=lambda rule: rule.__name__)
def test_tree_keeps(rule: Rule):
    where = PACKAGES if rule in rules.BUDGETS else (*PACKAGES, "tests")
    files = rules.sources(ROOT, where)
    assert {file.package for file in files} >= {"truing", "actors", "trainers", "jobs"}
    complaints = [complaint for file in files for complaint in rule(file)]
    assert not complaints, "\n".join(["", *complaints])


def test_imports_point_down_only():
    kept, report = rules.lint_imports(ROOT)
    assert kept, report


def test_torch_free_packages_import_nothing_heavy():
    loaded = rules.modules_loaded_by(TORCH_FREE, ROOT)
    assert not loaded & HEAVY


# --- each rule can fail --------------------------------------------------------------------------

LONG_BODY = "    x = 1\n"

BREAKS: list[tuple[Rule, str, str]] = [
    (rules.file_budget, "truing/a.py", "x = 1\n" * 301),
    # `def` + 60 lines = 61
    (rules.function_budget, "truing/a.py", "def f():\n" + LONG_BODY * 60),
    (rules.function_budget, "truing/a.py", "class A:\n    async def f(self):\n" + "        x = 1\n" * 60),
    (rules.config_budget, "truing/config/a.py", "class A(Section):\n" + "    x: int = 1\n" * 21),
    (rules.junk_drawer, "truing/data/utils.py", ""),
    (rules.junk_drawer, "actors/utils/ids.py", ""),
    (rules.getattr_default, "truing/a.py", "getattr(config, 'beta', 0.1)"),
    (rules.bare_except, "truing/a.py", "try:\n    f()\nexcept:\n    raise"),
    (rules.broad_except, "truing/a.py", "try:\n    f()\nexcept Exception:\n    score = 0.0"),
    (rules.broad_except, "truing/a.py", "try:\n    f()\nexcept (ValueError, BaseException) as e:\n    log(e)"),
    (rules.broad_except, "truing/a.py", "try:\n    f()\nexcept Exception as e:\n    def g():\n        raise e"),
    (rules.broad_except, "truing/a.py", "with contextlib.suppress(Exception):\n    f()"),
    (rules.no_pickle, "truing/a.py", "import pickle"),
    (rules.no_pickle, "truing/a.py", "def f():\n    from pickle import loads"),
    (rules.no_pickle, "truing/a.py", "state = torch.load(path)"),
    (rules.no_pickle, "truing/a.py", "import torch as t\nstate = t.load(path, weights_only=True)"),
    (rules.no_pickle, "truing/a.py", "from torch import load"),
    (rules.no_pickle, "truing/a.py", "frame = pandas.read_pickle(path)"),
    (rules.no_pickle, "truing/a.py", "numpy.load(path, allow_pickle=True)"),
    (rules.no_remote_code, "actors/a.py", "LLM(model, trust_remote_code=True)"),
    (rules.no_remote_code, "actors/a.py", "options = {'trust_remote_code': config.trust}"),
    (rules.lazy_engines, "actors/a.py", "import vllm"),
    (rules.lazy_engines, "actors/a.py", "if True:\n    from deepspeed.ops.adam import FusedAdam"),
    (rules.lazy_engines, "actors/a.py", "if TYPE_CHECKING:\n    import a\nelse:\n    import vllm"),
    (rules.lazy_engines, "trainers/a.py", "if TYPE_CHECKING:\n    from vllm import LLM"),
    (rules.lazy_engines, "trainers/a.py", "def f():\n    from vllm import LLM"),
    (rules.lazy_engines, "jobs/a.py", "def f():\n    importlib.import_module('deepspeed')"),
    (rules.lazy_engines, "tests/test_a.py", "import vllm"),
]

KEEPS: list[tuple[Rule, str, str]] = [
    (rules.file_budget, "truing/a.py", "x = 1\n" * 300),
    # `def` + 59 lines = 60; the decorator is not counted
    (rules.function_budget, "truing/a.py", "@cache\ndef f():\n" + LONG_BODY * 59),
    (rules.config_budget, "truing/config/a.py", "class A(Section):\n" + "    x: int = 1\n" * 20),
    (rules.config_budget, "truing/records.py", "class A:\n" + "    x: int = 1\n" * 21),
    (rules.junk_drawer, "truing/data/mixture.py", ""),
    (rules.getattr_default, "truing/a.py", "getattr(module, name)"),
    (rules.bare_except, "truing/a.py", "try:\n    f()\nexcept ValueError:\n    pass"),
    (rules.broad_except, "truing/a.py", "try:\n    f()\nexcept Exception as e:\n    raise ActorDied(str(e)) from e"),
    (rules.broad_except, "truing/a.py", "try:\n    f()\nexcept Exception as e:\n    return records.Failed(str(e))"),
    (rules.broad_except, "truing/a.py", "try:\n    f()\nexcept (OSError, ValueError):\n    pass"),
    (rules.no_pickle, "truing/a.py", "import json\nrecipe = yaml.load(text)\njson.load(file)"),
    (rules.no_remote_code, "actors/a.py", "LLM(model, trust_remote_code=False)"),
    (rules.lazy_engines, "actors/a.py", "class A:\n    def load(self):\n        from vllm import LLM"),
    (rules.lazy_engines, "actors/a.py", "if TYPE_CHECKING:\n    from vllm import LLM, SamplingParams"),
    (rules.lazy_engines, "tests/test_a.py", "def test_a():\n    import deepspeed"),
]


def name_of(value: object) -> str | None:
    return value.__name__ if callable(value) else None


@pytest.mark.parametrize(("rule", "path", "text"), BREAKS, ids=name_of)
def test_rule_flags_what_breaks_it(rule: Rule, path: str, text: str):
    assert len(rule(Source(path, text))) == 1


@pytest.mark.parametrize(("rule", "path", "text"), KEEPS, ids=name_of)
def test_rule_accepts_what_keeps_it(rule: Rule, path: str, text: str):
    assert rule(Source(path, text)) == []


def test_every_rule_is_shown_to_fail_and_to_pass():
    every = set(rules.BUDGETS + rules.HABITS)
    assert {rule for rule, _, _ in BREAKS} == every
    assert {rule for rule, _, _ in KEEPS} == every


# --- the import contracts can fail ---------------------------------------------------------------


@pytest.fixture
def empty_house(tmp_path: Path) -> Path:
    """Packages with the names of the layers and nothing in them, under the contracts of this repository."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    layers = contracts["importlinter:contract:library"]["layers"].replace("|", " ").split()
    packages = contracts["importlinter"]["root_packages"].split() + [f"truing/{layer}" for layer in layers]
    for package in packages:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / ".importlinter").write_text((ROOT / ".importlinter").read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def test_contracts_accept_imports_that_point_down(empty_house: Path):
    (empty_house / "jobs/label.py").write_text("import ray\nimport trainers.run\nimport truing.report\n")
    (empty_house / "trainers/run.py").write_text("import actors.group\nimport truing.records\n")
    (empty_house / "actors/group.py").write_text("import ray\ndef f():\n    import vllm\n")
    (empty_house / "truing/report/page.py").write_text("import truing.evaluation\nimport truing.errors\n")
    (empty_house / "truing/data/load.py").write_text("import truing.config\nimport truing.errors\n")
    kept, report = rules.lint_imports(empty_house)
    assert kept, report


@pytest.mark.parametrize(
    ("path", "text", "contract"),
    [
        ("truing/config/bad.py", "import jobs", "jobs > trainers"),
        ("actors/bad.py", "def f():\n    import trainers", "jobs > trainers"),
        ("truing/data/bad.py", "from truing import labeling", "report > evaluation"),
        ("truing/labeling/bad.py", "import truing.evaluation", "report > evaluation"),
        ("truing/records/bad.py", "import truing.config", "report > evaluation"),
        ("truing/errors/bad.py", "import truing.records", "report > evaluation"),
        ("truing/homeless.py", "", "report > evaluation"),
        ("trainers/bad.py", "def f():\n    import ray.util", "Ray is imported"),
        ("truing/data/bad.py", "import ray", "Ray is imported"),
        ("jobs/bad.py", "def f():\n    import vllm", "vLLM and DeepSpeed"),
    ],
)
def test_contracts_flag(empty_house: Path, path: str, text: str, contract: str):
    (empty_house / path).write_text(text + "\n")
    kept, report = rules.lint_imports(empty_house)
    broken = [line for line in report.splitlines() if line.endswith("BROKEN")]
    assert not kept
    assert len(broken) == 1, report
    assert broken[0].startswith(contract)


def test_heavy_import_is_noticed_in_a_submodule(tmp_path: Path):
    (tmp_path / "torch.py").touch()
    (tmp_path / "light").mkdir()
    (tmp_path / "light/__init__.py").touch()
    (tmp_path / "light/clean.py").touch()
    assert not rules.modules_loaded_by(("light",), tmp_path) & HEAVY
    (tmp_path / "light/heavy.py").write_text("import torch\n")
    assert rules.modules_loaded_by(("light",), tmp_path) & HEAVY == {"torch"}
