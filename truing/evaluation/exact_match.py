"""Exact match of an answer with reference answers, as it is and normalised (Rajpurkar et al., SQuAD, arXiv 1606.05250)."""

import re
import string
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """Lower case, ASCII punctuation deleted, the articles a, an, the deleted, runs of whitespace to one space.

    In this order: "U.S." is "us". Punctuation and articles of other languages stay, and so does the form of combining
    characters (é of one or of two code points): bring answers and references to NFC first.
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, references: Sequence[str]) -> bool:
    """Whether the normalised answer is one of the normalised references.

    A reference of which nothing would be left ("The", "...") is compared as it is: an empty answer does not match it.
    Raises ValueError where there is no reference.
    """
    _asked(references)
    given = normalised(answer)
    return any(given == norm if (norm := normalised(reference)) else answer == reference for reference in references)


def exact_match_raw(answer: str, references: Sequence[str]) -> bool:
    """Whether the answer is one of the references, character by character. Raises ValueError where there is none."""
    _asked(references)
    return answer in references


def _asked(references: Sequence[str]) -> None:
    if not references or isinstance(references, str):
        raise ValueError("exact match compares with a list of at least one reference answer")
