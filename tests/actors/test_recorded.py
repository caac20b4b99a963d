"""A judge that is replayed: what a file holds of a pair, in the place of what a labeler would have said."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from actors.recorded import RecordedVerdicts
from truing.config.labeling import RecordedLabeler, Style
from truing.errors import ConfigError
from truing.labeling.asking import Asking, Judgement
from truing.labeling.consensus import OrderedLogprobs
from truing.labeling.templates import load_template
from truing.records import Failed, Pair

# As the hash of their texts has it, the one is asked about in the file's order and the other not.
WHY = Pair("33c054d1998abfec", "Why?", "A", "B", "default")
HOW = Pair("2e654a07c2a77269", "How?", "B", "A", "default")
FIRST, SECOND = OrderedLogprobs(0.0, -math.inf), OrderedLogprobs(-math.inf, 0.0)
EVEN = OrderedLogprobs(math.log(0.5), math.log(0.5))
UNKNOWN = Failed("no verdict that can be read is recorded for this pair")
BETTER = Asking({"*": load_template("helpful")}, Style())
WORSE = Asking({"*": load_template("harmless")}, Style())


def judge(folder: Path, said: object, **settings: Any) -> RecordedVerdicts:
    """A judge that said this of either pair."""
    rows = [{"prompt": prompt, "first": "A", "second": "B", "judge": said} for prompt in ("Why?", "How?")]
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return RecordedVerdicts(RecordedLabeler(path=str(path), **{"verdict": "judge", **settings}))


@pytest.mark.parametrize(
    ("verdict", "ab", "ba", "p"),
    [
        # [A shown first, B shown first], each naming a response (1 is A): what is first in ab is second in ba.
        (["1", "1"], FIRST, SECOND, 1.0),
        (["2", "2"], SECOND, FIRST, 0.0),
        # Whichever is shown first wins: no preference.
        (["1", "2"], FIRST, FIRST, 0.5),
        (["2", "1"], SECOND, SECOND, 0.5),
        # A tie is a half: (1/2 + 1) / 2 and (0 + 1/2) / 2
        (["0", "1"], EVEN, SECOND, 0.75),
        (["2", "0"], SECOND, EVEN, 0.25),
        (["0", "0"], EVEN, EVEN, 0.5),
    ],
)
def test_both_orders(tmp_path: Path, verdict: list[str], ab: OrderedLogprobs, ba: OrderedLogprobs, p: float) -> None:
    why, how = judge(tmp_path, verdict).compare([(WHY, BETTER), (HOW, BETTER)])
    assert why == Judgement(ab, ba)
    # "How?" is asked about as B, A: the file's order is its swapped one, and its first response is the file's second.
    assert how == Judgement(ba, ab)
    assert (why.p_first(), how.p_first()) == (p, 1 - p)


@pytest.mark.parametrize(
    ("verdict", "asked", "mirrored", "p"),
    [("1", FIRST, SECOND, 1.0), (["2"], SECOND, FIRST, 0.0), ("0", EVEN, EVEN, 0.5)],
)
def test_one_order_is_mirrored_and_says_so(
    tmp_path: Path, verdict: object, asked: OrderedLogprobs, mirrored: OrderedLogprobs, p: float
) -> None:
    why, how = judge(tmp_path, verdict).compare([(WHY, BETTER), (HOW, BETTER)])
    assert why == Judgement(asked, mirrored, both_orders=False)
    assert how == Judgement(mirrored, asked, both_orders=False)
    assert (why.p_first(), how.p_first()) == (p, 1 - p)


@pytest.mark.parametrize(
    ("verdict", "found", "p"),
    [
        # The file names the better response, a label of this template the worse: the other one, and inverted again.
        (["1", "1"], Judgement(SECOND, FIRST), 1.0),
        (["1", "2"], Judgement(SECOND, SECOND), 0.5),
        (["0", "1"], Judgement(EVEN, FIRST), 0.75),
        ("1", Judgement(SECOND, FIRST, both_orders=False), 1.0),
        ("0", Judgement(EVEN, EVEN, both_orders=False), 0.5),
    ],
)
def test_a_template_that_asks_for_the_worse_one(tmp_path: Path, verdict: object, found: Judgement, p: float) -> None:
    why, how = judge(tmp_path, verdict).compare([(WHY, WORSE), (HOW, WORSE)])
    assert (why, how) == (found, found.swap())
    assert (why.p_first(asks_for_worse=True), how.p_first(asks_for_worse=True)) == (p, 1 - p)


def test_each_domain_has_its_template(tmp_path: Path) -> None:
    asking = Asking({"*": load_template("helpful"), "safety": load_template("harmless")}, Style())
    asked = [(WHY, asking), (Pair(WHY.id, "Why?", "A", "B", "safety"), asking)]
    assert judge(tmp_path, ["1", "1"]).compare(asked) == [Judgement(FIRST, SECOND), Judgement(SECOND, FIRST)]


def test_a_pair_that_is_not_there_fails_alone(tmp_path: Path) -> None:
    other = Pair("0123456789abcdef", "Who?", "A", "B", "default")
    found = judge(tmp_path, ["1", "1"]).compare([(HOW, BETTER), (other, BETTER), (WHY, BETTER)])
    assert found == [Judgement(SECOND, FIRST), UNKNOWN, Judgement(FIRST, SECOND)]


@pytest.mark.parametrize("verdict", [None, "", "A", ["1", None], ["1", "A"]])
def test_a_pair_without_a_verdict_fails(tmp_path: Path, verdict: object) -> None:
    rows = [
        {"prompt": "Why?", "first": "A", "second": "B", "judge": verdict},
        {"prompt": "How?", "first": "A", "second": "B", "judge": ["1", "1"]},
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recorded = RecordedVerdicts(RecordedLabeler(path=str(path), verdict="judge"))
    assert recorded.compare([(WHY, BETTER), (HOW, BETTER)]) == [UNKNOWN, Judgement(SECOND, FIRST)]


@pytest.mark.parametrize(
    ("said", "verdict", "reason"),
    [
        ("A", "judge", "a verdict that is none of 1, 2, 0, tie (coding: {value: first})"),
        ("1", "jugde", "no verdict is recorded"),
    ],
)
def test_a_file_without_any_verdict_is_refused(tmp_path: Path, said: str, verdict: str, reason: str) -> None:
    """A wrong coding, a misspelt column: not a failure of every pair, but one line before anything is asked."""
    with pytest.raises(ConfigError) as error:
        judge(tmp_path, said, verdict=verdict)
    assert str(error.value) == (
        f"{tmp_path / 'set.jsonl'}: none of its pairs has a verdict in {verdict!r}: {reason} (2 times);"
        " name the column (labeler.verdict) and what its values mean (labeler.coding)"
    )


def test_numbers_and_columns_with_dots(tmp_path: Path) -> None:
    assert judge(tmp_path, [1.0, 2.0]).compare([(WHY, BETTER)]) == [Judgement(FIRST, FIRST)]
    path = tmp_path / "dotted.jsonl"
    path.write_text(json.dumps({"prompt": "Why?", "first": "A", "second": "B", "gpt-3.5": "2"}) + "\n")
    recorded = RecordedVerdicts(RecordedLabeler(path=str(path), verdict="gpt-3.5"))
    assert recorded.compare([(WHY, BETTER)]) == [Judgement(SECOND, FIRST, both_orders=False)]


def test_a_coding_and_a_key_of_ones_own(tmp_path: Path) -> None:
    coding = {"A": "first", "B": "second", "=": "tie"}
    recorded = judge(tmp_path, {"x/Plain": ["B", "="], "y": "A"}, verdict="judge.x/Plain", coding=coding)
    assert recorded.compare([(WHY, BETTER)]) == [Judgement(SECOND, EVEN)]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        judge(tmp_path, ["1", "2", "0"])
    assert str(error.value) == (
        f"{tmp_path / 'set.jsonl'}, row 1: 'judge' holds neither one verdict nor two; give [as shown, swapped],"
        " or remove the row"
    )
    missing = str(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError) as error:
        RecordedVerdicts(RecordedLabeler(path=missing, verdict="judge"))
    assert str(error.value) == (
        f"{missing}: there is no such file or folder; give JSON Lines, JSON, Parquet, a folder or org/name:split"
    )
