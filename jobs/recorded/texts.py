"""Recorded outputs, and recorded replies of judges with what people said -> item-level scores."""

from collections.abc import Iterator
from math import fsum

from truing.config.recorded import HumanScores, RecordedJudges, RecordedOutputs
from truing.errors import ConfigError
from truing.evaluation.figure import Score
from truing.evaluation.geval import parse_score, stated_score
from truing.evaluation.judge_figures import HUMAN
from truing.evaluation.output_scores import Output, measure_outputs
from truing.evaluation.recorded_fields import RecordedRow, recorded_rows
from truing.records import Unparsable


def output_scores(source: RecordedOutputs) -> list[Score]:
    """Lengths, overlap and diversity of every output.

    Raises:
        ConfigError: a policy of which no row has an output.
    """
    outputs = [one for row in recorded_rows(source.path, source.where) for one in _outputs(source, row)]
    filled = {one.policy for one in outputs if one.text is not None}
    silent = next((one.policy for one in outputs if one.policy not in filled), None)
    if silent is not None:
        column = source.policies.get(silent, source.columns.output)
        raise ConfigError(f"{source.path}: no row has an output of {silent} in {column!r}; name the right column")
    return measure_outputs(outputs, source.metrics, data=source.name, cut_words=source.cut_words)


def _outputs(source: RecordedOutputs, row: RecordedRow) -> Iterator[Output]:
    columns = source.columns
    item = row.joined(columns.prompt)
    references = tuple(row.texts(columns.reference)) if columns.reference else ()
    if source.policies:
        for policy, column in source.policies.items():
            yield Output(policy, item, row.text(column), references)
    else:
        yield Output(row.key(columns.policy), item, row.text(columns.output), references)


def judge_scores(source: RecordedJudges) -> list[Score]:
    """The judge's scores by system, document and criterion, and people's of the texts that it has scored.

    Raises:
        ConfigError: no row about one of the criteria, or no text that both have scored.
    """
    rows = list(recorded_rows(source.path, source.where))
    judged = [score for row in rows for score in _of_judge(source, row)]
    about = {score.variant for score in judged}
    if absent := next((criterion for criterion in source.criteria if criterion not in about), None):
        raise ConfigError(f"{source.path}: no row is about {absent!r}; mend criteria, or columns.criterion")
    people = rows if source.human.path is None else recorded_rows(source.human.path, {})
    human: dict[tuple[str, str, str], Score] = {}
    for row in people:
        for criterion in source.criteria:
            one = _human(source, source.human, row, criterion)
            if human.get(_key(one), one) != one:
                raise row.wrong(source.human.system, "is scored twice on this document, not alike", "keep one of them")
            human[_key(one)] = one
    scored = {_key(score) for score in judged}
    shared = [one for key, one in human.items() if key in scored]
    if not shared:
        raise ConfigError(
            f"{source.human.path}: holds no text that {source.path} has scores of; name documents and systems alike"
        )
    return [*judged, *shared]


def _key(score: Score) -> tuple[str, str, str]:
    return score.variant, score.item, score.policy


def _of_judge(source: RecordedJudges, row: RecordedRow) -> Iterator[Score]:
    columns = source.columns
    judge = row.key(columns.judge) if columns.judge else source.judge
    if judge == HUMAN:
        raise row.wrong(columns.judge or "judge", f"is {HUMAN!r}, as people's scores are called", "rename it")
    asked = row.key(columns.criterion) if columns.criterion else None
    system, document = row.key(columns.system), row.key(columns.document)
    for criterion in source.criteria:
        if asked in (None, criterion):
            value, reason = _judged(source, row, columns.score.replace("{criterion}", criterion))
            yield Score(system, source.name, criterion, document, "", judge, value, reason)


def _judged(source: RecordedJudges, row: RecordedRow, column: str) -> tuple[float | None, str]:
    """The score, or the mean of those of several replies that can be read."""
    if source.reading == "number":
        return _mean(row.numbers(column), "no score")
    read = parse_score if source.reading == "begins" else stated_score
    low, high = source.scale
    scores = [read(reply, low, high) for reply in row.texts(column)]
    return _mean([None if isinstance(one, Unparsable) else one for one in scores], "no score can be read in the reply")


def _human(source: RecordedJudges, human: HumanScores, row: RecordedRow, criterion: str) -> Score:
    value, reason = _mean(row.numbers(human.score.replace("{criterion}", criterion)), "nobody scored it")
    return Score(row.key(human.system), source.name, criterion, row.key(human.document), "", HUMAN, value, reason)


def _mean(scores: list[float | None], reason: str) -> tuple[float | None, str]:
    known = [score for score in scores if score is not None]
    return (fsum(known) / len(known), "") if known else (None, reason)
