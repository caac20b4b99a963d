"""What a program checks of a grid's outputs: JSON, patterns, lengths, IFEval's constraints, the final number of a solution."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from jobs.grid.data import Question
from jobs.grid.outputs import Cell
from jobs.grid.scores import Field
from jobs.grid.sheet import Place, Sheet
from truing.config.grid_metrics import Checks, FinalAnswer, Instructions
from truing.errors import ConfigError
from truing.evaluation.answers import final_value, gold_value
from truing.evaluation.constraints import Instruction, followed, followed_loosely, instructions_of
from truing.evaluation.figure import Score
from truing.evaluation.output_scores import NO_OUTPUT, NO_REFERENCE
from truing.evaluation.pass_at_k import pass_at_k
from truing.evaluation.static_checks import json_checks, length_check, lengths, pattern_check
from truing.records import Unparsable

Passes = Callable[[str], bool]


def check_scores(sheet: Sheet, _: Field, metric: Checks) -> list[Score]:
    """1 or 0 of each output for each check.

    Raises:
        ConfigError: a schema or a pattern that is none.
    """
    found: list[Score] = []
    for name, passes in _checks(metric).items():
        try:
            passes("")
            found += [score for place in sheet.places() for score in _each(place, name, passes)]
        except ValueError as error:
            raise ConfigError(f"evaluate.grid.metrics: {error}") from None
    return found


def instruction_scores(sheet: Sheet, _: Field, metric: Instructions) -> list[Score]:
    """Whether each output follows all instructions of its prompt, strictly and loosely.

    Raises:
        ConfigError: a row without instructions, or one that nobody can check.
    """
    asked = {key: _instructions(one, metric) for some in sheet.asked.values() for key, one in _by_item(some)}
    found: list[Score] = []
    for place in sheet.places():
        own = asked[place.question.item]
        for name, follows in (
            ("instructions followed", followed),
            ("instructions followed, loosely", followed_loosely),
        ):

            def passes(text: str, follows: Any = follows, own: Sequence[Instruction] = own) -> bool:
                return all(follows(one, text) for one in own)

            found += _each(place, name, passes)
    return found


def answer_scores(sheet: Sheet, _: Field, __: FinalAnswer) -> list[Score]:
    """Whether each output ends with the reference's number; an output without a number is wrong. pass@1 and pass@K, where K is the
    most outputs that the policy has to a question there; a question with fewer has no pass@K.

    Raises:
        ConfigError: a reference without a number after ####.
    """
    found: list[Score] = []
    most: Counter[tuple[str, Cell]] = Counter()
    for place in sheet.places():
        most[place.policy, place.cell] = max(most[place.policy, place.cell], len(place.rows))
    for place in sheet.places():
        gold = _gold(place.question)
        if gold is None:
            found.append(place.score("right answer", None, NO_REFERENCE))
            continue

        def passes(text: str, gold: Fraction = gold) -> bool:
            value = final_value(text)
            return not isinstance(value, Unparsable) and value == gold

        own = _each(place, "right answer", passes)
        found += own
        right = sum(score.value == 1 for score in own)
        found += _pass_scores(place, right, most[place.policy, place.cell])
    return found


def _pass_scores(place: Place, right: int, most: int) -> list[Score]:
    """pass@1 and pass@`most`; none where nobody has more than one output."""
    n = len(place.rows)
    known = {k: pass_at_k(n, right, k) if n >= k else None for k in (1, most) if most > 1}
    why = f"with fewer than {most} outputs" if n else NO_OUTPUT
    return [place.score(f"pass@{k}", value, why) for k, value in known.items()]


def _checks(metric: Checks) -> dict[str, Passes]:
    found: dict[str, Passes] = {}
    if metric.json_text:
        found["valid JSON"] = lambda text: json_checks(text).raw.passed
        found["valid JSON in a fence"] = lambda text: json_checks(text).fenced.passed
    if metric.json_schema is not None:
        schema = _schema(metric.json_schema)
        found["fits the schema"] = lambda text: bool((fits := json_checks(text, schema).schema) and fits.passed)
    if (pattern := metric.pattern) is not None:
        found["matches the pattern"] = lambda text: pattern_check(text, pattern).passed
    least, most = metric.least_words, metric.most_words
    if least or most:
        found["length as wanted"] = lambda text: length_check(lengths(text), "words", least=least, most=most).passed
    return found


def _schema(path: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is no JSON schema ({error}); give a file that holds one") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: is no JSON schema: it holds no object; give a file that holds one")
    return found


def _each(place: Place, metric: str, passes: Passes) -> list[Score]:
    scores = [place.score(metric, float(passes(row["text"])), "") for row in place.rows]
    return scores or [place.score(metric, None, NO_OUTPUT)]


def _by_item(questions: Sequence[Question]) -> list[tuple[str, Question]]:
    return list({one.item: one for one in questions}.items())


def _instructions(question: Question, metric: Instructions) -> tuple[Instruction, ...]:
    row = question.row
    wanting = next((column for column in (metric.ids, metric.arguments) if column not in row), None)
    if wanting is not None:
        raise ConfigError(
            f"evaluate.grid.metrics: prompt {question.prompt[:40]!r}… has no column {wanting!r}; name the right one"
        )
    try:
        found = instructions_of(row[metric.ids], row[metric.arguments])
    except ValueError as error:
        raise ConfigError(f"evaluate.grid.metrics: prompt {question.prompt[:40]!r}…: {error}") from None
    return found


def _gold(question: Question) -> Fraction | None:
    if not question.references:
        return None
    try:
        return gold_value(question.references[0])
    except ValueError as error:
        raise ConfigError(f"evaluate.grid.metrics: {error}") from None
