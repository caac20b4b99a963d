"""How many tokens a tokenizer spends on a text, by language (Rust et al., ACL 2021; Petrov et al., arXiv 2305.15425).

The tokenizer is any callable from a text to its number of tokens, without tokens that it adds to every text.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from truing.algorithms.statistics import Interval, bootstrap, ratio_of_sums

Count = Callable[[str], int]

UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "BOPOMOFO", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN", "JAVANESE", "YI")
"""Scripts that part no words by spaces, as the first word of their characters' Unicode names."""


@dataclass(frozen=True, slots=True)
class Fertility:
    """Tokens a unit of text, each a ratio of sums over `texts`, with its interval over texts.

    `tokens_a_word` is fertility, `continued_words` the share of words that are more than one token; both None where the
    language writes no spaces or there is no word. Characters are code points, bytes UTF-8's. `empty` texts have no
    character but spaces: they are in no other figure.
    """

    tokens_a_word: Interval | None
    continued_words: Interval | None
    tokens_a_character: Interval
    tokens_a_byte: Interval
    texts: int
    tokens: int
    words: int | None
    empty: int


@dataclass(frozen=True, slots=True)
class Premium:
    """`ratio`: tokens of a language over tokens of English for the same sentences; its n and interval are over pairs.

    `tokens` and `english_tokens` are its two sums. `empty` pairs lack a side: they are in no other figure.
    """

    ratio: Interval
    tokens: int
    english_tokens: int
    empty: int


def fertility(texts: Sequence[str], count: Count, *, word_prefix: str = "", seed: int) -> Fertility:
    """Fertility of a tokenizer on the texts of one language.

    Words are what whitespace parts and holds a letter or digit; the tokens of punctuation count towards fertility. For
    `continued_words` each word stands alone, without the punctuation at its ends: give `word_prefix` " " for tokenizers
    that mark a word's start by a space before it (byte-level BPE), "" for those that add one themselves (SentencePiece).
    Raises ValueError where every text is empty.
    """
    given = [text for text in texts if text.strip()]
    if not given:
        raise ValueError(f"all {len(texts)} texts are empty: there is no fertility to report.")
    tokens = [count(text) for text in given]
    words = None if unspaced(given) else [words_of(text) for text in given]
    spoken = words is not None and any(words)
    return Fertility(
        tokens_a_word=_ratio(tokens, [len(some) for some in words or ()], seed) if spoken else None,
        continued_words=_continued(words or (), count, word_prefix, seed) if spoken else None,
        tokens_a_character=_ratio(tokens, [len(text) for text in given], seed),
        tokens_a_byte=_ratio(tokens, [len(text.encode()) for text in given], seed),
        texts=len(given),
        tokens=sum(tokens),
        words=None if words is None else sum(map(len, words)),
        empty=len(texts) - len(given),
    )


def premium(pairs: Sequence[tuple[str, str]], count: Count, *, seed: int) -> Premium:
    """Tokens of a language over tokens of English, on `pairs` of (text, its English): a ratio of sums.

    1 is parity. Sums weigh long sentences more, and no short sentence's ratio rules. Raises ValueError where every pair
    lacks a side, or the English ones have no token.
    """
    given = [(text, english) for text, english in pairs if text.strip() and english.strip()]
    if not given:
        raise ValueError(f"all {len(pairs)} pairs lack a side: there is no premium to report.")
    tokens, english = [count(text) for text, _ in given], [count(english) for _, english in given]
    return Premium(_ratio(tokens, english, seed), sum(tokens), sum(english), len(pairs) - len(given))


def premiums(
    pairs_by_language: Mapping[str, Sequence[tuple[str, str]]], count: Count, *, seed: int
) -> dict[str, Premium]:
    """`premium` of each language on its own pairs. They compare across languages only where the English is the same."""
    return {language: premium(pairs, count, seed=seed) for language, pairs in pairs_by_language.items()}


def unspaced(texts: Sequence[str]) -> bool:
    """Whether more than half of the letters are of scripts that part no words by spaces; False where there is none.

    A look at the script, not at a language code: romanised Thai has words.
    """
    letters = [_writes_no_spaces(letter) for text in texts for letter in text if letter.isalpha()]
    return 2 * sum(letters) > len(letters)


def words_of(text: str) -> list[str]:
    """The words of a text that parts them by spaces, without the punctuation at their ends.

    Korean gives its phrases (eojeol), Vietnamese its syllables.
    """
    pieces = [piece for piece in text.split() if any(map(str.isalnum, piece))]
    return [_bare(piece) for piece in pieces]


def _continued(words: Sequence[Sequence[str]], count: Count, prefix: str, seed: int) -> Interval:
    tokens = {word: count(prefix + word) for some in words for word in some}
    split = [sum(tokens[word] > 1 for word in some) for some in words]
    return _ratio(split, [len(some) for some in words], seed)


def _ratio(above: Sequence[int], below: Sequence[int], seed: int) -> Interval:
    if not sum(below):
        raise ValueError("nothing was counted below the ratio: does the tokenizer count tokens of any text?")
    return bootstrap(ratio_of_sums, above, below, seed=seed)


def _bare(piece: str) -> str:
    kept = [i for i, character in enumerate(piece) if unicodedata.category(character)[0] not in "PS"]
    return piece[kept[0] : kept[-1] + 1]


@cache
def _writes_no_spaces(letter: str) -> bool:
    return unicodedata.name(letter, "").split(" ")[0] in UNSPACED
