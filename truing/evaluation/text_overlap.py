"""ROUGE: overlap of an answer with reference answers (Lin 2004), as two packages compute it. Never compare the two."""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

CELLS = 10_000_000
"""Words of the answer times words of the reference, from which the tables of a union LCS are not made: some seconds."""
SENTENCE_WORDS = 700
"""Words of two sentences together, from which `rouge`'s LCS would exceed Python's recursion limit."""

Tokenize = Callable[[str], list[str]]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Shares in [0, 1]: `precision` of the answer, `recall` of the reference, and their harmonic mean `f`."""

    precision: float
    recall: float
    f: float


@dataclass(frozen=True, slots=True)
class Rouge:
    """One answer against the reference that fits best, chosen for each type by its `f`. None is undefined.

    `rouge_1`, `rouge_l`, `rouge_lsum`: None where no reference has a word; `rouge_2` where none has two. `rouge_lsum`
    is also None, not computed, where a text of several lines is so long that words x words exceed `CELLS`.
    """

    rouge_1: Overlap | None
    rouge_2: Overlap | None
    rouge_l: Overlap | None
    rouge_lsum: Overlap | None


@dataclass(frozen=True, slots=True)
class RougePypi:
    """The figures of the `rouge` package. `rouge_l` is None, not computed, for texts longer than the package bears."""

    rouge_1: Overlap
    rouge_2: Overlap
    rouge_l: Overlap | None


def rouge(answer: str, references: Sequence[str], *, stemmer: bool = False, tokenize: Tokenize | None = None) -> Rouge:
    """ROUGE-1, -2, -L and -Lsum of the package rouge-score: counts clipped by the reference, lower case, [a-z0-9]+.

    `stemmer`: Porter's, for words of more than three letters. ROUGE-Lsum takes each line as a sentence and unites their
    common subsequences; without newlines it is ROUGE-L. `tokenize` replaces the words, which are English: by them every
    Chinese text is empty; `unicode_words` cuts any script. An answer without words scores 0.
    Raises ValueError where there is no reference, or with both `stemmer` and `tokenize`.
    """
    _asked(references)
    if stemmer and tokenize:
        raise ValueError("the stemmer belongs to the English words: leave it out, or stem in `tokenize`.")
    cut = tokenize or _english(stemmer)
    each = [_one(answer, reference, cut) for reference in references]
    return Rouge(
        _best([one.rouge_1 for one in each]),
        _best([one.rouge_2 for one in each]),
        _best([one.rouge_l for one in each]),
        _best([one.rouge_lsum for one in each]),
    )


def rouge_pypi(answer: str, references: Sequence[str]) -> RougePypi | None:
    """ROUGE of the package rouge (1.0), which Kirk et al. (arXiv 2310.06452) report: sets of n-grams, case kept.

    Sentences end at "."; ROUGE-L unites common subsequences over sentences and counts distinct words; F has 1e-8 in its
    denominator (0.7777777728 for 7/9). The paper's code takes the best reference for each type, as here, and rounds the
    means to four digits. None where the answer is blank or only dots, or no reference is more: the package raises, and
    the paper's code counts 0. Raises ValueError where there is no reference.
    """
    _asked(references)
    usable = [reference for reference in references if _sentences(reference)]
    if not _sentences(answer) or not usable:
        return None
    each = [_one_pypi(answer, reference) for reference in usable]
    longest = [one.rouge_l for one in each if one.rouge_l is not None]
    return RougePypi(
        max((one.rouge_1 for one in each), key=_f),
        max((one.rouge_2 for one in each), key=_f),
        max(longest, key=_f) if len(longest) == len(each) else None,
    )


def unicode_words(text: str) -> list[str]:
    """Words of any script in lower case and NFC: runs of letters, digits and their marks; Han and kana one by one.

    Other scripts without spaces (Thai, Khmer) stay whole runs.
    """
    words: list[str] = []
    open_word = False
    for character in unicodedata.normalize("NFC", text.lower()):
        if unicodedata.category(character)[0] not in "LNM":
            open_word = False
        elif _is_ideograph(character):
            words.append(character)
            open_word = False
        elif open_word:
            words[-1] += character
        else:
            words.append(character)
            open_word = True
    return words


def _is_ideograph(character: str) -> bool:
    code = ord(character)
    return 0x3040 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF or code >= 0x20000


class _Tokenizer:
    """What rouge-score asks of a tokenizer."""

    def __init__(self, cut: Tokenize) -> None:
        self.tokenize = cut


@cache
def _english(stemmer: bool) -> Tokenize:
    from rouge_score.tokenizers import DefaultTokenizer  # pyright: ignore[reportMissingTypeStubs]

    tokenizer: Any = DefaultTokenizer(use_stemmer=stemmer)
    return tokenizer.tokenize


def _score(types: list[str], answer: str, reference: str, cut: Tokenize) -> list[Overlap]:
    from rouge_score.rouge_scorer import RougeScorer  # pyright: ignore[reportMissingTypeStubs]

    scorer: Any = RougeScorer(types, tokenizer=_Tokenizer(cut))
    found = scorer.score(reference, answer)
    return [Overlap(float(found[t].precision), float(found[t].recall), float(found[t].fmeasure)) for t in types]


def _one(answer: str, reference: str, cut: Tokenize) -> Rouge:
    given, wanted = cut(answer), cut(reference)
    if not wanted:
        return Rouge(None, None, None, None)
    one, two = _score(["rouge1", "rouge2"], answer, reference, cut)
    longest = union = _longest_common(given, wanted)
    if "\n" in answer + reference:
        short = len(given) * len(wanted) <= CELLS
        union = _score(["rougeLsum"], answer, reference, cut)[0] if short else None
    return Rouge(one, two if len(wanted) > 1 else None, longest, union)


def _longest_common(given: list[str], wanted: list[str]) -> Overlap:
    """ROUGE-L. rouge-score's table of prefixes would take gigabytes for two answers of 100,000 characters.

    Bit i of `row` is 0 where word i of `wanted` ends a longer common subsequence than word i - 1 does (Hyyro 2004).
    """
    where: dict[str, int] = {}
    for i, word in enumerate(wanted):
        where[word] = where.get(word, 0) | 1 << i
    mask = (1 << len(wanted)) - 1
    row = mask
    for word in given:
        matched = row & where.get(word, 0)
        row = ((row + matched) | (row - matched)) & mask
    common = len(wanted) - row.bit_count()
    if not common:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = common / len(given), common / len(wanted)
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))


def _one_pypi(answer: str, reference: str) -> RougePypi:
    from rouge import Rouge as Package  # pyright: ignore[reportMissingTypeStubs]

    given, wanted = _sentences(answer), _sentences(reference)
    longest = max(map(len, given)) + max(map(len, wanted))
    bearable = longest <= SENTENCE_WORDS and sum(map(len, given)) * sum(map(len, wanted)) <= CELLS // 10
    types = ["rouge-1", "rouge-2", *(["rouge-l"] if bearable else [])]
    package: Any = Package(metrics=types)
    found = package.get_scores(answer, reference)[0]
    one, two, *union = [Overlap(found[t]["p"], found[t]["r"], found[t]["f"]) for t in types]
    return RougePypi(one, two, union[0] if union else None)


def _sentences(text: str) -> list[list[str]]:
    """Words of each sentence; none where the text is blank or only dots."""
    return [words for part in text.split(".") if (words := part.split())]


def _best(found: Sequence[Overlap | None]) -> Overlap | None:
    defined = [one for one in found if one is not None]
    return max(defined, key=_f) if defined else None


def _f(overlap: Overlap) -> float:
    return overlap.f


def _asked(references: Sequence[str]) -> None:
    if not references:
        raise ValueError("ROUGE compares with at least one reference answer")
