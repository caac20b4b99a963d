"""The fitted map is used by whoever uses the labeler afterwards, for the labeler and templates that it was fitted to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.calibrated import fitted_maps, map_key
from jobs.context import Context
from jobs.grading import Game, verdicts
from jobs.store import write_json
from tests.jobs.drive import ROOT, write_lines
from tests.local_ray import local_ray
from truing.config.load import load_study
from truing.errors import ConfigError
from truing.labeling.calibration import LogisticMap

TURNED = LogisticMap(logit=-1.0, length=0.0, penalty=0.1, pairs=9)
"""What is fitted to a labeler that is worse than chance: its verdicts are turned round."""
ASKING = "base, no exemplars, no rationale"


def study(tmp_path: Path, *overrides: str) -> Context:
    """A study whose labeler has recorded that the trained policy's answer is the better one, in both orders."""
    recorded = write_lines(
        tmp_path / "recorded.jsonl",
        [{"prompt": "Why?", "response_1": "Because.", "response_2": "No idea.", "judge": [1, 1]}],
    )
    labeler = f"labeler={{kind: recorded, path: {recorded}, verdict: judge}}"
    recipe = ROOT / "configs" / "smoke" / "label.yaml"
    given = [f"storage={tmp_path}", labeler, "label.pairs=null", "label.calibration={share: 0.5}", *overrides]
    return Context.of(load_study(recipe, given))


def fit(context: Context, key: str) -> None:
    """What `truing label` leaves."""
    write_json(
        context.run.path / "trust.json", {"calibration": {ASKING: {"map": TURNED.as_dict(), "key": key, "rows": []}}}
    )


def test_the_map_of_this_labeler_and_these_templates_is_found(tmp_path: Path) -> None:
    context = study(tmp_path)
    fit(context, map_key(context, ASKING))
    assert fitted_maps(context, [ASKING]) == {ASKING: TURNED}
    assert fitted_maps(study(tmp_path, "label.calibration=null"), [ASKING]) == {}


def test_a_map_that_is_not_fitted_or_is_anothers_is_refused_in_one_line(tmp_path: Path) -> None:
    context = study(tmp_path)
    with pytest.raises(ConfigError, match=r"trust\.json holds no map for this labeler and these templates \(base, no"):
        fitted_maps(context, [ASKING])
    fit(context, map_key(context, ASKING))
    with pytest.raises(ConfigError, match="run `truing label` with this configuration first"):
        fitted_maps(study(tmp_path, "label.templates={'*': harmless}"), [ASKING])


@pytest.fixture
def cluster() -> Iterator[None]:
    """A local Ray."""
    with local_ray(2):
        yield


def test_wins_are_decided_by_the_map(tmp_path: Path, cluster: None) -> None:
    games = [Game("Why?", "Because.", "No idea.", "helpful"), Game("Why?", "Alike.", "Alike.", "helpful")]
    context, folder = study(tmp_path), tmp_path / "judgements"
    with pytest.raises(ConfigError, match="holds no map"):
        verdicts(context, "judging", folder, games)
    fit(context, map_key(context, ASKING))
    # Equal texts are a tie that nobody is asked about.
    assert verdicts(context, "judging", folder, games) == [0.0, 0.5]
    assert verdicts(study(tmp_path, "label.calibration=null"), "judging", folder, games) == [1.0, 0.5]
    assert verdicts(context, "judging", folder, [Game("Why?", "No idea.", "Because.", "helpful")]) == [1.0]
