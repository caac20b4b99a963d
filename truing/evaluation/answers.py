"""The final number of a worked solution, and how often it is the right one (GSM8K, Cobbe et al., arXiv 2110.14168).

Numbers are exact fractions: "0.5", "1/2" and "\\frac{1}{2}" are one answer, "3,000" and "3000.00" another.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from truing.algorithms.statistics import Interval, bootstrap_mean
from truing.records import Failed, Unparsable

DIGITS = 1000
"""Longest number that is read: a longer one is a model that repeats itself, and no answer."""

_SPELT = str.maketrans({"−": "-", "–": "-", "，": ",", "٬": ",", "٫": ".", **dict.fromkeys("$€£¥₩₹", "")})
_LATEX = (
    (re.compile(r"\\[,!]"), ""),  # thin spaces within a number: 3\,000
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"\\(?=-?\d)"), ""),  # what is left of \$5
    (re.compile(r"(?<=\d)(?=\\[dt]?frac)"), " "),  # 1\frac{1}{2}
    (re.compile(r"\\[dt]?frac\{(-?\d+)\}\{(\d+)\}"), r"\1/\2"),
)
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w)])-)?"
    r"(?:(?:(?P<whole>\d+) )?(?P<over>\d+)/(?P<under>\d+)(?!\.?\d)"
    r"|(?P<plain>(?:\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)|\d+)(?:\.\d+)?|\.\d+))"
)
_CUE = re.compile(r"####(?=\W{0,5}\d)|answer\s+is\b|answer\W{0,4}:|(?P<boxed>\\boxed\s*\{)", re.IGNORECASE)
_LINE = re.compile(r"\s*([^\n]{0,200})")
_END = re.compile(r"(?<!\.)\.(?![.\d]|\s*=)|[?;。]|!(?=\s+[^\W\d_])|,(?!\d)")
"""What may end a statement: no dot within a number or an ellipsis, no factorial, no comma of thousands."""


@dataclass(frozen=True, slots=True)
class AnswerAccuracy:
    """Share of right answers in [0, 1], its n the solutions beside it.

    `accuracy` is the benchmark's: over all solutions that the model gave, where one without a number is not right.
    `accuracy_read` is over those with a number. None where there is no such solution. `unparsable` solutions hold no
    number, `empty` ones among them no text; `failed` rows were never answered and are in no other figure.
    """

    accuracy: Interval | None
    accuracy_read: Interval | None
    unparsable: int
    empty: int
    failed: int


def gold_value(answer: str) -> Fraction:
    """The number after the last "####" of a GSM8K answer. Raises ValueError where there is none."""
    _, mark, after = answer.rpartition("####")
    value = _first(_spelt(after)) if mark else None
    if value is None:
        raise ValueError(f'gold answer {answer[-80:]!r} has no number after "####": write it as "#### 42".')
    return value


def final_value(text: str) -> Fraction | Unparsable:
    """The number that a solution states as its answer.

    That is the number after the last of "####", "answer is", "answer:" and \\boxed{ that has one in its line (of at most
    200 characters), behind the last "=" of the statement ("the answer is 16 - 7 = 9" is 9), which ends with the sentence
    or a comma once it has a number ("the answer is 5. So 2 + 2 = 4" is 5); where no cue has one, the text's last number.
    "####" counts where a number is next, so that a heading is no cue.
    Thousands' commas, currencies, LaTeX and a trailing dot are taken off, and so is "%": 25 % is 25, as GSM8K has it.
    "3/4" and "1 1/2" are fractions, "-" is a sign where no digit, letter or ")" stands before it. Number words and
    scales are not read: "2 million" is 2. A number over 0, or of more than `DIGITS` digits, is Unparsable.
    """
    spelt = _spelt(text)
    for cue in reversed(list(_CUE.finditer(spelt))):
        value = _first(_clause(spelt, cue))
        if value is not None:
            return value
    numbers = list(_NUMBER.finditer(spelt))
    value = _value(numbers[-1]) if numbers else None
    return Unparsable(text) if value is None else value


def answer_accuracy(solutions: Sequence[str | Failed], golds: Sequence[Fraction], *, seed: int) -> AnswerAccuracy:
    """How often `final_value` of a solution equals the gold value; one solution and one gold value a question.

    `seed` is that of the bootstrap over questions. Raises ValueError where there are not as many of both.
    """
    if len(solutions) != len(golds):
        raise ValueError(f"{len(solutions)} solutions to {len(golds)} gold values: give one of each a question.")
    given = [(text, gold) for text, gold in zip(solutions, golds, strict=True) if not isinstance(text, Failed)]
    found = [(final_value(text), gold) for text, gold in given]
    right = [float(value == gold) for value, gold in found]
    read = [float(value == gold) for value, gold in found if not isinstance(value, Unparsable)]
    return AnswerAccuracy(
        accuracy=bootstrap_mean(right, seed=seed) if right else None,
        accuracy_read=bootstrap_mean(read, seed=seed) if read else None,
        unparsable=len(right) - len(read),
        empty=sum(not text.strip() for text, _ in given),
        failed=len(solutions) - len(given),
    )


def _spelt(text: str) -> str:
    """Numbers as `_NUMBER` reads them: no currency, no LaTeX, one minus, one comma."""
    text = text.translate(_SPELT)
    for pattern, plain in _LATEX:
        text = pattern.sub(plain, text)
    return text


def _clause(text: str, cue: re.Match[str]) -> str:
    """What a cue announces: the rest of its line, or the next line where nothing follows it; a box's content."""
    found = _LINE.match(text, cue.end())
    line = "" if found is None else found[1]
    if cue["boxed"]:
        line = line.partition("}")[0]
    return _statement(line).rpartition("=")[2]


def _statement(line: str) -> str:
    """The line up to the first end of a sentence, or comma, behind its first number; those in parentheses end nothing."""
    number = _NUMBER.search(line)
    for end in _END.finditer(line, len(line) if number is None else number.end()):
        before = line[: end.start()]
        if before.count("(") <= before.count(")"):
            return before
    return line


def _first(text: str) -> Fraction | None:
    match = _NUMBER.search(text)
    return None if match is None else _value(match)


def _value(match: re.Match[str]) -> Fraction | None:
    """None where the number has no value, or too many digits for one."""
    if len(match[0]) > DIGITS:
        return None
    if match["plain"]:
        value = Fraction(match["plain"].replace(",", ""))
    elif int(match["under"]) == 0:
        return None
    else:
        value = Fraction(int(match["over"]), int(match["under"])) + int(match["whole"] or 0)
    return -value if match["sign"] else value
