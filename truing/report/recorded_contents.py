"""What a page holds of recorded files: the figures of each source."""

from dataclasses import dataclass

from truing.evaluation.figure import Figure


@dataclass(frozen=True)
class Recorded:
    """The figures of one recorded source: its name, its kind, its file, and how many scores they come from."""

    name: str
    kind: str
    path: str
    scores: int
    figures: tuple[Figure, ...]
