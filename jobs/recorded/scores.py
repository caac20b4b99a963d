"""Recorded files -> item-level scores, each kind in its own way. What cannot be counted is a score without a value."""

from collections.abc import Iterator

from jobs.recorded.texts import judge_scores, output_scores
from truing.config.recorded import (
    AllRating,
    LabelRating,
    NumberRating,
    ProbabilityRating,
    Recorded,
    RecordedComparisons,
    RecordedJudges,
    RecordedOutputs,
    RecordedPreferences,
    RecordedRatings,
)
from truing.errors import ConfigError
from truing.evaluation.comparison_figures import GAMES, VERDICT
from truing.evaluation.figure import Score
from truing.evaluation.policy_figures import at_least
from truing.evaluation.preference_figures import BASELINE_LENGTH, LENGTH, PREFERENCE
from truing.evaluation.recorded_fields import RecordedRow, label_at_start, recorded_rows
from truing.evaluation.truthfulness import labelled
from truing.evaluation.win_rate import from_alpaca


def item_scores(source: Recorded) -> list[Score]:
    """Every score of a recorded source.

    Raises:
        ConfigError: a file, a row or a column that cannot be used, each with its remedy.
    """
    if isinstance(source, RecordedPreferences):
        return list(_preferences(source))
    if isinstance(source, RecordedOutputs):
        return output_scores(source)
    if isinstance(source, RecordedRatings):
        return [score for row in recorded_rows(source.path, source.where) for score in _ratings(source, row)]
    if isinstance(source, RecordedJudges):
        return judge_scores(source)
    return _comparisons(source)


# --- preferences -----------------------------------------------------------------------------------------------------


def _preferences(source: RecordedPreferences) -> Iterator[Score]:
    """A row is one comparison, or all of a model's: then the preference and both lengths are lists."""
    columns, seen = source.columns, dict[str, dict[str, None]]()
    for n, row in enumerate(recorded_rows(source.path, source.where)):
        policy = row.key(columns.policy)
        preferences = row.numbers(columns.preference)
        if columns.item is not None:
            listed = row.value(columns.item)
            items = [str(one) for one in listed] if isinstance(listed, list) else [row.key(columns.item)]
        else:
            whole = isinstance(row.value(columns.preference), list)
            items = [str(i) for i in range(len(preferences))] if whole else [str(n)]
        if len(items) != len(preferences):
            raise row.wrong(
                columns.item or "", f"has {len(items)} entries for {len(preferences)} preferences", "give one each"
            )
        known = seen.setdefault(policy, {})
        again = next((item for item in items if item in known), None)
        if again is not None:
            raise row.wrong(
                columns.policy, f"is {policy!r}, which has a preference of item {again} already", "narrow `where`"
            )
        known.update(dict.fromkeys(items))
        for item, value in zip(items, preferences, strict=True):
            yield _preference(source, row, policy, item, value)
        for column, metric in ((columns.length, LENGTH), (columns.baseline_length, BASELINE_LENGTH)):
            if column is not None:
                yield from _lengths(source, row, policy, items, column, metric)


def _preference(source: RecordedPreferences, row: RecordedRow, policy: str, item: str, value: float | None) -> Score:
    try:
        known = from_alpaca(value) if source.scale == "alpaca" else value
    except ValueError as error:
        raise row.wrong(source.columns.preference, f"is off its scale ({error})", "mend it, set scale: share") from None
    if known is not None and not 0 <= known <= 1:
        raise row.wrong(source.columns.preference, f"is {known}, not in [0, 1]", "mend it, set scale: alpaca")
    return Score(
        policy, source.name, "", item, source.baseline, PREFERENCE, known, "" if known is not None else "no verdict"
    )


def _lengths(
    source: RecordedPreferences, row: RecordedRow, policy: str, items: list[str], column: str, metric: str
) -> Iterator[Score]:
    lengths = row.numbers(column)
    if lengths == [None]:
        lengths = [None] * len(items)
    if len(lengths) != len(items):
        raise row.wrong(column, f"has {len(lengths)} lengths for {len(items)} preferences", "give one each")
    if metric == LENGTH and source.null_length == "empty":
        lengths = [length or 0.0 for length in lengths]
    if any(length is not None and length < 0 for length in lengths):
        raise row.wrong(column, "holds a negative length", "give characters, 0 for an empty output")
    for item, value in zip(items, lengths, strict=True):
        reason = "" if value is not None else "no length"
        yield Score(policy, source.name, "", item, source.baseline, metric, value, reason)


# --- ratings ---------------------------------------------------------------------------------------------------------


def _ratings(source: RecordedRatings, row: RecordedRow) -> Iterator[Score]:
    columns = source.columns
    policy, item = row.key(columns.policy), row.joined(columns.item)
    group = row.key(columns.group) if columns.group else ""
    labels: dict[str, float | None] = {}
    for name, rating in source.ratings.items():
        metric = name
        if isinstance(rating, NumberRating):
            value = row.number(rating.column)
            if rating.at_least is not None:
                hit = None if value is None else float(value >= rating.at_least)
                yield _rated(policy, source.name, group, item, at_least(name, rating.at_least), hit)
        elif isinstance(rating, AllRating):
            parts = [labels[part] for part in rating.of]
            value = None if None in parts else float(all(parts))
        else:
            value = labels[name] = _label(rating, row)
        yield _rated(policy, source.name, group, item, metric, value)


def _rated(policy: str, data: str, group: str, item: str, metric: str, value: float | None) -> Score:
    return Score(policy, data, group, item, "", metric, value, "" if value is not None else "without a rating")


def _label(rating: LabelRating | ProbabilityRating, row: RecordedRow) -> float | None:
    if isinstance(rating, ProbabilityRating):
        try:
            said = labelled(row.number(rating.column), above=rating.above)
        except ValueError as error:
            raise row.wrong(rating.column, f"is no probability ({error})", "give one") from None
        return None if said is None else float(said)
    value = row.value(rating.column)
    if value in rating.positive:
        return 1.0
    return 0.0 if value in rating.negative or (not rating.negative and value is not None) else None


# --- comparisons -----------------------------------------------------------------------------------------------------


def _comparisons(source: RecordedComparisons) -> list[Score]:
    """A score a game: `policy` is the system that was shown first."""
    columns = source.columns
    found: dict[tuple[str, str, str, str], Score] = {}
    for row in recorded_rows(source.path, source.where):
        shown = row.key(columns.first), row.key(columns.second)
        swapped = row.value(columns.swapped) if columns.swapped else False
        if not isinstance(swapped, bool):
            raise row.wrong(columns.swapped or "", "is neither true nor false", "say whether `second` was shown first")
        first, second = (shown[1], shown[0]) if swapped else shown
        if first == second:
            raise row.wrong(columns.first, f"is {first!r} on both sides", "compare two systems")
        reply = row.text(columns.verdict)
        label = None if reply is None else label_at_start(reply, source.coding)
        value = None if label is None else GAMES[source.coding[label]]
        variant = row.key(columns.group) if columns.group else ""
        item = row.joined(columns.item)
        key = (variant, item, first, second)
        if key in found:
            raise row.wrong(
                columns.first, f"({first} before {second} on {item}) has a verdict already", "narrow `where`"
            )
        reason = "" if value is not None else "no verdict can be read in the reply"
        found[key] = Score(first, source.name, variant, item, second, VERDICT, value, reason)
    return list(found.values())


def check_pairing(source: RecordedOutputs | RecordedRatings, scores: list[Score]) -> None:
    """Whether `against` names policies that are there.

    Raises:
        ConfigError: it does not.
    """
    there = list(dict.fromkeys(score.policy for score in scores))
    unknown = next((name for pair in source.against.items() for name in pair if name not in there), None)
    if unknown is not None:
        raise ConfigError(
            f"{source.path}: against names {unknown!r}, whose outputs are not there; there are {', '.join(there)}"
        )
