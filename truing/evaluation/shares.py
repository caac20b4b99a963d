"""A share of yes among labels, with what could not be labelled counted beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from truing.algorithms.statistics import Interval, wilson
from truing.records import Failed, Unparsable

Label = bool | Unparsable | Failed | None
"""Yes or no; a reply that holds neither, a row that could not be answered, or nothing at all."""


@dataclass(frozen=True, slots=True)
class Share:
    """Share of yes in [0, 1] over the labels that say yes or no, whose number is its n; None where none does.

    Its interval is Wilson's: at 0 of n a bootstrap says [0, 0], Wilson's says what 0 of n can rule out.

    `unparsable`, `failed` and `missing` labels are in no other figure.
    """

    share: Interval | None
    unparsable: int
    failed: int
    missing: int


def share_of(labels: Sequence[Label]) -> Share:
    """Share of True among `labels` with its 95 % interval."""
    said = [label for label in labels if isinstance(label, bool)]
    return Share(
        wilson(sum(said), len(said)) if said else None,
        unparsable=sum(isinstance(label, Unparsable) for label in labels),
        failed=sum(isinstance(label, Failed) for label in labels),
        missing=sum(label is None for label in labels),
    )
