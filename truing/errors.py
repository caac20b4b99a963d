"""Errors that reach a user: one line that says what is wrong, where, and what to do."""

from collections.abc import Collection


class TruingError(Exception):
    """A fault with one clear line for the user. The command line prints the line and exits with `exit_code`."""

    exit_code = 1


class ConfigError(TruingError):
    """The configuration or an input file cannot be used as it is."""

    exit_code = 2


class ShortOfResources(TruingError):  # noqa: N818 - named after what happened
    """What is asked of the cluster is more than it could ever give."""

    exit_code = 3


class ActorDied(TruingError):  # noqa: N818 - named after what happened
    """A worker process ended or missed its deadline; the message gives the translated cause."""

    exit_code = 4


class ActorLost(ActorDied):
    """A process or its node is gone, or does not answer: the same work may succeed in another process.

    `late`: ids of the actors that had not answered when the deadline passed.
    """

    def __init__(self, message: str, late: Collection[str] = ()) -> None:
        super().__init__(message)
        self.late = tuple(late)


class GateClosed(TruingError):  # noqa: N818 - named after what happened
    """The labeler is not to be trusted on these data, and the configuration says to stop."""

    exit_code = 5


class LabelerStopped(TruingError):  # noqa: N818 - named after what happened
    """The labeler asks no more: its budget is spent, its endpoint is down or refuses it. What it answered is kept."""

    exit_code = 6


class BudgetSpent(TruingError):  # noqa: N818 - named after what happened
    """The nodes of a run have cost as much as they may. What is stored is kept."""

    exit_code = 6
