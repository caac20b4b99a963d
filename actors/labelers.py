"""Starting a labeler from its settings, in the process that is to ask it."""

from pathlib import Path

from actors.endpoint import EndpointJudge
from actors.judge import EngineJudge
from actors.labeler import Labeler
from actors.recorded import RecordedVerdicts
from actors.spending import Usage
from truing.config.labeling import EndpointLabeler, EngineLabeler, RecordedLabeler

Online = EngineLabeler | EndpointLabeler
"""A labeler that can be asked anything; a recorded one only knows its pairs."""


def open_labeler(settings: Online, spent: Path | None = None) -> Labeler:
    """Load the engine, or open the connections and see that the endpoint answers.

    `spent`: folder of what an endpoint has cost the run; its budget is for all that is noted there. Raises as
    `EndpointJudge` and its `check`.
    """
    if isinstance(settings, EngineLabeler):
        return Labeler(EngineJudge(settings))
    judge = EndpointJudge(settings, spent)
    judge.check()
    return Labeler(judge)


def open_any(settings: Online | RecordedLabeler, spent: Path | None = None) -> Labeler | RecordedVerdicts:
    """The same, or recorded verdicts. Raises as `open_labeler`, or ConfigError for a file that cannot be read."""
    return RecordedVerdicts(settings) if isinstance(settings, RecordedLabeler) else open_labeler(settings, spent)


def used(labeler: Labeler | RecordedVerdicts) -> Usage:
    """What a labeler has used so far."""
    return labeler.judge.usage if isinstance(labeler, Labeler) else Usage()
