"""One figure of an evaluation, and the item-level scores that figures are computed from."""

import math
from dataclasses import dataclass

from truing.algorithms.statistics import Interval


@dataclass(frozen=True, slots=True)
class Score:
    """What one item has of one metric; `value` is None where nothing can be counted, and `reason` then says why.

    `item`: the prompt, document or instruction; several scores of one item are several outputs. "" is the whole set, of
    figures that no item has alone. `against`: the other side of a comparison, "" where there is none. `temperature` is None
    where nobody sampled or nobody knows.
    """

    policy: str
    data: str
    variant: str
    item: str
    against: str
    metric: str
    value: float | None
    reason: str = ""
    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.metric} of {self.item!r} is {self.value}: give None, and the reason.")
        if self.value is None and not self.reason:
            raise ValueError(f"{self.metric} of {self.item!r} has no value: give the reason.")


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` of a metric, in `unit`, with its 95 % interval [low, high], from `n` items.

    `value` is None where the metric is undefined, and `note` then says why; `low` and `high` are None where there is no
    interval. `missing` counts what could not be counted: it is in no value. `shift` is "id", the name of a shift, or "";
    `temperature` is None where nobody sampled or nobody knows; `variant` tells wordings, groups and criteria apart.
    """

    policy: str
    data: str
    shift: str
    temperature: float | None
    variant: str
    metric: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    missing: int
    note: str

    def __post_init__(self) -> None:
        if any(end is not None and math.isnan(end) for end in (self.value, self.low, self.high)):
            raise ValueError(f"{self.metric} of {self.policy!r} holds NaN: what is undefined is None, with a note.")
        if self.value is None and not self.note:
            raise ValueError(f"{self.metric} of {self.policy!r} is undefined: say why in its note.")


@dataclass(frozen=True, slots=True)
class Place:
    """Where figures belong: the policy, the data and how they were asked for."""

    policy: str
    data: str
    shift: str
    variant: str
    temperature: float | None = None

    def figure(
        self, metric: str, unit: str, found: Interval | None, *, n: int = 0, missing: int = 0, note: str = ""
    ) -> Figure:
        """A figure with its interval; `n` and `note` are for one that is undefined, which is None."""
        if found is None:
            note = note or "undefined: nothing to compute it from"
            return self._figure(metric, unit, None, (None, None), n, missing, note)
        ends = (_known(found.low), _known(found.high))
        return self._figure(metric, unit, found.value, ends, found.n, missing, note)

    def plain(self, metric: str, unit: str, value: float | None, n: int, *, missing: int = 0, note: str = "") -> Figure:
        """A figure without an interval, such as a count; NaN is undefined."""
        return self._figure(metric, unit, _known(value), (None, None), n, missing, note)

    def _figure(
        self, metric: str, unit: str, value: float | None, ends: tuple[float | None, float | None],
        n: int, missing: int, note: str,
    ) -> Figure:  # fmt: skip
        note = note if value is not None or note else "undefined: nothing to compute it from"
        where = (self.policy, self.data, self.shift, self.temperature, self.variant)
        return Figure(*where, metric, unit, value, *ends, n, missing, note)


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
