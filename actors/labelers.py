"""Starting a labeler from its settings, in the process that is to ask it."""

from actors.endpoint import EndpointJudge
from actors.judge import EngineJudge
from actors.labeler import Labeler
from actors.recorded import RecordedVerdicts
from actors.spending import Usage
from truing.config.labeling import EndpointLabeler, EngineLabeler, RecordedLabeler

Online = EngineLabeler | EndpointLabeler
"""A labeler that can be asked anything; a recorded one only knows its pairs."""


def open_labeler(settings: Online, workers: int = 1) -> Labeler:
    """Load the engine, or open the connections. An endpoint's budget is split evenly over so many workers.

    Raises:
        ConfigError: the endpoint's URL or key is not usable.
    """
    if isinstance(settings, EngineLabeler):
        return Labeler(EngineJudge(settings))
    budget = None if settings.budget is None else settings.budget / workers
    return Labeler(EndpointJudge(settings.model_copy(update={"budget": budget})))


def open_any(settings: Online | RecordedLabeler, workers: int = 1) -> Labeler | RecordedVerdicts:
    """The same, or recorded verdicts. Raises ConfigError as `open_labeler`, or for a file that cannot be read."""
    return RecordedVerdicts(settings) if isinstance(settings, RecordedLabeler) else open_labeler(settings, workers)


def used(labeler: Labeler | RecordedVerdicts) -> Usage:
    """What a labeler has used so far."""
    return labeler.judge.usage if isinstance(labeler, Labeler) else Usage()
