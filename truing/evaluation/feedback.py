"""Is the feedback incorporated (Scheurer et al., ILF, arXiv 2303.16755): the judge's answers beside their controls.

A judge gives P(yes) / (P(yes) + P(no)) to "does the new text incorporate the feedback?". It says yes to much: the same
question about the unchanged original, and about feedback that belongs to another text, shows how much.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from truing.algorithms.statistics import Interval, bootstrap_mean


@dataclass(frozen=True, slots=True)
class Control:
    """Mean P(incorporated) of a control, and by how much the refinement exceeds it: `difference` is refined - control.

    Paired by item, over the `n` items that both answer; the interval resamples pairs. Without a difference above 0 the
    judge does not see the feedback. `n_missing` items lack one of the two.
    """

    mean: Interval
    difference: Interval
    n: int
    n_missing: int


@dataclass(frozen=True, slots=True)
class Incorporated:
    """Mean P(incorporated) of the refinements over `n` items, and the controls that were asked; None: not asked, or no
    item that both answer. `n_missing` refinements have no answer."""

    mean: Interval
    unchanged: Control | None
    shuffled: Control | None
    n: int
    n_missing: int


def incorporated(
    refined: Sequence[float | None],
    *,
    unchanged: Sequence[float | None] | None = None,
    shuffled: Sequence[float | None] | None = None,
    seed: int,
) -> Incorporated:
    """Aggregates P(incorporated) in [0, 1], one an item, None or NaN where the judge failed.

    `unchanged`: the judge on the original in place of the refinement; `shuffled`: on the refinement with the feedback of
    another item. Raises ValueError for a value outside [0, 1], columns of different length, or no answer at all.
    """
    answers = _column(refined, len(refined), "refined")
    found = [p for p in answers if p is not None]
    if not found:
        raise ValueError(f"none of {len(refined)} refinements has an answer: there is nothing to report.")
    return Incorporated(
        mean=bootstrap_mean(found, seed=seed),
        unchanged=_control(answers, unchanged, "unchanged", seed),
        shuffled=_control(answers, shuffled, "shuffled", seed),
        n=len(found),
        n_missing=len(answers) - len(found),
    )


def _control(
    answers: Sequence[float | None], given: Sequence[float | None] | None, name: str, seed: int
) -> Control | None:
    if given is None:
        return None
    pairs = zip(answers, _column(given, len(answers), name), strict=True)
    both = [(refined, control) for refined, control in pairs if refined is not None and control is not None]
    if not both:
        return None
    return Control(
        mean=bootstrap_mean([control for _, control in both], seed=seed),
        difference=bootstrap_mean([refined - control for refined, control in both], seed=seed),
        n=len(both),
        n_missing=len(answers) - len(both),
    )


def _column(given: Sequence[float | None], n: int, name: str) -> list[float | None]:
    if len(given) != n:
        raise ValueError(
            f"{name} has {len(given)} answers for {n} refinements: give one an item, None where it failed."
        )
    found = [None if p is None or math.isnan(p) else p for p in given]
    outside = [p for p in found if p is not None and not 0 <= p <= 1]
    if outside:
        raise ValueError(f"{name} holds {outside[0]}, not a probability: give P(yes) / (P(yes) + P(no)).")
    return found
