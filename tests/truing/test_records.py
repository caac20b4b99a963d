import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from truing.records import Pair, canonical_pair, content_id, derived_seed

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


# --- the canonical order ---------------------------------------------------------------------------------------------


def test_the_hash_of_a_pair_decides_its_order() -> None:
    # ["Why?","A","B"] has 33c054d1998abfec, an even number, and ["How?","A","B"] 2e654a07c2a77269, an odd one.
    why, how = Pair("33c054d1998abfec", "Why?", "A", "B", "d"), Pair("2e654a07c2a77269", "How?", "B", "A", "d")
    assert canonical_pair("Why?", "A", "B", "d") == (why, False)
    assert canonical_pair("Why?", "B", "A", "d") == (why, True)
    assert canonical_pair("How?", "A", "B", "d") == (how, True)
    assert canonical_pair("How?", "B", "A", "d") == (how, False)


@given(st.text(), st.text(), st.text(), st.text())
def test_a_pair_and_its_swap_are_one_question(prompt: str, first: str, second: str, domain: str) -> None:
    pair, swapped = canonical_pair(prompt, first, second, domain)
    assert (pair.swap() if swapped else pair) == Pair(pair.id, prompt, first, second, domain)
    assert canonical_pair(prompt, second, first, domain) == (pair, swapped != (first != second))
    # What is canonical stays so, and the domain has no say in it.
    assert canonical_pair(prompt, pair.first, pair.second, "other")[1] is False


def test_the_better_response_is_not_always_first() -> None:
    # Which of the two orders is as good as a coin: 1000 ± 4 · sqrt(2000 / 4) = 89
    swapped = sum(canonical_pair(f"prompt {i}", "chosen", "rejected", "d")[1] for i in range(2000))
    assert 911 < swapped < 1089
