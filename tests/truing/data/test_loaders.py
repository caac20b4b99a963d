import gzip
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from truing.data.loaders import SPLITS, load_prompts, read_rows, split_holdout
from truing.errors import ConfigError
from truing.records import Prompt, Row, content_id

GOOD = b'{"text": "Why is the sky blue?"}\n'


def prompts_file(folder: Path, *rows: object) -> str:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def refusal(read: Callable[[str], object], path: str) -> str:
    with pytest.raises(ConfigError) as error:
        read(path)
    return str(error.value)


# --- what is read --------------------------------------------------------------------------------


def test_a_row_needs_only_its_text(tmp_path: Path) -> None:
    path = prompts_file(tmp_path, {"text": "A"}, {"text": "B", "id": 7, "domain": "poems", "split": "ood_style"})
    assert load_prompts(path) == [
        Prompt(content_id("A"), "A", "default", "id"),
        Prompt("7", "B", "poems", "ood_style"),
    ]


def test_null_is_the_same_as_absent(tmp_path: Path) -> None:
    path = prompts_file(tmp_path, {"text": "A", "id": None, "domain": None, "split": None})
    assert load_prompts(path) == [Prompt(content_id("A"), "A", "default", "id")]


def test_blank_lines_byte_order_marks_and_carriage_returns_are_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"text": "A"}\r\n\r\n  \n{"text": "B"}')
    assert [prompt.text for prompt in load_prompts(str(path))] == ["A", "B"]


def test_the_same_text_is_kept_once_whatever_its_ids(tmp_path: Path) -> None:
    # A text that is kept under two ids could be trained on under one and tested on under the other.
    rows = [{"text": "A"}, {"text": "A"}, {"text": "A", "id": "other", "split": "ood_style"}, {"text": "B"}]
    assert [(p.id, p.split) for p in load_prompts(prompts_file(tmp_path, *rows))] == [
        (content_id("A"), "id"),
        (content_id("B"), "id"),
    ]


# --- what is refused -----------------------------------------------------------------------------


def test_a_missing_file(tmp_path: Path) -> None:
    path = str(tmp_path / "none.jsonl")
    assert refusal(load_prompts, path) == (
        f"{path}: there is no such file or folder; give JSON Lines, JSON, Parquet, a folder or org/name:split"
    )


def test_a_folder_without_data(tmp_path: Path) -> None:
    assert refusal(load_prompts, str(tmp_path)).startswith(f"{tmp_path}: datasets cannot load it (")


def test_compressed_as_an_array_or_as_a_table(tmp_path: Path) -> None:
    rows = [{"text": "Why?", "id": "a"}, {"text": "How?", "split": "ood_style"}]
    expected = [Prompt("a", "Why?", "default", "id"), Prompt(content_id("How?"), "How?", "default", "ood_style")]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    # A column that one of the rows does not have is empty there.
    pq.write_table(
        pa.Table.from_pylist([{"id": None, "split": None, **row} for row in rows]), tmp_path / "rows.parquet"
    )
    for name in ("rows.json", "rows.jsonl.gz", "rows.parquet"):
        assert load_prompts(str(tmp_path / name)) == expected, name


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    assert refusal(load_prompts, str(path)) == f"{path}: holds no rows; give a source with at least one"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"prompt": "A"}', "has no 'text'; give it as a non-empty string, or remove the row"),
        (b'{"text": ""}', "has no 'text'; give it as a non-empty string, or remove the row"),
        (b'{"text": " \\n"}', "has no 'text'; give it as a non-empty string, or remove the row"),
        (b'{"text": 5}', "has no 'text'; give it as a non-empty string, or remove the row"),
        (b'{"text": "caf\xe9"}', "invalid UTF-8 at byte 13; save the file as UTF-8"),
        (b'{"text": "A"', "is not JSON (Expecting ',' delimiter, column 13); one object a line"),
        (b"text: A", "is not JSON (Expecting value, column 1); one object a line"),
        (b'["A"]', "is not a JSON object; write {column: ...}"),
        (b'{"text": "\\ud83d"}', "has half of a surrogate pair (\\ud800 to \\udfff); remove it or the row"),
        (b'{"text": "A", "id": "\\udc00"}', "has half of a surrogate pair (\\ud800 to \\udfff); remove it or the row"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, line: bytes, reason: str) -> None:
    # Two good rows and a blank line before it: row 4
    path = tmp_path / "bad.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD + line + b"\n" + GOOD)
    assert refusal(load_prompts, str(path)) == f"{path}, row 4: {reason}"


def test_an_unknown_split(tmp_path: Path) -> None:
    path = prompts_file(tmp_path, {"text": "Why is the sky blue in the morning?", "split": "test"})
    found = refusal(load_prompts, path)
    assert found == f"{path}: prompt 'Why is the sky blue in the mor' has split 'test'; use id, ood_domain, ood_style"


def test_one_id_for_two_prompts(tmp_path: Path) -> None:
    path = prompts_file(tmp_path, {"id": "a", "text": "A"}, {"id": "a", "text": "B"})
    assert refusal(load_prompts, path) == f"{path}: id 'a' names two different prompts; give each its own id"


# --- the holdout ---------------------------------------------------------------------------------


def prompts(count: int) -> list[Prompt]:
    known = [Prompt(f"p{i}", f"text {i}", "d", "id") for i in range(count)]
    return [*known, Prompt("o", "other", "d", "ood_style")]


def test_the_holdout_parts_the_known_prompts() -> None:
    train, held = split_holdout(prompts(10), 3)
    assert (len(train), len(held)) == (7, 3)
    assert {p.id for p in train} | {p.id for p in held} == {f"p{i}" for i in range(10)}


def test_the_holdout_depends_on_ids_alone() -> None:
    _, held = split_holdout(prompts(10), 3)
    _, reversed_held = split_holdout(prompts(10)[::-1], 3)
    assert {p.id for p in held} == {p.id for p in reversed_held}
    # More prompts never bring a held-out one into training, unless another takes its place in the holdout.
    train, _ = split_holdout([p for p in prompts(10) if p not in held], 0)
    assert not {p.id for p in train} & {p.id for p in held}
    assert not {p.id for p in split_holdout(prompts(10), 4)[0]} & {p.id for p in held}


def test_a_holdout_that_takes_everything() -> None:
    with pytest.raises(ConfigError) as error:
        split_holdout(prompts(3), 3)
    assert str(error.value) == (
        "prompts.holdout is 3 and there are 3 in-distribution prompts: none is left to train on;"
        " give more prompts or a smaller holdout"
    )


# --- the embedded files --------------------------------------------------------------------------


def test_the_embedded_prompts_cover_domains_and_splits() -> None:
    found = load_prompts("demo")
    rows = read_rows("demo", "prompts.jsonl", ("id", "domain", "split", "text"))
    assert len(found) == len(rows) >= 150  # nothing in it twice
    assert len({p.domain for p in found}) == 3
    assert {p.split for p in found} == set(SPLITS)
    # The default study holds out 24, evaluates 16 of each split, and trains on the rest.
    assert min(Counter(p.split for p in found).values()) >= 16
    assert len(split_holdout(found, 24)[0]) >= 48


def embedded_pairs() -> list[Row]:
    return read_rows("demo", "pairs.jsonl", ("id", "domain", "prompt", "chosen", "rejected"))


def test_the_embedded_pairs_are_complete() -> None:
    pairs = embedded_pairs()
    assert len({pair["id"] for pair in pairs}) == len(pairs) >= 60
    assert {pair["domain"] for pair in pairs} == {prompt.domain for prompt in load_prompts("demo")}
    assert all(pair["chosen"].strip() != pair["rejected"].strip() for pair in pairs)


def test_no_embedded_pair_asks_an_embedded_prompt() -> None:
    # The same text, or 13 words in a row of it: the measure of contamination of Brown et al., arXiv 2005.14165, app. C.
    def runs(text: str) -> set[str]:
        words = text.lower().split()
        return {" ".join(words)} | {" ".join(words[i : i + 13]) for i in range(len(words) - 12)}

    texts = [runs(prompt.text) for prompt in load_prompts("demo")]
    asked = [runs(pair["prompt"]) for pair in embedded_pairs()]
    assert not set.union(*texts) & set.union(*asked)
    assert runs("one two") & runs("One  two")


def test_the_better_embedded_answer_is_not_given_away_by_its_length() -> None:
    pairs = embedded_pairs()
    longer = sum(len(pair["chosen"]) > len(pair["rejected"]) for pair in pairs) / len(pairs)
    assert 0.4 <= longer <= 0.6
