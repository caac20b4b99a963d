import gzip
import math
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truing.evaluation.compression import compression_ratio


def noise(length: int, seed: int) -> str:
    return "".join(random.Random(seed).choices("0123456789abcdef", k=length))


def test_the_bytes_are_those_of_gzip_and_no_other_container() -> None:
    # Raw: 2 x 1000 and a newline = 2001 bytes. gzip is zlib's stream without its 6 bytes, plus 18 of its own.
    outputs = ["b" * 1000, "a" * 1000]
    raw = b"a" * 1000 + b"\n" + b"b" * 1000
    assert compression_ratio(outputs) == 2001 / (len(zlib.compress(raw, 9)) + 12)
    assert compression_ratio(outputs) > 30


def test_bytes_are_counted_not_characters() -> None:
    # Four characters of three bytes each.
    assert compression_ratio(["你好世界"]) == 12 / len(gzip.compress("你好世界".encode(), 9))


@given(st.lists(st.text(max_size=40), min_size=1, max_size=6).filter(any), st.randoms())
def test_order_of_outputs_does_not_matter(outputs: list[str], rng: random.Random) -> None:
    shuffled = outputs[:]
    rng.shuffle(shuffled)
    assert compression_ratio(shuffled) == compression_ratio(outputs)


def test_identical_outputs_are_the_most_redundant() -> None:
    same, others = [noise(500, 0)] * 8, [noise(500, seed) for seed in range(8)]
    # Hexadecimal noise has 4 of 8 bits: about 2 alone; eight copies come to about 16.
    assert compression_ratio(others) == pytest.approx(2, rel=0.15)
    assert compression_ratio(same) > 4 * compression_ratio(others)


def test_a_short_set_is_ruled_by_the_header() -> None:
    assert compression_ratio(["a"]) < 0.1


def test_nothing_written_is_undefined() -> None:
    assert math.isnan(compression_ratio([]))
    assert math.isnan(compression_ratio(["", ""]))
    assert compression_ratio(["", "a" * 100]) > 1


def test_beyond_the_window_twins_look_like_strangers() -> None:
    # 100,000 characters: the second copy begins 100,001 bytes after the first, DEFLATE looks back 32,768.
    twins = compression_ratio([noise(100_000, 0)] * 2)
    strangers = compression_ratio([noise(100_000, 0), noise(100_000, 1)])
    assert twins == pytest.approx(strangers, rel=0.01)


def test_a_lone_surrogate_is_three_bytes() -> None:
    assert compression_ratio(["\ud83d"]) == 3 / len(gzip.compress(b"\xed\xa0\xbd", 9))
