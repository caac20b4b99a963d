import gzip
import json
import random
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.data import rows
from truing.data.rows import BLOCK, json_object, json_row, numbered_rows
from truing.errors import ConfigError

BOM = b"\xef\xbb\xbf"
TOO_MUCH = "nests too deep, or has an integer of too many digits, to be read; remove that field, or the row"
INCOMPLETE = "Compressed file ended before the end-of-stream marker was reached"


def file(folder: Path, content: bytes, name: str = "set.jsonl") -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def lines(*values: object) -> bytes:
    return "".join(json.dumps(value) + "\n" for value in values).encode()


def refusal(source: str) -> str:
    with pytest.raises(ConfigError) as error:
        list(numbered_rows(source))
    message = str(error.value)
    assert "\n" not in message
    return message


# --- what is read --------------------------------------------------------------------------------


def test_rows_are_numbered_by_their_line(tmp_path: Path) -> None:
    # Line 1 has the byte-order mark, 2 and 3 are blank.
    path = file(tmp_path, BOM + b'{"a": 1}\r\n\r\n  \n{"a": "\xc3\xa9"}')
    assert list(numbered_rows(path)) == [(f"{path}, row 1", {"a": 1}), (f"{path}, row 4", {"a": "é"})]


@pytest.mark.parametrize("name", ["set.jsonl.gz", "set.jsonl", "set"])
@pytest.mark.parametrize("pack", [gzip.compress, bytes])
def test_the_first_bytes_say_what_a_file_is_not_its_name(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    for content in (lines({"a": 1}, {"a": 2}), b'[{"a": 1}, {"a": 2}]'):
        path = file(tmp_path, pack(content), name)
        assert list(numbered_rows(path)) == [(f"{path}, row 1", {"a": 1}), (f"{path}, row 2", {"a": 2})]


@pytest.mark.parametrize("before", [b"", BOM, b" \n\t", BOM + b"\n"])
@pytest.mark.parametrize("after", [b"", b"\n", b" \r\n" + b" " * 2 * BLOCK])
def test_an_array_may_stand_in_white_space(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = file(tmp_path, before + b'[\n {"a": [1, "]"]},\n {"b": null}\n]' + after)
    assert list(numbered_rows(path)) == [(f"{path}, row 1", {"a": [1, "]"]}), (f"{path}, row 2", {"b": None})]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
tables = st.lists(st.dictionaries(texts, texts | st.integers() | st.lists(texts, max_size=2), max_size=3), min_size=1)


@settings(max_examples=60)
@given(table=tables, block=st.integers(1, 9), indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_an_array_is_read_wherever_its_blocks_are_cut(
    table: list[dict[str, object]], block: int, indent: int | None, ascii_only: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder, patch.object(rows, "BLOCK", block):
        path = Path(folder) / "set.json"
        path.write_text(json.dumps(table, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
        assert [row for _, row in numbered_rows(str(path))] == table


def test_a_parquet_file_of_more_than_one_batch(tmp_path: Path) -> None:
    # Batches of 256 rows: 300 are two.
    path = tmp_path / "set"
    pq.write_table(pa.table({"n": range(300), "turns": [[{"role": "user"}]] * 300}), path)
    found = list(numbered_rows(str(path)))
    assert len(found) == 300
    assert found[299] == (f"{path}, row 300", {"n": 299, "turns": [{"role": "user"}]})


def test_a_folder_and_its_splits(tmp_path: Path) -> None:
    file(tmp_path, lines({"a": 1}, {"a": 2}), "train.jsonl")
    file(tmp_path, lines({"a": 3}), "test.jsonl")
    for source, values in ((f"{tmp_path}", [1, 2]), (f"{tmp_path}:test", [3]), (f"{tmp_path}:default:test", [3])):
        expected = [(f"{source}, row {n}", {"a": value}) for n, value in enumerate(values, 1)]
        assert list(numbered_rows(source)) == expected
    assert refusal(f"{tmp_path}:dev") == (
        f"{tmp_path}:dev: datasets cannot load it (Bad split: dev. Available splits: ['train', 'test']);"
        " check the name, the split and the network"
    )


@pytest.mark.parametrize(("start", "between", "end"), [("", "\n", ""), ("[", ",", "]")])
def test_rows_come_before_the_rest_is_read(tmp_path: Path, start: str, between: str, end: str) -> None:
    # The second half of what is packed is gone: who read the whole file first would not give row 1.
    table = [{"a": random.Random(n).randbytes(BLOCK).hex()} for n in range(8)]
    packed = gzip.compress((start + between.join(map(json.dumps, table)) + end).encode())
    stream = numbered_rows(file(tmp_path, packed[: len(packed) // 2]))
    assert next(stream)[1] == table[0]
    with pytest.raises(ConfigError, match=INCOMPLETE):
        list(stream)


# --- one row -------------------------------------------------------------------------------------


def test_a_row_with_its_required_fields() -> None:
    assert json_row(b'{"text": "\xc3\xa9", "n": 1}', "f, row 1", ("text",)) == {"text": "é", "n": 1}
    assert json_object({"text": "a"}, "f, row 1", ("text",)) == {"text": "a"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": "caf\xe9"}', "invalid UTF-8 at byte 10; save the file as UTF-8"),
        (b'{"a": 1', "is not JSON (Expecting ',' delimiter, column 8); one object a line"),
        (b"[1]", "is not a JSON object; write {text, b: ...}"),
        (b"null", "is not a JSON object; write {text, b: ...}"),
        (b'{"text": "a", "b": " "}', "has no 'b'; give it as a non-empty string, or remove the row"),
        (b'{"b": "a", "text": 1}', "has no 'text'; give it as a non-empty string, or remove the row"),
        (
            b'{"text": "a", "b": "b", "c": [{"\\udfff": 1}]}',
            "has half of a surrogate pair (\\ud800 to \\udfff); remove it or the row",
        ),
        (b'{"a": ' + b"[" * 100_000, TOO_MUCH),
        # Python turns no more than 4300 digits into an integer.
        (b'{"a": ' + b"9" * 4301 + b"}", TOO_MUCH),
    ],
)
def test_a_broken_row(line: bytes, reason: str) -> None:
    with pytest.raises(ConfigError) as error:
        json_row(line, "f, row 7", ("text", "b"))
    assert str(error.value) == f"f, row 7: {reason}"


def test_a_row_that_can_be_read_but_not_be_written_again() -> None:
    nested: dict[str, object] = {}
    for _ in range(2_000):
        nested = {"a": nested}
    with pytest.raises(ConfigError) as error:
        json_object(nested, "f, row 7")
    assert str(error.value) == f"f, row 7: {TOO_MUCH}"


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"\n \n", BOM, b"[]", b" [ ] ", gzip.compress(b"")], ids=range(6))
def test_no_rows(tmp_path: Path, content: bytes) -> None:
    path = file(tmp_path, content)
    assert refusal(path) == f"{path}: holds no rows; give a source with at least one"


def test_a_parquet_file_without_rows(tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), path)
    assert refusal(str(path)) == f"{path}: holds no rows; give a source with at least one"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n\n{"a": "\xff"}\n', ", row 3: invalid UTF-8 at byte 7; save the file as UTF-8"),
        (
            b'{"a": 1}\n{"a": "\\ud800"}',
            ", row 2: has half of a surrogate pair (\\ud800 to \\udfff); remove it or the row",
        ),
        (b'{"a": 1}\n3\n', ", row 2: is not a JSON object; write {column: ...}"),
        (b'[{"a": "\xff"}]', ", row 1 or later: invalid UTF-8 (invalid start byte); save the file as UTF-8"),
        (
            b'[{"a": 1}, {"a": "\\udc00"}]',
            ", row 2: has half of a surrogate pair (\\ud800 to \\udfff); remove it or the row",
        ),
        (b'[{"a": 1}, 2]', ", row 2: is not a JSON object; write {column: ...}"),
        (b'[{"a": 1}, {"a": 2}', ", row 3: is not JSON (Expecting value); give objects between [ and ]"),
        (b'[{"a": 1}, {"a": tru}]', ", row 2: is not JSON (Expecting value); give objects between [ and ]"),
        (b'[{"a": 1}, {"a": ' + b"9" * 4301 + b"}]", f", row 2: {TOO_MUCH}"),
        (b"[" * 100_000, f", row 1: {TOO_MUCH}"),
        # Whoever joins two arrays, or writes one a line, must not lose the second.
        (b'[{"a": 1}]\n[{"a": 2}]', ": goes on after the ] of its array; give one array, or one object a line"),
        (
            b'[{"a": 1}]' + b" " * BLOCK + b"{}",
            ": goes on after the ] of its array; give one array, or one object a line",
        ),
    ],
    ids=range(12),
)
def test_a_broken_file(tmp_path: Path, pack: Callable[[bytes], bytes], content: bytes, message: str) -> None:
    path = file(tmp_path, pack(content))
    assert refusal(path) == path + message


def test_a_damaged_gzip_file(tmp_path: Path) -> None:
    data = lines(*({"a": n} for n in range(100)))
    packed = gzip.compress(data)
    for kept in (3, len(packed) // 2, len(packed) - 1):
        path = file(tmp_path, packed[:kept])
        assert refusal(path) == f"{path}: cannot be read ({INCOMPLETE}); give a readable, complete file"
    # The last eight bytes are the checksum and the length (RFC 1952).
    path = file(tmp_path, packed[:-8] + bytes(4) + packed[-4:])
    reason = f"CRC check failed 0x0 != {zlib.crc32(data):#x}"
    assert refusal(path) == f"{path}: cannot be read ({reason}); give a readable, complete file"


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"a": ["x" * 100, "y" * 100]}), path, compression="none")
    whole = path.read_bytes()
    # Without its end, which holds the schema.
    path.write_bytes(whole[:-9])
    with pytest.raises(pa.ArrowInvalid) as invalid:
        pq.ParquetFile(path)
    assert refusal(str(path)) == f"{path}: is not a Parquet file that can be read ({invalid.value}); write it again"
    # Zeros where the first page starts: the schema is whole, the rows are not, and Arrow takes two lines to say so.
    path.write_bytes(whole[:4] + bytes(60) + whole[64:])
    with pytest.raises(OSError, match="\n") as unreadable:
        pq.ParquetFile(path).read()
    reason = " ".join(str(unreadable.value).split())
    assert refusal(str(path)) == f"{path}: cannot be read ({reason}); give a readable, complete file"


def test_a_parquet_file_with_text_that_is_not_utf_8(tmp_path: Path) -> None:
    # One string, bytes 0 to 2: "a\xff".
    bounds = pa.py_buffer(b"\0\0\0\0\2\0\0\0")
    column = pa.StringArray.from_buffers(1, bounds, pa.py_buffer(b"a\xff"))
    path = tmp_path / "set.parquet"
    pq.write_table(pa.table({"a": column}), path)
    reason = "'utf-8' codec can't decode byte 0xff in position 1: invalid start byte"
    assert refusal(str(path)) == f"{path}: is not a Parquet file that can be read ({reason}); write it again"


@pytest.mark.parametrize(
    "name", ["", "set", "set.jsonl", "set:train", "./org/name", "~/org", "/org/name", "org//x", "a/b.gz"]
)
def test_neither_a_file_nor_a_name(name: str) -> None:
    remedy = "give JSON Lines, JSON, Parquet, a folder or org/name:split"
    assert refusal(name) == f"{name}: there is no such file or folder; {remedy}"


def test_a_name_on_the_hub_without_a_network() -> None:
    # conftest.py sets HF_HUB_OFFLINE.
    assert refusal("org/name/folder:test") == (
        "org/name/folder:test: datasets cannot load it (Couldn't reach 'org/name' on the Hub (OfflineModeIsEnabled));"
        " check the name, the split and the network"
    )


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("org/name", {"path": "org/name", "name": None, "data_dir": None, "split": "train"}),
        ("org/name:test", {"path": "org/name", "name": None, "data_dir": None, "split": "test"}),
        ("org/name/a/b:main:test", {"path": "org/name", "name": "main", "data_dir": "a/b", "split": "test"}),
    ],
)
def test_what_datasets_is_asked_for(name: str, asked: dict[str, str | None]) -> None:
    # An error without words still has a name.
    with patch("datasets.load_dataset", side_effect=OSError()) as load:
        message = refusal(name)
    assert message == f"{name}: datasets cannot load it (OSError); check the name, the split and the network"
    options = dict(load.call_args.kwargs)
    assert options.pop("streaming") is True
    assert {"path": load.call_args.args[0], **options} == asked
