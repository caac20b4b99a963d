import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.shared import shared_data
from truing.data.comparison import Fields, LeftOut, Mark, PreferenceSource
from truing.data.unmarked import stream_pairs, stream_verdicts
from truing.errors import ConfigError
from truing.records import Pair

# The hash of a prompt, "A" and "B" ends in an even digit for "Why?" (33c054d1998abfec, as `b2sum -l 64` gives) and in an
# odd one for "How?" (2e654a07c2a77269): the one is asked about as A, B and the other as B, A, whatever the file's order.
WHY = Pair("33c054d1998abfec", "Why?", "A", "B", "default")
HOW = Pair("2e654a07c2a77269", "How?", "B", "A", "default")
ROW = {"prompt": "Why?", "first": "A", "second": "B"}
TURNED = {"prompt": "How?", "first": "A", "second": "B"}
CODING: dict[str, Mark] = {"1": "first", "2": "second", "0": "tie", "b": "second"}
NAME, BOTH = "name the right column (columns: {noun: column})", "name them (columns: {first: …, second: …})"


def rows_file(folder: Path | str, *rows: object) -> str:
    path = Path(folder) / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def read(path: str, **source: Any) -> list[tuple[Pair, bool] | LeftOut]:
    found = list(stream_pairs(PreferenceSource(path, **source)))
    return [item if isinstance(item, LeftOut) else item[1:] for item in found]


def judged(path: str, verdict: str = "judge") -> list[tuple[Pair, Mark | None, Mark | None] | LeftOut]:
    return list(stream_verdicts(PreferenceSource(path), verdict, CODING))


def said(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


# --- pairs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("first", "second"),
        ("chosen", "rejected"),
        ("response_1", "response_2"),
        ("response_a", "response_b"),
        ("response1", "response2"),
        ("output_1", "output_2"),
    ],
)
def test_known_columns(tmp_path: Path, first: str, second: str) -> None:
    rows = [{"prompt": prompt, first: "A", second: "B"} for prompt in ("Why?", "How?")]
    assert read(rows_file(tmp_path, *rows)) == [(WHY, False), (HOW, True)]


def test_conversations(tmp_path: Path) -> None:
    rows = [{f"conversation_{side}": said(ask, side.upper()) for side in "ab"} for ask in ("Why?", "How?")]
    assert read(rows_file(tmp_path, *rows)) == [(WHY, False), (HOW, True)]


def test_named_columns_go_before_known_ones(tmp_path: Path) -> None:
    row = {"q": "Why?", "left": "A", "right": "B", "topic": "poems", "prompt": "x", "first": "y", "second": "z"}
    named = {"prompt": "q", "first": "left", "second": "right", "domain": "topic"}
    assert read(rows_file(tmp_path, row), columns=named) == [(Pair(WHY.id, "Why?", "A", "B", "poems"), False)]
    # One that is not named has our own noun's name.
    assert read(rows_file(tmp_path, {"prompt": "Why?", "left": "A", "second": "B"}), columns={"first": "left"}) == (
        [(WHY, False)]
    )
    assert read(rows_file(tmp_path, {"prompt": "Why?", "first": "A", "right": "B"}), columns={"second": "right"}) == (
        [(WHY, False)]
    )


def test_of_two_known_pairs_of_columns_ours_is_read(tmp_path: Path) -> None:
    assert read(rows_file(tmp_path, {"chosen": "x", "rejected": "y", **ROW})) == [(WHY, False)]


@pytest.mark.parametrize(
    ("more", "domain"),
    [({}, "mine"), ({"domain": "poems"}, "poems"), ({"scenario": "code"}, "code"), ({"subset": "news"}, "news")],
)
def test_the_domain_is_the_rows_else_the_sources(tmp_path: Path, more: dict[str, str], domain: str) -> None:
    ((pair, _),) = read(rows_file(tmp_path, {**ROW, **more}), domain="mine")
    assert pair.domain == domain


def test_what_people_said_is_not_looked_at(tmp_path: Path) -> None:
    # In a preference set each of these is refused or decides something.
    rows = [{**ROW, "human": "nonsense", "winner": 7, "votes": ["?"], "margin": "much", "label": {}}, ROW]
    assert read(rows_file(tmp_path, *rows)) == [(WHY, False)] * 2


def test_the_row_comes_with_its_pair(tmp_path: Path) -> None:
    path = rows_file(tmp_path, ROW, {**TURNED, "note": 5})
    source = PreferenceSource(path)
    _, found = stream_pairs(source)
    assert found == (Fields({**TURNED, "note": 5}, f"{path}, row 2", source), HOW, True)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(texts, texts, texts)
def test_a_pair_and_its_swap_are_one(prompt: str, first: str, second: str) -> None:
    rows = [{"prompt": prompt, "first": a, "second": b} for a, b in ((first, second), (second, first))]
    with tempfile.TemporaryDirectory() as folder:
        one, other = read(rows_file(folder, *rows))
    if isinstance(one, LeftOut):
        assert isinstance(other, LeftOut)
        assert one.reason == other.reason
        assert not prompt.strip() or not first.strip() or not second.strip() or first.strip() == second.strip()
    else:
        assert not isinstance(other, LeftOut)
        assert one[0] == other[0]
        assert one[1] != other[1]
        assert (one[0].swap() if one[1] else one[0]) == Pair(one[0].id, prompt, first, second, "default")


# --- rows that hold no pair ----------------------------------------------------------------------

EMPTY, SAME = "the prompt or a response is empty", "the two responses are identical"
NOT_TEXT = "a response is true or false, not text"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": " \n"}, EMPTY),
        ({"first": ""}, EMPTY),
        ({"second": "\t"}, EMPTY),
        ({"first": " ", "second": ""}, EMPTY),
        ({"first": "B "}, SAME),
        ({"first": True}, NOT_TEXT),
        ({"second": False}, NOT_TEXT),
        (
            {"first": said("Why?", "A"), "second": said("How?", "B")},
            "the two conversations share no turn that the assistant answers",
        ),
    ],
)
def test_what_is_left_out(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    path = rows_file(tmp_path, ROW, {**ROW, **change}, TURNED)
    assert read(path) == [(WHY, False), LeftOut(f"{path}, row 2", reason), (HOW, True)]
    rows = [{**row, "judge": "1"} for row in (ROW, {**ROW, **change})]
    assert judged(rows_file(tmp_path, *rows)) == [(WHY, "first", None), LeftOut(f"{path}, row 2", reason)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"prompt": "Why?", "first": "A", "output_2": "B"}],
            f"row 1: has columns prompt, first, output_2, none of which are two responses; {BOTH}",
        ),
        # The first row says which columns are read.
        (
            [ROW, {"prompt": "Why?", "chosen": "A", "rejected": "B"}],
            f"row 2: 'first' is not text; give text there, {NAME}, or remove the row",
        ),
        ([{"first": "A", "second": "B"}], f"row 1: 'prompt' is not text; give text there, {NAME}, or remove the row"),
    ],
)
def test_a_source_that_cannot_be_read(tmp_path: Path, rows: list[dict[str, Any]], message: str) -> None:
    path = rows_file(tmp_path, *rows)
    with pytest.raises(ConfigError) as error:
        read(path)
    assert str(error.value) == f"{path}, {message}"


# --- verdicts ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_verdict", "why", "how"),
    [
        # [as shown, swapped], each naming one of the file's responses. "Why?" is asked about in the file's order. "How?"
        # is asked about as B, A: the file's second is its first, and the order of the file is its swapped one.
        (["1", "1"], ("first", "first"), ("second", "second")),
        (["2", "2"], ("second", "second"), ("first", "first")),
        (["1", "2"], ("first", "second"), ("first", "second")),
        (["2", "1"], ("second", "first"), ("second", "first")),
        (["1", "0"], ("first", "tie"), ("tie", "second")),
        (["0", "0"], ("tie", "tie"), ("tie", "tie")),
        # One order only
        ("1", ("first", None), (None, "second")),
        ("2", ("second", None), (None, "first")),
        ("0", ("tie", None), (None, "tie")),
        (["2"], ("second", None), (None, "first")),
        # However it is written
        (1, ("first", None), (None, "second")),
        ([1, " 2\n"], ("first", "second"), ("first", "second")),
        (["B", "b"], ("second", "second"), ("first", "first")),
    ],
)
def test_verdicts_name_responses_of_the_canonical_pair(
    tmp_path: Path, given_verdict: object, why: tuple[Mark, Mark | None], how: tuple[Mark | None, Mark]
) -> None:
    path = rows_file(tmp_path, {**ROW, "judge": given_verdict}, {**TURNED, "judge": given_verdict})
    assert judged(path) == [(WHY, *why), (HOW, *how)]


def test_a_verdict_under_a_key(tmp_path: Path) -> None:
    judges = {"GPT-4/Vanilla": ["1", "2"], "gpt-3.5": "2"}
    path = rows_file(tmp_path, {**ROW, "judges": judges}, {**ROW, "judges": {}}, {**ROW, "judges": "1"})
    rest = [LeftOut(f"{path}, row {n}", "no verdict is recorded") for n in (2, 3)]
    assert judged(path, "judges.GPT-4/Vanilla") == [(WHY, "first", "second"), *rest]
    # The first dot ends the column's name: the others are the key's own.
    assert judged(path, "judges.gpt-3.5") == [(WHY, "second", None), *rest]


@pytest.mark.parametrize("value", [None, "", [None, "1"], ["1", ""], [None]])
def test_no_verdict(tmp_path: Path, value: object) -> None:
    path = rows_file(tmp_path, {**ROW, "judge": value}, ROW, {**ROW, "judge": "1"})
    missing = [LeftOut(f"{path}, row {n}", "no verdict is recorded") for n in (1, 2)]
    assert judged(path) == [*missing, (WHY, "first", None)]


@pytest.mark.parametrize("value", ["3", "A", "1 2", True, ["1", "A"], ["A", "1"], ["A"], {"first": 1}])
def test_a_verdict_that_the_coding_does_not_know_is_none(tmp_path: Path, value: object) -> None:
    path = rows_file(tmp_path, {**ROW, "judge": value}, {**TURNED, "judge": "1"})
    unknown = LeftOut(f"{path}, row 1", "a verdict that is none of 1, 2, 0, b (coding: {value: first})")
    assert judged(path) == [unknown, (HOW, None, "second")]


@pytest.mark.parametrize("value", [[], ["1", "2", "1"]])
def test_neither_one_verdict_nor_two(tmp_path: Path, value: object) -> None:
    path = rows_file(tmp_path, {**ROW, "judge": value})
    with pytest.raises(ConfigError) as error:
        judged(path)
    assert str(error.value) == (
        f"{path}, row 1: 'judge' holds neither one verdict nor two; give [as shown, swapped], or remove the row"
    )


OTHER = {"1": "2", "2": "1", "0": "0"}
prompts, verdicts = st.text("ab?", min_size=1, max_size=4), st.sampled_from(["1", "2", "0"])


@given(prompts, verdicts, verdicts)
def test_swapping_the_files_responses_with_their_verdicts_changes_nothing(prompt: str, one: str, two: str) -> None:
    rows = [
        {"prompt": prompt, "first": "A", "second": "B", "judge": [one, two]},
        {"prompt": prompt, "first": "B", "second": "A", "judge": [OTHER[two], OTHER[one]]},
    ]
    with tempfile.TemporaryDirectory() as folder:
        straight, swapped = judged(rows_file(folder, *rows))
    assert straight == swapped
    assert not isinstance(straight, LeftOut)
    # Both verdicts are there, and each names the text that the file says: in A, B's order the first, in B, A's the second.
    pair, ab, ba = straight
    named = {"first": pair.first, "second": pair.second, "tie": None}
    orders = [named[mark] for mark in (ab, ba) if mark]
    by_file = orders if pair.first == "A" else orders[::-1]
    assert by_file == [{"1": "A", "2": "B", "0": None}[verdict] for verdict in (one, two)]


@given(prompts, verdicts)
def test_a_single_verdict_stays_with_the_order_that_was_asked(prompt: str, one: str) -> None:
    rows = [
        {"prompt": prompt, "first": "A", "second": "B", "judge": one},
        {"prompt": prompt, "first": "B", "second": "A", "judge": OTHER[one]},
    ]
    with tempfile.TemporaryDirectory() as folder:
        straight, swapped = judged(rows_file(folder, *rows))
    assert not isinstance(straight, LeftOut)
    pair, ab, ba = straight
    assert (ba if pair.first == "A" else ab) is None
    assert swapped == (pair, ba, ab)


def test_every_verdict_of_gpt_4_on_llmbar() -> None:
    # ../shared/data/README.md: [winner in the given order, winner with the outputs swapped], both naming the output.
    path, judge = shared_data("llmbar"), "GPT-4/Vanilla"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [row for row in map(json.loads, file) if row["judges"].get(judge)]
    expected = [
        # Who is shown first, and who wins, in either order
        {(row["output_1"], row[f"output_{one}"]), (row["output_2"], row[f"output_{two}"])}
        for row in rows
        for one, two in [row["judges"][judge]]
    ]
    found = [item for item in judged(path, f"judges.{judge}") if not isinstance(item, LeftOut)]
    texts = [{"first": pair.first, "second": pair.second} for pair, _, _ in found]
    assert [
        {(pair.first, names[ab or "tie"]), (pair.second, names[ba or "tie"])}
        for names, (pair, ab, ba) in zip(texts, found, strict=True)
    ] == expected
    assert len(found) == 248 + 247 + 38 + 25  # twice output 1, twice output 2, one each
