"""The checkers of IFEval's verifiable instructions (Zhou et al., arXiv 2311.07911, table 1), one small function each.

A checker takes the text of a response and the instruction's arguments by IFEval's names, and says whether the text
follows it. Texts are not empty: `constraints.followed` sees to that. Where the paper's code cannot be followed, or a
reply would pass or fail by accident, the docstring says what is done here instead.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from truing.evaluation.static_checks import Json, strict_json

ABBREVIATIONS = (
    "dr", "mr", "mrs", "ms", "prof", "st", "jr", "sr", "inc", "ltd", "co", "corp", "gen", "col", "capt", "lt", "sgt",
    "rev", "hon", "e.g", "i.e", "etc", "vs", "cf", "approx", "fig", "vol", "a.m", "p.m", "u.s", "u.k", "ph.d",
)  # fmt: skip
"""Words behind which a dot ends no sentence, in lower case and without the dot."""

ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")

_RELATIONS: Mapping[str, Callable[[int, int], bool]] = MappingProxyType(
    {"less than": lambda count, limit: count < limit, "at least": lambda count, limit: count >= limit}
)
_HIGHLIGHT = re.compile(r"\*\*([^\n*]+)\*\*|\*([^\n*]+)\*")
_BULLET = re.compile(r"^[ \t]*(?:\*[^*\n]|-(?!--))", re.MULTILINE)
_FENCE = re.compile(r"```(?:json)?(.*)```", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"\w+(?:[.'’-]\w+)*")
_FIRST_WORD = re.compile(r"[\"'“”‘’]*([^\s.,?!\"'“”‘’]+)")


def compares(count: int, relation: str, limit: int) -> bool:
    """count < limit for "less than", count >= limit for "at least". Raises ValueError for another relation."""
    if relation not in _RELATIONS:
        raise ValueError(f"relation {relation!r} is unknown: use one of {', '.join(_RELATIONS)}.")
    return _RELATIONS[relation](count, limit)


def keywords_exist(text: str, *, keywords: Sequence[str]) -> bool:
    """Each keyword occurs somewhere, within a word too, in any case."""
    return all(keyword.lower() in text.lower() for keyword in keywords)


def keyword_frequency(text: str, *, keyword: str, frequency: int, relation: str) -> bool:
    """Occurrences of a keyword, within words too, in any case."""
    return compares(text.lower().count(keyword.lower()), relation, frequency)


def forbidden_words(text: str, *, forbidden_words: Sequence[str]) -> bool:
    """None of the words occurs as a whole word, in any case."""
    return not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in forbidden_words)


def letter_frequency(text: str, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    """Occurrences of a letter, or another character, in either case."""
    return compares(text.lower().count(letter.lower()), let_relation, let_frequency)


def response_language(text: str, *, language: str) -> bool:
    """langdetect's first guess is the language; a text without letters is in none (the paper's code lets it pass).

    Raises ValueError for a language that langdetect does not know.
    """
    known = _languages().get_lang_list()
    if language not in known:
        raise ValueError(f"language {language!r} is not one that langdetect knows: {', '.join(sorted(known))}.")
    return _detected(text) == language


def number_of_sentences(text: str, *, num_sentences: int, relation: str) -> bool:
    """Sentences as `sentences` cuts them."""
    return compares(len(sentences(text)), relation, num_sentences)


def number_of_paragraphs(text: str, *, num_paragraphs: int) -> bool:
    """Exactly so many paragraphs between dividers ("***"); an empty one is allowed at either end alone."""
    parts = [part.strip() for part in text.split("***")]
    return all(parts[1:-1]) and len([part for part in parts if part]) == num_paragraphs


def number_of_words(text: str, *, num_words: int, relation: str) -> bool:
    r"""Runs of \w: "don't" is two, and so is a word of Hindi that has a vowel sign."""
    return compares(len(re.findall(r"\w+", text)), relation, num_words)


def nth_paragraph_first_word(text: str, *, first_word: str, num_paragraphs: int, nth_paragraph: int) -> bool:
    """Exactly so many paragraphs between empty lines, and the first word of the n-th, counted from 1, in any case.

    Quotation marks before the word and punctuation behind it are no part of it. Empty paragraphs are not counted (the
    paper's code takes them for the n-th).
    """
    parts = [part for part in map(str.strip, text.split("\n\n")) if part]
    if len(parts) != num_paragraphs or not 1 <= nth_paragraph <= num_paragraphs:
        return False
    found = _FIRST_WORD.match(parts[nth_paragraph - 1])
    return found is not None and found[1].lower() == first_word.lower()


def number_of_placeholders(text: str, *, num_placeholders: int) -> bool:
    """At least so many placeholders in square brackets, such as [address]."""
    return len(re.findall(r"\[[^\[\]\n]*\]", text)) >= num_placeholders


def postscript(text: str, *, postscript_marker: str) -> bool:
    """The marker stands somewhere, in any case, spaces allowed behind its dots; "P.P.S." is no "P.S."."""
    letters = re.escape(postscript_marker.strip()).replace(r"\.", r"\.\s?").removesuffix(r"\s?")
    return re.search(rf"(?<![\w.]){letters}", text, re.IGNORECASE) is not None


def number_of_bullets(text: str, *, num_bullets: int) -> bool:
    """Exactly so many lines that begin with "*" or "-"; "**" begins none, nor does "---" (the paper's code counts it)."""
    return len(_BULLET.findall(text)) == num_bullets


def constrained_response(text: str) -> bool:
    """One of the three phrases that IFEval offers stands somewhere."""
    return any(answer in text for answer in ANSWERS)


def number_of_highlights(text: str, *, num_highlights: int) -> bool:
    """At least so many *highlighted* or **highlighted** passages within a line, not of spaces alone."""
    found = [(double or single).strip() for double, single in _HIGHLIGHT.findall(text)]
    return len([passage for passage in found if passage]) >= num_highlights


def number_of_sections(text: str, *, section_spliter: str, num_sections: int) -> bool:
    """At least so many headings of the section's name and a number: "SECTION 1"."""
    return len(re.findall(rf"{re.escape(section_spliter.strip())}\s?\d+", text)) >= num_sections


def json_format(text: str) -> bool:
    """The whole text, or what a single fence around it holds, is JSON by RFC 8259 (the paper's code lets NaN pass)."""
    fenced = _FENCE.fullmatch(text.strip())
    return isinstance(strict_json(text if fenced is None else fenced[1]), Json)


def title(text: str) -> bool:
    """A title in double angular brackets: <<title>>."""
    return any(found.strip() for found in re.findall(r"<<([^\n<>]+)>>", text))


def two_responses(text: str) -> bool:
    """Two different responses between six asterisks; an empty one is allowed at either end alone."""
    parts = [part.strip() for part in text.split("******")]
    found = [part for part in parts if part]
    return all(parts[1:-1]) and len(found) == 2 and found[0] != found[1]


def repeat_prompt(text: str, *, prompt_to_repeat: str) -> bool:
    """The text begins with the prompt, in any case."""
    return text.strip().lower().startswith(prompt_to_repeat.strip().lower())


def end_phrase(text: str, *, end_phrase: str) -> bool:
    """The text ends with the phrase, in any case; double quotation marks around the text are no part of it."""
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def english_capital(text: str) -> bool:
    """No small letter, at least one capital, and English by langdetect."""
    return text.isupper() and _detected(text) == "en"


def english_lowercase(text: str) -> bool:
    """No capital, at least one small letter, and English by langdetect."""
    return text.islower() and _detected(text) == "en"


def capital_words(text: str, *, capital_frequency: int, capital_relation: str) -> bool:
    """Words without small letters, "I" and "U.S" included, a hyphenated one being one (the paper's code: nltk's tokens)."""
    return compares(sum(word.isupper() for word in _WORD.findall(text)), capital_relation, capital_frequency)


def no_comma(text: str) -> bool:
    """No ASCII comma, as in the paper's code: the commas of other scripts pass."""
    return "," not in text


def quotation(text: str) -> bool:
    """The whole text stands between double quotation marks, ASCII's as in the paper's code."""
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


def sentences(text: str) -> list[str]:
    """Sentences by nltk's Punkt (Kiss & Strunk 2006) with `ABBREVIATIONS` for its trained model, which is a download.

    The full stops of Chinese, Japanese, Hindi and Arabic end sentences as well. Pieces without a letter or digit are
    none.
    """
    spaced = re.sub(r"([。！？।؟]+)", r"\1 ", text)
    return [piece for piece in _splitter()(spaced) if any(map(str.isalnum, piece))]


@cache
def _splitter() -> Callable[[str], list[str]]:
    from nltk.tokenize.punkt import (  # pyright: ignore[reportMissingTypeStubs]
        PunktLanguageVars,
        PunktParameters,
        PunktSentenceTokenizer,
    )

    class Marks(PunktLanguageVars):
        __slots__ = ()
        sent_end_chars: Any = (".", "?", "!", "。", "！", "？", "।", "؟")

    learned = PunktParameters()
    learned.abbrev_types = set(ABBREVIATIONS)
    return PunktSentenceTokenizer(learned, lang_vars=Marks()).tokenize


@cache
def _languages() -> Any:
    """langdetect's profiles, a factory of our own: the one that it shares draws anew on every call."""
    from langdetect.detector_factory import (  # pyright: ignore[reportMissingTypeStubs]
        PROFILES_DIRECTORY,
        DetectorFactory,
    )

    factory: Any = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    return factory


def _detected(text: str) -> str | None:
    """langdetect's first guess, the same on every call; None for a text without letters."""
    from langdetect import LangDetectException  # pyright: ignore[reportMissingTypeStubs]

    detector = _languages().create()
    detector.seed = 0
    detector.append(text)
    try:
        return str(detector.detect())
    except LangDetectException:
        return None


CHECKERS: Mapping[str, Callable[..., bool]] = MappingProxyType(
    {
        "keywords:existence": keywords_exist,
        "keywords:frequency": keyword_frequency,
        "keywords:forbidden_words": forbidden_words,
        "keywords:letter_frequency": letter_frequency,
        "language:response_language": response_language,
        "length_constraints:number_sentences": number_of_sentences,
        "length_constraints:number_paragraphs": number_of_paragraphs,
        "length_constraints:number_words": number_of_words,
        "length_constraints:nth_paragraph_first_word": nth_paragraph_first_word,
        "detectable_content:number_placeholders": number_of_placeholders,
        "detectable_content:postscript": postscript,
        "detectable_format:number_bullet_lists": number_of_bullets,
        "detectable_format:constrained_response": constrained_response,
        "detectable_format:number_highlighted_sections": number_of_highlights,
        "detectable_format:multiple_sections": number_of_sections,
        "detectable_format:json_format": json_format,
        "detectable_format:title": title,
        "combination:two_responses": two_responses,
        "combination:repeat_prompt": repeat_prompt,
        "startend:end_checker": end_phrase,
        "startend:quotation": quotation,
        "change_case:english_capital": english_capital,
        "change_case:english_lowercase": english_lowercase,
        "change_case:capital_word_frequency": capital_words,
        "punctuation:no_comma": no_comma,
    }
)
"""IFEval's instruction ids, and who checks them."""
