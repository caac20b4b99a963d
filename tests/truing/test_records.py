import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from truing.records import Pair, content_id, derived_seed

parts = st.lists(st.one_of(st.text(), st.integers(), st.none()), max_size=4)
ROOT = Path(__file__).resolve().parents[2]


def test_ids_are_what_they_were() -> None:
    # 8 bytes of BLAKE2b over ["a",1] and ["é",null], as `b2sum -l 64` gives: ids on disk must not change.
    assert content_id("a", 1) == "2204915fb477f654"
    assert content_id("é", None) == "996e461340d8afad"


def test_ids_and_seeds_are_the_same_in_another_process() -> None:
    line = "from truing.records import *; print(content_id('p', {'b': 1, 'a': [2]}), derived_seed(7, 3, 'p', 0))"
    other = subprocess.run([sys.executable, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True)
    assert other.stdout.split() == [content_id("p", {"a": [2], "b": 1}), str(derived_seed(7, 3, "p", 0))]


@given(parts, parts)
def test_ids_are_equal_where_their_parts_are(one: list[object], other: list[object]) -> None:
    assert (content_id(*one) == content_id(*other)) == (one == other)


def test_ids_tell_where_a_part_ends_and_what_it_is() -> None:
    same_looks = [("ab", "c"), ("a", "bc"), ("abc",), (["ab", "c"],), ("1",), (1,), (1.0,), (True,), (None,), ("null",)]
    assert len({content_id(*parts) for parts in same_looks}) == len(same_looks)


@given(parts)
def test_seeds_fit_31_bits(given_parts: list[object]) -> None:
    assert 0 <= derived_seed(*given_parts) < 2**31


def test_neighbouring_seeds_differ() -> None:
    # 10 steps x 20 prompts x 4 samples in 2^31 places: a collision has probability 800²/2^32 = 1.5e-4
    seeds = [derived_seed(0, step, f"p{prompt}", n) for step in range(10) for prompt in range(20) for n in range(4)]
    assert len(set(seeds)) == 800
    assert derived_seed(0, 1) != derived_seed(1, 0)


def test_swapping_a_pair_exchanges_its_responses_alone() -> None:
    assert Pair("i", "p", "first", "second", "d").swap() == Pair("i", "p", "second", "first", "d")


@given(st.builds(Pair, *[st.text()] * 5))
def test_swapping_twice_is_nothing(pair: Pair) -> None:
    assert pair.swap().swap() == pair
