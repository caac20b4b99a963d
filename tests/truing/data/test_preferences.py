import gzip
import json
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests import shared
from tests.shared import shared_data
from truing.data import preferences
from truing.data.preferences import LeftOut, MarkedPair, PreferenceSource, load_preferences, mix, stream_preferences
from truing.errors import ConfigError
from truing.records import Pair, content_id

ROW = {"prompt": "Why?", "first": "A", "second": "B", "human": "first"}
AGAIN, OTHERWISE = "the same pair again", "the same pair again, marked otherwise"
IDENTICAL, NOT_TEXT = "the two responses are identical", "a response is true or false, not text"


def rows_file(folder: Path | str, *rows: object) -> str:
    path = Path(folder) / "set.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def refusal(source: PreferenceSource | str) -> str:
    with pytest.raises(ConfigError) as error:
        load_preferences(source)
    message = str(error.value)
    assert "\n" not in message
    return message


# --- one source ----------------------------------------------------------------------------------


def test_a_pair_and_the_report(tmp_path: Path) -> None:
    row = {**ROW, "human": "b", "votes": ["b", "tie"], "domain": "poems", "margin": 2}
    path = rows_file(tmp_path, row, {**ROW, "second": "C", "human": "tie"}, {**ROW, "human": None, "first": "D"})
    pairs, report = load_preferences(PreferenceSource(path, name="mine"))
    key = content_id("Why?", "A", "B")
    assert pairs[0] == MarkedPair(key, "Why?", "A", "B", "second", ("second", "tie"), "poems", "mine", 1.0, 2.0)
    assert pairs[0].pair == Pair(key, "Why?", "A", "B", "poems")
    assert pairs[1] == MarkedPair(content_id("Why?", "A", "C"), "Why?", "A", "C", "tie", source="mine")
    assert report == preferences.ImportReport("mine", "pairwise", 3, 2, 1, {"nobody has marked it": 1})
    # The path alone names the source.
    assert load_preferences(path)[1] == replace(report, source=path)
    assert {pair.source for pair in load_preferences(path)[0]} == {path}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": " \n"}, "the prompt is empty"),
        ({"first": ""}, "a response is empty"),
        ({"second": "\t"}, "a response is empty"),
        ({"first": "B "}, IDENTICAL),
    ],
)
def test_what_cannot_be_used_is_left_out_with_the_reason(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    path = rows_file(tmp_path, ROW, {**ROW, **change})
    assert list(stream_preferences(path))[1] == LeftOut(f"{path}, row 2", reason)
    assert load_preferences(path)[1].left_out == {reason: 1}


def test_the_same_pair_is_kept_once_and_counted(tmp_path: Path) -> None:
    # Rows 2 and 3 say the same as row 1, the latter in the other order; rows 4 and 5 do not. Row 6 is another pair.
    turned = {**ROW, "first": "B", "second": "A"}
    rows = [ROW, ROW, {**turned, "human": "second"}, turned, {**ROW, "human": "tie"}, {**ROW, "prompt": "How?"}]
    path = rows_file(tmp_path, *rows)
    pairs, report = load_preferences(path)
    assert [(pair.prompt, pair.first, pair.human) for pair in pairs] == [("Why?", "A", "first"), ("How?", "A", "first")]
    assert (report.rows, report.pairs, report.ties) == (6, 2, 0)
    assert report.left_out == {AGAIN: 2, OTHERWISE: 2}
    assert len(list(stream_preferences(path))) == 6


def test_a_stream_neither_waits_nor_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    # Endless rows of 10 kB, no two alike: 2000 pairs that were kept would be 20 MB.
    rows = ((f"row {n}", {**ROW, "first": f"{n}".zfill(10_000)}) for n in count())
    monkeypatch.setattr(preferences, "numbered_rows", lambda _: rows)
    stream = stream_preferences("endless")
    tracemalloc.start()
    found = sum(isinstance(item, MarkedPair) for item in islice(stream, 2_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found, peak < 2_000_000) == (2_000, True)


def test_the_order_does_not_tell_who_was_chosen(tmp_path: Path) -> None:
    # The order hangs on the id alone: exchanging chosen and rejected exchanges the marks and nothing else.
    rows = [{"prompt": f"{n}", "chosen": "A", "rejected": "B"} for n in range(400)]
    exchanged = [{**row, "chosen": "B", "rejected": "A"} for row in rows]
    pairs, others = (load_preferences(rows_file(tmp_path, *each))[0] for each in (rows, exchanged))
    assert others == [replace(pair, human="second" if pair.human == "first" else "first") for pair in pairs]
    for pair in pairs:
        assert (pair.first == "A") == (pair.human == "first") == (int(pair.id, 16) % 2 == 0)
    # 400 fair coins: 200 heads, standard deviation sqrt(400 / 4) = 10; three of them is 30.
    assert 170 <= sum(pair.human == "first" for pair in pairs) <= 230


# --- what is refused -----------------------------------------------------------------------------


def test_a_broken_row_is_named(tmp_path: Path) -> None:
    path = rows_file(tmp_path, ROW, {**ROW, "second": None})
    remedy = "give text there, name the right column (columns: {noun: column}), or remove the row"
    assert refusal(path) == f"{path}, row 2: 'second' is not text; {remedy}"
    stream = stream_preferences(path)
    assert isinstance(next(stream), MarkedPair)
    with pytest.raises(ConfigError, match="row 2"):
        next(stream)


def test_rows_without_a_single_pair(tmp_path: Path) -> None:
    nobody, same = {**ROW, "human": None}, {**ROW, "first": "B"}
    path = rows_file(tmp_path, nobody, same, nobody)
    reasons = f"nobody has marked it (2); {IDENTICAL} (1)"
    remedy = "mend the rows, or say how they are read (format, columns, coding)"
    assert refusal(path) == f"{path}: none of its 3 rows holds a pair that can be used: {reasons}; {remedy}"


# --- properties ----------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
marks = st.sampled_from(["first", "second", "tie"])
votes = st.lists(marks | st.none(), max_size=4).map(tuple)
weights = st.floats(0.01, 100)
marked = st.builds(MarkedPair, texts, texts, texts, texts, marks, votes, texts, texts, weights)
OTHER = {"first": "second", "second": "first", "tie": "tie", None: None}


@given(marked)
def test_a_swap_takes_the_marks_with_it(pair: MarkedPair) -> None:
    swapped, votes = pair.swap(), tuple(OTHER[vote] for vote in pair.votes)
    assert swapped.swap() == pair
    assert swapped == replace(pair, first=pair.second, second=pair.first, human=OTHER[pair.human], votes=votes)
    assert swapped.pair == pair.pair.swap()


@settings(max_examples=50)
@given(prompt=texts, a=texts, b=texts, human=marks)
def test_an_id_depends_on_neither_order_nor_mark(prompt: str, a: str, b: str, human: str) -> None:
    assume(a.strip() != b.strip())
    known = {"prompt": prompt, "first": a, "second": b, "human": "first"}
    chosen, rejected = {"prompt": prompt, "chosen": a, "rejected": b}, {"prompt": prompt, "chosen": b, "rejected": a}
    ways = [{**known, "human": human}, {**known, "first": b, "second": a, "human": human}, chosen, rejected]
    with tempfile.TemporaryDirectory() as folder:
        found = [load_preferences(rows_file(folder, way))[0][0] for way in ways]
        (another,), _ = load_preferences(rows_file(folder, {**known, "prompt": prompt + "x"}))
    assert {pair.id for pair in found} == {content_id(prompt, min(a, b), max(a, b))}
    assert {frozenset((pair.first, pair.second)) for pair in found} == {frozenset((a, b))}
    assert another.id != found[0].id


# --- mixing --------------------------------------------------------------------------------------


def weighing(*weights: float) -> list[MarkedPair]:
    return [MarkedPair(f"{n}", "p", "a", "b", "tie", weight=weight) for n, weight in enumerate(weights)]


def test_weights_by_hand() -> None:
    # N = 5. "few" gets 1/4 of it, 1.25, parted 1 : 4; "many" gets 3/4, 3.75, among three.
    mixed = mix([("few", weighing(1, 4), 1.0), ("many", weighing(2, 2, 2), 3.0)])
    assert [pair.weight for pair in mixed] == pytest.approx([0.25, 1.0, 1.25, 1.25, 1.25])
    assert [pair.source for pair in mixed] == ["few", "few", "many", "many", "many"]
    assert [pair.id for pair in mixed] == ["0", "1", "0", "1", "2"]  # in two sources: in both


@given(st.lists(st.tuples(st.lists(weights, min_size=1, max_size=6), weights), min_size=1, max_size=4))
def test_each_source_weighs_its_share_and_the_mean_is_one(parts: list[tuple[list[float], float]]) -> None:
    sources = [(f"s{n}", weighing(*inner), weight) for n, (inner, weight) in enumerate(parts)]
    mixed = mix(sources)
    total = sum(pair.weight for pair in mixed)
    assert total == pytest.approx(len(mixed))
    for name, pairs, weight in sources:
        of_it = [pair for pair in mixed if pair.source == name]
        assert sum(pair.weight for pair in of_it) / total == pytest.approx(weight / sum(w for _, w in parts))
        ratios = [new.weight / old.weight for new, old in zip(of_it, pairs, strict=True)]
        assert ratios == pytest.approx([ratios[0]] * len(ratios))


ABOVE = "give a number above 0, or leave the source out"
NO_PAIRS = "mix: source 'a' has no pairs, or one whose weight is not above 0; leave them out"


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([], "mix: there is no source; give at least one"),
        ([("a", weighing(1), 1), ("a", weighing(1), 1)], "mix: two sources are named 'a'; give each its own name"),
        ([("a", weighing(1), 0)], f"mix: source 'a' has weight 0; {ABOVE}"),
        ([("a", weighing(1), float("inf"))], f"mix: source 'a' has weight inf; {ABOVE}"),
        ([("a", [], 1)], NO_PAIRS),
        ([("a", weighing(1, 0), 1)], NO_PAIRS),
        ([("a", weighing(float("inf")), 1)], NO_PAIRS),
    ],
)
def test_a_mix_that_has_no_weights(sources: list[tuple[str, list[MarkedPair], float]], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        mix(sources)
    assert str(error.value) == message


# --- real sets, read with plain json -------------------------------------------------------------

Answer = tuple[str, Any, Any, Any]
"""Prompt, two responses, and the one that people prefer; None is a tie."""


def plain(name: str) -> list[dict[str, Any]]:
    with gzip.open(shared_data(name), "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def chosen(row: dict[str, Any]) -> list[Answer]:
    return [(row["prompt"], row["chosen"], row["rejected"], row["chosen"])]


def auto_j(row: dict[str, Any]) -> list[Answer]:
    responses = row["response_1"], row["response_2"]
    return [(row["prompt"], *responses, (*responses, None)[row["label"]])]


def pandalm(row: dict[str, Any]) -> list[Answer]:
    # `human_majority` is the set's own count of its three votes.
    responses = row["response1"], row["response2"]
    prompt = row["instruction"] + ("\n\n" + row["input"] if row["input"] else "")
    return [(prompt, *responses, (None, *responses)[row["human_majority"]])]


def llmbar(row: dict[str, Any]) -> list[Answer]:
    return [(row["input"], row["output_1"], row["output_2"], row[f"output_{row['label']}"])]


def qa_feedback(row: dict[str, Any]) -> list[Answer]:
    prompt, texts = "\n\n".join([*map(" ".join, row["passages"]), row["question"]]), ["", *row["predictions"]]
    return [(prompt, texts[a], texts[b], (None, texts[a], texts[b])[v]) for a, b, v in row["preferences"]]


@pytest.mark.parametrize(
    ("name", "answers", "rows", "pairs"),
    [
        # Rows: ../shared/data/README.md. Pairs: rows less identical responses, truth values, repetitions; 6 of 4 answers.
        ("hhh_alignment", chosen, 221, 221),
        ("hh_harmless_test", chosen, 1800, 1800),
        ("autoj_pairwise", auto_j, 1100, 1100 - 7),
        ("pandalm_human", pandalm, 944, 944 - 6 - 102),
        ("llmbar", llmbar, 900, 900 - 3),
        ("qa_feedback_dev", qa_feedback, 498, 498 * 6),
    ],
)
def test_a_real_set(name: str, answers: Callable[[dict[str, Any]], list[Answer]], rows: int, pairs: int) -> None:
    preferred: dict[tuple[str, frozenset[str]], str | None] = {}
    left_out: Counter[str] = Counter()
    for prompt, a, b, winner in (answer for row in plain(name) for answer in answers(row)):
        key = prompt, frozenset((a, b))
        if isinstance(a, bool) or isinstance(b, bool):
            left_out[NOT_TEXT] += 1
        elif a.strip() == b.strip():
            left_out[IDENTICAL] += 1
        elif key in preferred:
            left_out[AGAIN if preferred[key] == winner else OTHERWISE] += 1
        else:
            preferred[key] = winner
    found, report = load_preferences(shared_data(name))
    assert {
        (p.prompt, frozenset((p.first, p.second))): {"first": p.first, "second": p.second}.get(p.human) for p in found
    } == preferred
    assert (report.rows, report.pairs, len(found), report.left_out) == (rows, pairs, pairs, left_out)
    assert report.ties == sum(winner is None for winner in preferred.values())


def test_every_vote_of_pandalm_is_kept() -> None:
    names = ("tie", "first", "second")  # 0, 1, 2
    expected: dict[tuple[str, str, str], tuple[str, ...]] = {}
    for row in plain("pandalm_human"):
        texts = pandalm(row)[0][:3]
        expected.setdefault(texts, tuple(names[row[f"annotator{n}"]] for n in (1, 2, 3)))
    for pair in load_preferences(shared_data("pandalm_human"))[0]:
        assert pair.votes == expected[pair.prompt, pair.first, pair.second]


def test_a_missing_set_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shared, "FOLDER", tmp_path)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"shared is absent: no llmbar\.jsonl\.gz"):
        shared_data("llmbar")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"shared is absent: no llmbar\.jsonl\.gz"):
        shared_data("llmbar")
