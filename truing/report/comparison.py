"""Two runs beside each other: the figures that both have, how they changed, and what differs between the two studies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from truing.evaluation.figure import Figure

State = Literal["apart", "overlap", "equal", "unknown"]
"""The 95 % intervals have no point in common; they have some; the values are the same; an interval is not known."""
ABSENT = "absent"
"""What a study has where it does not have a key."""
WHERE_RUNS_ARE = ("name", "storage")
"""Keys in which two runs always differ."""


@dataclass(frozen=True, slots=True)
class Pair:
    """The same figure in the first run, `left`, and in the second, `right`."""

    left: Figure
    right: Figure

    @property
    def difference(self) -> float | None:
        """Second minus first, in the unit of the figures; None where one is undefined."""
        if self.left.value is None or self.right.value is None:
            return None
        return self.right.value - self.left.value

    @property
    def state(self) -> State:
        """Whether the intervals part the two.

        Intervals that lie apart say more than a test at 5 % would: of overlapping ones the difference may still be real.
        An interval without width is none: that no spread was seen among few items proves nothing.
        """
        first, second = _span(self.left), _span(self.right)
        if self.difference == 0:
            return "equal"
        if self.difference is None or first is None or second is None:
            return "unknown"
        return "apart" if first[1] < second[0] or second[1] < first[0] else "overlap"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The figures that both runs have, in the order of the first, and those that only one of them has."""

    pairs: tuple[Pair, ...]
    only_left: tuple[Figure, ...]
    only_right: tuple[Figure, ...]

    def counted(self, state: State) -> int:
        """How many pairs are in that state."""
        return sum(pair.state == state for pair in self.pairs)


@dataclass(frozen=True, slots=True)
class Change:
    """A key of the two studies whose values differ, or are absent."""

    key: str
    left: object
    right: object


def compare(left: Sequence[Figure], right: Sequence[Figure]) -> Comparison:
    """Pair the figures that agree in policy, data, shift, temperature, variant, metric and unit.

    Where a run has several such figures, its first is paired with the other's first, and so on.
    """
    first, second = _by_place(left), _by_place(right)
    return Comparison(
        pairs=tuple(Pair(figure, second[place]) for place, figure in first.items() if place in second),
        only_left=tuple(figure for place, figure in first.items() if place not in second),
        only_right=tuple(figure for place, figure in second.items() if place not in first),
    )


def changes(left: Mapping[str, object], right: Mapping[str, object]) -> list[Change]:
    """Where two studies differ, by dotted key as an override names it; in name and storage two runs always do.

    A section, or an entry of a list, that only one of them has is one change.
    """
    found = _changes((), left, right)
    return [change for change in found if change.key not in WHERE_RUNS_ARE]


def _by_place(figures: Sequence[Figure]) -> dict[tuple[object, ...], Figure]:
    found: dict[tuple[object, ...], Figure] = {}
    seen: dict[tuple[object, ...], int] = {}
    for f in figures:
        place = (f.policy, f.data, f.shift, f.temperature, f.variant, f.metric, f.unit)
        seen[place] = seen.get(place, 0) + 1
        found[*place, seen[place]] = f
    return found


def _span(figure: Figure) -> tuple[float, float] | None:
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return None
    return figure.low, figure.high


def _changes(at: tuple[str, ...], left: object, right: object) -> list[Change]:
    """What differs below one key."""
    first, second = _children(left), _children(right)
    if first is None or second is None or type(left) is not type(right):
        return [] if left == right else [Change(".".join(at), left, right)]
    keys = dict.fromkeys((*first, *second))
    return [change for key in keys for change in _changes((*at, key), first.get(key, ABSENT), second.get(key, ABSENT))]


def _children(value: object) -> dict[str, object] | None:
    """The parts of a section or a list by key or position; None of a plain value."""
    if isinstance(value, Mapping):
        return {str(key): part for key, part in cast("Mapping[object, object]", value).items()}
    if isinstance(value, list):
        return {str(i): part for i, part in enumerate(cast("list[object]", value))}
    return None
