import gzip
import json
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shared import shared_data
from truing.evaluation.fertility import fertility, premium, premiums, unspaced, words_of

Pairs = dict[str, list[tuple[str, str]]]


def n_bytes(text: str) -> int:
    return len(text.encode())


def halves(text: str) -> int:
    """A tokenizer of two characters a token, spaces being none."""
    return sum(-(-len(word) // 2) for word in text.split())


def test_fertility_by_hand() -> None:
    # "a bcd" is 1 + 2 tokens, "éf" one, so 4 of 3 words, 7 characters and 8 bytes. One word in three is continued.
    found = fertility(["a bcd", "éf", " "], halves, seed=0)
    assert found.tokens_a_word is not None
    assert found.continued_words is not None
    assert found.tokens_a_word.value == pytest.approx(4 / 3)
    assert found.tokens_a_character.value == pytest.approx(4 / 7)
    assert found.tokens_a_byte.value == pytest.approx(4 / 8)
    assert found.continued_words.value == pytest.approx(1 / 3)
    assert (found.texts, found.tokens, found.words, found.empty) == (2, 4, 3, 1)


def test_a_prefix_stands_before_each_word_alone() -> None:
    # With a space before it, every word is two tokens or more by bytes; without, "a" is one.
    plain = fertility(["a bcd"], n_bytes, seed=0).continued_words
    marked = fertility(["a bcd"], n_bytes, word_prefix=" ", seed=0).continued_words
    assert plain is not None
    assert marked is not None
    assert (plain.value, marked.value) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("text", "is_unspaced"),
    [
        ("他说，妈妈，我回来了。", True),
        ("母さん、ただいま。カメラ", True),
        ("และเขาพูดว่า", True),
        ("ខ្ញុំស្រឡាញ់អ្នក", True),
        ("나는 그의 모자가 싫다.", False),
        ("नमस्ते दुनिया", False),
        ("وقال، ماما", False),
        ("Con chào mẹ", False),
        ("I said 你好 to them all", False),
        ("12 % !", False),
        ("", False),
    ],
)
def test_languages_without_spaces_are_told_by_their_script(text: str, is_unspaced: bool) -> None:
    assert unspaced([text]) == is_unspaced
    if text:
        found = fertility([text], n_bytes, seed=0)
        words = [found.tokens_a_word, found.continued_words]
        assert (words == [None, None]) == is_unspaced
        assert found.tokens_a_byte.value == 1.0


def test_words_are_without_the_punctuation_at_their_ends() -> None:
    assert words_of("«Hello», she said - “don't”! (3.5 %)") == ["Hello", "she", "said", "don't", "3.5"]
    assert words_of("नमस्ते, दुनिया।") == ["नमस्ते", "दुनिया"]  # vowel signs are no punctuation
    assert words_of(" … ") == []


def test_texts_without_a_word_have_no_fertility() -> None:
    found = fertility(["!!", "?"], n_bytes, seed=0)
    assert (found.tokens_a_word, found.continued_words, found.words) == (None, None, 0)
    with pytest.raises(ValueError, match="all 2 texts are empty"):
        fertility(["", " "], n_bytes, seed=0)


def test_a_hundred_thousand_characters_and_duplicates() -> None:
    found = fertility(["word " * 20_000] * 2, halves, seed=0)
    assert found.tokens_a_word is not None
    assert (found.tokens_a_word.value, found.tokens_a_word.low, found.words) == (2.0, 2.0, 40_000)


def test_premium_by_hand() -> None:
    # 3 + 6 bytes over 2 + 1; the pair without English is counted and left out.
    found = premium([("猫", "ab"), ("犬猫", "c"), ("猫", "")], n_bytes, seed=0)
    assert (found.ratio.value, found.ratio.n) == (3.0, 2)
    assert (found.tokens, found.english_tokens, found.empty) == (9, 3, 1)
    with pytest.raises(ValueError, match="all 1 pairs lack a side"):
        premium([("", "a")], n_bytes, seed=0)
    with pytest.raises(ValueError, match="does the tokenizer count"):
        premium([("a", "a")], lambda _: 0, seed=0)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=5).filter(lambda texts: any(map(str.strip, texts))))
@settings(max_examples=20)
def test_a_language_against_itself_is_at_parity(texts: list[str]) -> None:
    assert premium([(text, text) for text in texts], len, seed=0).ratio.value == 1.0


def parallel15() -> tuple[dict[str, list[str]], Pairs]:
    texts: defaultdict[str, list[str]] = defaultdict(list)
    with gzip.open(shared_data("parallel15"), "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            texts[row["lang"]].append(row["text"])
    return dict(texts), {lang: list(zip(some, texts["en"], strict=True)) for lang, some in texts.items()}


def test_bytes_of_fifteen_parallel_languages() -> None:
    texts, pairs = parallel15()
    found = premiums(pairs, n_bytes, seed=0)
    assert len(found) == 15
    assert found["en"].ratio.value == 1.0
    for one in found.values():
        assert (one.ratio.n, one.empty) == (133, 0)
        assert one.ratio.value == one.tokens / one.english_tokens
    # UTF-8 writes Latin letters in one byte, Cyrillic, Greek and Arabic in two, Indic and Thai in three.
    assert found["es"].ratio.value < 1.3 < found["ru"].ratio.value < 2.3 < found["hi"].ratio.value
    spaceless = {lang for lang, some in texts.items() if fertility(some, n_bytes, seed=0).tokens_a_word is None}
    assert spaceless == {"th", "zh"}


def test_bytes_of_twenty_seven_languages_of_tatoeba() -> None:
    pairs: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    with gzip.open(shared_data("tatoeba_parallel"), "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            pairs[row["lang"]].append((row["text"], row["english"]))
    found = premiums(pairs, n_bytes, seed=0)
    assert (len(found), sum(one.ratio.n + one.empty for one in found.values())) == (27, 23_115)
    assert found["deu"].ratio.value < 1.4 < found["rus"].ratio.value < 2.2 < found["tam"].ratio.value
    spaceless = {lang for lang, some in pairs.items() if unspaced([text for text, _ in some])}
    assert spaceless == {"cmn", "jpn", "khm", "tha"}
