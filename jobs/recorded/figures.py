"""Item-level scores of a recorded source -> its figures. No source is read here: what was stored is enough."""

from collections.abc import Sequence

from truing.config.recorded import (
    MinimalLengthControl,
    NumberRating,
    PublishedLengthControl,
    Recorded,
    RecordedComparisons,
    RecordedJudges,
    RecordedOutputs,
    RecordedPreferences,
    RecordedRatings,
)
from truing.errors import ConfigError
from truing.evaluation.comparison_figures import comparison_figures
from truing.evaluation.figure import Figure, Score
from truing.evaluation.judge_figures import judge_figures
from truing.evaluation.length_tables import read_difficulty, read_gamed
from truing.evaluation.output_scores import unit_of
from truing.evaluation.policy_figures import LEFT_OUT, SHARE, at_least, policy_figures
from truing.evaluation.preference_figures import LengthControl, preference_figures


def source_figures(source: Recorded, scores: Sequence[Score], seed: int) -> list[Figure]:
    """Every figure of a recorded source.

    Raises:
        ConfigError: scores that do not fit together, with the remedy.
    """
    data, shift = source.name, source.shift
    try:
        if isinstance(source, RecordedPreferences):
            control = _control(source)
            return preference_figures(scores, data=data, shift=shift, control=control, seed=seed)
        if isinstance(source, RecordedJudges):
            return judge_figures(scores, data=data, shift=shift, challenge=source.challenge, seed=seed)
        if isinstance(source, RecordedComparisons):
            return comparison_figures(
                scores, judge=source.judge, data=data, shift=shift, anchor=source.anchor, seed=seed
            )
        units = _units(source, scores)
        return policy_figures(scores, units, data=data, shift=shift, against=source.against, seed=seed)
    except ValueError as error:
        raise ConfigError(f"{source.path}: {error}") from None


def _units(source: RecordedOutputs | RecordedRatings, scores: Sequence[Score]) -> dict[str, str]:
    """Metrics in their order, with their units."""
    if isinstance(source, RecordedOutputs):
        metrics = dict.fromkeys(score.metric for score in scores)
        return {metric: unit_of(metric) for metric in metrics if not metric.endswith(LEFT_OUT)}
    units: dict[str, str] = {}
    for name, rating in source.ratings.items():
        units[name] = rating.unit if isinstance(rating, NumberRating) else SHARE
        if isinstance(rating, NumberRating) and rating.at_least is not None:
            units[at_least(name, rating.at_least)] = SHARE
    return units


def _control(source: RecordedPreferences) -> LengthControl | None:
    control = source.length_control
    if isinstance(control, MinimalLengthControl):
        return LengthControl("minimal", None, None, control.resamples)
    if isinstance(control, PublishedLengthControl):
        difficulty = read_difficulty(control.difficulty or control.gamed)
        return LengthControl("v1", difficulty, read_gamed(control.gamed), control.resamples)
    return None
