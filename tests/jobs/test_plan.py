"""A dry run of an agreement study: what would be asked, and every fault that can be found before anything starts."""

from pathlib import Path

import pytest

from tests.jobs.conftest import Call
from tests.jobs.drive import ROOT, write_lines

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
