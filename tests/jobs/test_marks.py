"""What stands in the sources before anything is started: the pairs that will be used, and what is left out."""

from pathlib import Path
from typing import Any

import pytest

from jobs.agreement import people
from jobs.marks import check_marked, load, lowest, sources, survey, survey_unmarked
from tests.jobs.drive import write_lines
from truing.config.stages import Gate, HumanLabels, Label, MarkedPairs, UnmarkedPairs
from truing.config.study import Study
from truing.errors import ConfigError
from truing.records import content_id

OTHER = {"first": "second", "second": "first"}


def row(i: int, human: str = "first") -> dict[str, Any]:
    return {
        "prompt": f"Question {i}?",
        "first": f"Yes {i}.",
        "second": f"No {i}.",
        "human": human,
        "domain": f"d{i % 2}",
    }


def labels(path: Path, rows: list[dict[str, Any]], **more: Any) -> HumanLabels:
    return HumanLabels(path=str(write_lines(path, rows)), **more)


# --- limits and duplicates ---------------------------------------------------------------------------


def test_a_survey_counts_the_pairs_that_a_limit_leaves(tmp_path: Path) -> None:
    rows = [row(i, "tie" if i % 3 == 0 else "first") for i in range(12)]
    one = labels(tmp_path / "a.jsonl", rows, limit=5)
    used, _ = load([one])
    found = survey([one])
    assert found.pairs == len(used) == 5
    assert found.ties == sum(pair.human == "tie" for pair in used)
    assert set(found.domains) == {pair.domain for pair in used}


def test_the_key_depends_on_the_pairs_that_are_used(tmp_path: Path) -> None:
    rows = [row(i) for i in range(12)]
    one = labels(tmp_path / "a.jsonl", rows, limit=5)
    kept = {pair.prompt for pair in load([one])[0]}
    before = survey([one]).key

    def changed(wanted: bool) -> str:
        i = next(i for i, each in enumerate(rows) if (each["prompt"] in kept) == wanted)
        write_lines(tmp_path / "a.jsonl", [*rows[:i], row(i, "second"), *rows[i + 1 :]])
        return survey([one]).key

    assert changed(wanted=False) == before
    assert changed(wanted=True) != before


@pytest.mark.parametrize(
    "more",
    [{"votes": ["first", "first", "second"]}, {"strength": 2}, {"domain": "harmless"}],
    ids=lambda more: next(iter(more)),
)
def test_the_key_depends_on_all_that_was_said(tmp_path: Path, more: dict[str, object]) -> None:
    """Each changes what is stored as a preference: P(chosen), the margin, the template that asks."""
    said = {"votes": ["first"], "strength": 1, "domain": "helpful"}
    found = [survey([labels(tmp_path / "a.jsonl", [row(0) | one])]).key for one in (said, said | more, said)]
    assert found[0] == found[2] != found[1]


def test_the_key_does_not_depend_on_the_order_of_the_responses(tmp_path: Path) -> None:
    one = {"prompt": "Q?", "first": "a", "second": "b", "human": "first", "votes": ["first", "second"]}
    other = {"prompt": "Q?", "first": "b", "second": "a", "human": "second", "votes": ["second", "first"]}
    assert survey([labels(tmp_path / "a.jsonl", [one])]).key == survey([labels(tmp_path / "a.jsonl", [other])]).key


def test_the_same_pair_again_counts_once_and_is_said(tmp_path: Path) -> None:
    turned = {"prompt": "Question 0?", "first": "No 0.", "second": "Yes 0.", "human": "second"}
    rows = [row(0), row(1), row(0), turned, row(1, "second")]
    one = labels(tmp_path / "a.jsonl", rows)
    # Pair 0 once more as it is and once turned with its mark; pair 1 once more with the other mark.
    found = survey([one])
    assert found.pairs == 2
    assert found.left_out == {"the same pair again": 2, "the same pair again, marked otherwise": 1}
    assert found.left_out == load([one])[1][0].left_out


def voted(i: int, *votes: str) -> dict[str, Any]:
    return {"prompt": f"Question {i}?", "first": f"a {i}", "second": f"b {i}", "votes": list(votes)}


def test_how_far_people_agree_is_counted_with_those_on_whom_they_do_not(tmp_path: Path) -> None:
    # Two annotators, four pairs: they agree on two. The two others have no majority, and cannot be used.
    rows = [
        voted(0, "first", "first"),
        voted(1, "first", "second"),
        voted(2, "second", "second"),
        voted(3, "second", "first"),
    ]
    found = survey([labels(tmp_path / "a.jsonl", rows)])
    assert (found.pairs, found.left_out) == (2, {"no mark has the majority of the annotators": 2})
    # Those that are left out come last.
    assert found.votes == (("first", "first"), ("second", "second"), ("first", "second"), ("second", "first"))
    assert {row["figure"]: row["value"] for row in people(found.votes, 0) if row["group"] == "all"}["agreement"] == 0.5
    # Named the other way round, it is the same pair with the same votes.
    turned = [
        {**row, "first": row["second"], "second": row["first"], "votes": [OTHER[v] for v in row["votes"]]}
        for row in rows
    ]
    assert survey([labels(tmp_path / "b.jsonl", turned)]).votes == found.votes


def test_a_sample_has_its_share_of_those_at_odds(tmp_path: Path) -> None:
    rows = [voted(i, "first", "first" if i % 2 else "second") for i in range(60)]
    found = survey([labels(tmp_path / "a.jsonl", rows, limit=10)])
    apart = sum(one != two for one, two in found.votes)
    assert (found.pairs, len(found.votes) - apart) == (10, 10)
    # A third of those that can be used, and about as many of the others: hashes decide.
    assert 4 <= apart <= 18
    assert found.left_out == {"no mark has the majority of the annotators": 30}


def test_a_survey_of_unmarked_pairs_keeps_to_the_limit(tmp_path: Path) -> None:
    path = str(write_lines(tmp_path / "a.jsonl", [row(i) for i in (0, 1, 2, 3, 0)]))
    assert survey_unmarked(UnmarkedPairs(path=path, limit=3)).pairs == 3
    assert survey_unmarked(UnmarkedPairs(path=path, limit=5)).pairs == 4
    # No id is held: what is given twice is counted twice.
    assert survey_unmarked(UnmarkedPairs(path=path)).pairs == 5


def test_a_limit_takes_the_ids_whose_hashes_are_lowest() -> None:
    names = [f"id-{i}" for i in range(50)]
    ranked = sorted(names, key=lambda name: content_id("limit", name))
    for limit in (1, 2, 7, 49, 50, 60):
        # Given twice, and in the order in which the lowest come last
        assert lowest([*names, *reversed(ranked)], limit) == set(ranked[:limit])


# --- what is left out --------------------------------------------------------------------------------


def test_what_is_left_out_is_counted_and_placed(tmp_path: Path) -> None:
    empty = {**row(2), "first": " "}
    one = labels(tmp_path / "a.jsonl", [row(0), empty, {**row(3), "human": None}, {**empty, "prompt": "Other?"}])
    path = tmp_path / "a.jsonl"
    found = survey([one])
    assert found.pairs == 1
    assert found.note() == "3 left out: a response is empty (2); nobody has marked it (1)"
    assert found.left_out_rows() == [
        {"reason": "a response is empty", "n": 2, "where": (f"{path}, row 2", f"{path}, row 4")},
        {"reason": "nobody has marked it", "n": 1, "where": (f"{path}, row 3",)},
    ]
    assert survey([labels(tmp_path / "b.jsonl", [row(0)])]).note() == ""


def test_of_many_rows_the_first_are_named_and_all_are_counted(tmp_path: Path) -> None:
    rows = [{**row(i), "first": ""} for i in range(130)]
    (found,) = survey([labels(tmp_path / "a.jsonl", [row(0), *rows])]).left_out_rows()
    assert (found["n"], len(found["where"])) == (130, 100)


def test_two_sources_of_one_name_are_refused_at_once(tmp_path: Path) -> None:
    one = labels(tmp_path / "a.jsonl", [row(0)], name="ours")
    with pytest.raises(ConfigError) as caught:
        survey([one, one])
    assert str(caught.value) == "label.marked: 2 sources are named 'ours'; give each its own name (name: …)"


# --- no marked pairs ---------------------------------------------------------------------------------


def study(**label: Any) -> Study:
    return Study(name="x", label=Label(**label))


def test_null_is_no_source_and_is_written_as_null() -> None:
    found = study(marked=None, gate=Gate(on_failure="warn"))
    assert sources(found.label.marked) == ()
    assert survey(()).pairs == 0
    written = found.model_dump(mode="json")
    assert written["label"]["marked"] is None
    assert Study.model_validate(written) == found
    assert study().model_dump(mode="json")["label"]["marked"]["path"] == "demo"
    assert [one.path for one in sources(MarkedPairs())] == ["demo"]
    check_marked(found)


def test_without_marked_pairs_a_gate_that_stops_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        check_marked(study(marked=None))
    assert str(caught.value) == (
        "label.gate: cannot be judged without marked pairs (label.marked is null); give label.marked, or set"
        " label.gate.on_failure=warn to label without knowing how far to trust the labeler"
    )
    # A study that labels nothing has no gate.
    check_marked(Study(name="x", sample=None, label=Label(marked=None)))


def test_without_marked_pairs_there_is_no_calibration() -> None:
    with pytest.raises(ConfigError) as caught:
        check_marked(study(marked=None, gate={"on_failure": "warn"}, calibration={}))
    assert str(caught.value) == (
        "label.calibration: is fitted on marked pairs, and label.marked is null; give label.marked, or leave it out"
    )
