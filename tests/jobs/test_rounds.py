"""Rounds without the stages: what each begins from, what it learns from, and what is said of all of them."""

import json
from pathlib import Path

import pytest

from jobs.grid.sheet import Sheet
from jobs.grid.store import write_grid
from jobs.rounds import round_of, run_rounds, trained_policy
from jobs.store import RunFolder
from truing.config.study import Study
from truing.errors import ConfigError
from truing.evaluation.figure import Place
from truing.report.grid_contents import Grid


def study(folder: Path, **given: object) -> Study:
    plain = {"name": "all", "storage": str(folder), "seed": 7, "rounds": 3, "dpo": {}}
    return Study.model_validate(plain | given)


def policy_in(run: Path, stage: str) -> Path:
    folder = run / stage / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_first_round_is_the_study_in_a_folder_of_its_own(tmp_path: Path) -> None:
    given = study(tmp_path, sft={"data": [{"path": "x"}]}, model={"path": "m", "revision": "r"})
    first = round_of(given, 1)
    assert (first.name, first.storage, first.rounds, first.seed) == ("round-1", str(tmp_path / "all"), 1, 7)
    assert (first.model, first.sft, first.dpo) == (given.model, given.sft, given.dpo)


def test_a_later_round_begins_from_the_policy_before_it_and_has_all_preferences_so_far(tmp_path: Path) -> None:
    home = tmp_path / "all"
    trained = [policy_in(home / f"round-{i}", "dpo") for i in (1, 2)]
    given = study(
        tmp_path,
        reward_model={"earlier": ["other/run"]},
        sft={"data": [{"path": "x"}]},
        model={"path": "m", "revision": "r", "context": 99},
    )
    third = round_of(given, 3)
    assert (third.name, third.seed) == ("round-3", 9)
    # The revision was that of a Hub name.
    assert (third.model.path, third.model.revision, third.model.context) == (str(trained[1]), None, 99)
    # Demonstrations were shown once, before the first round.
    assert third.sft is None
    assert third.reward_model is not None
    assert third.dpo is not None
    before = (str(home / "round-1"), str(home / "round-2"))
    assert third.reward_model.earlier == ("other/run", *before)
    assert third.dpo.earlier == before


def test_of_several_policies_the_last_stages_counts(tmp_path: Path) -> None:
    assert policy_in(tmp_path, "dpo") == trained_policy(tmp_path)
    assert policy_in(tmp_path, "rejection") == trained_policy(tmp_path)
    assert policy_in(tmp_path, "policy") == trained_policy(tmp_path)


def test_a_round_that_left_no_policy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        round_of(study(tmp_path), 2)
    assert str(error.value) == (
        f"{tmp_path}/all/round-1: has trained no policy to go on from; give the study a policy, rejection or dpo section"
    )


def test_rounds_need_a_stage_that_trains_a_policy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^rounds: each begins from the policy of the one before; add a policy,"):
        run_rounds(study(tmp_path, dpo=None, reward_model={}), pytest.fail)
    assert not list(tmp_path.iterdir())


def test_every_round_is_gone_through_and_has_a_row(tmp_path: Path) -> None:
    gone: list[str] = []

    def one_round(each: Study) -> None:
        """Leaves what a round leaves: a policy, metrics, the reward model's report, win rates."""
        number, run = len(gone) + 1, Path(each.storage) / each.name
        gone.append(each.model.path)
        policy_in(run, "policy")
        rows = [{"reward": 0.1 * number, "kl": 0.0}, {"reward": 0.5 * number, "kl": 2.0}]
        (run / "policy" / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        (run / "stages").mkdir()
        report = {"training_pairs": 10 * number, "accuracy": {"all": {"value": 0.6, "n": 5}}}
        (run / "stages" / "reward_model.json").write_text(json.dumps({"key": "", "report": report}))
        places = [Place("trained", split, split, "", 1.0) for split in ("ood_style", "id")]
        figures = tuple(
            place.plain("win rate", "share", value, 4) for place, value in zip(places, (0.1, 0.7), strict=True)
        )
        write_grid(RunFolder(run), {}, Sheet({}, {}), [], Grid((), (), (1.0,), 1, "start", figures))

    given = study(tmp_path, dpo=None, policy={})
    run_rounds(given, one_round)
    home = tmp_path / "all"
    assert gone == ["demo", str(home / "round-1/policy/model"), str(home / "round-2/policy/model")]
    rows = json.loads((home / "rounds.json").read_text())
    assert [row["round"] for row in rows] == [1, 2, 3]
    assert rows[1] == {
        "round": 2, "pairs": 20, "reward model accuracy": 0.6, "first reward": 0.2, "last reward": 1.0, "last KL": 2.0,
        "win rate against the round's start": 0.7,
    }  # fmt: skip


def test_what_a_round_has_not_measured_is_null(tmp_path: Path) -> None:
    run_rounds(study(tmp_path, rounds=2), lambda each: policy_in(Path(each.storage) / each.name, "dpo") and None)
    rows = json.loads((tmp_path / "all" / "rounds.json").read_text())
    assert rows[0] == dict.fromkeys(rows[0]) | {"round": 1}
