"""How much a result hangs on the wording of the prompt (PAFT, Wei et al., arXiv 2502.12859, §4.1)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spread:
    """Accuracies over unseen prompts. `deviation` is the population's (ddof = 0), `sample_deviation` has ddof = 1 (None
    for one prompt); the paper does not say which is its Std. `top` is the share of prompts at `threshold` or above,
    `top_above` that of prompts above it: the paper's Top, of which it does not say either.
    """

    prompts: int
    mean: float
    deviation: float
    sample_deviation: float | None
    worst: float
    best: float
    worst_tenth: float
    top: float
    top_above: float
    threshold: float


@dataclass(frozen=True, slots=True)
class SpreadIntervals:
    """Figures of `Spread` with their intervals over items; n is the number of items.

    The prompts share the items, so each resample draws items for all of them at once. The intervals hold for these
    prompts: other prompts are another spread. Items that are few make prompts differ by chance, so `deviation` is
    biased upwards, and its interval more so.
    """

    mean: Interval
    deviation: Interval
    worst_tenth: Interval
    top: Interval
    top_above: Interval


@dataclass(frozen=True, slots=True)
class Scaling:
    """Spread of models that were trained on `training_prompts` prompts: the means over `runs` runs of each figure.

    `mean_deviation` is the sample deviation of the runs' means (ddof = 1), None for one run.
    """

    training_prompts: int
    runs: int
    mean: float
    mean_deviation: float | None
    deviation: float
    worst_tenth: float
    top: float
    top_above: float


def spread(accuracy: Mapping[str, Sequence[float]], threshold: float) -> Spread:
    """Mean, deviation, extremes, mean of the worst tenth (one prompt at least), and the share of prompts at or above a threshold.

    `accuracy`: 1 or 0 of each item, by prompt. Raises ValueError where there is no prompt, one without items, or an
    item that is NaN.
    """
    if not accuracy or not all(len(items) for items in accuracy.values()):
        raise ValueError("a spread over prompts needs at least one prompt, and items for each")
    return spread_of([float(np.mean(items)) for items in accuracy.values()], threshold)


def spread_of(accuracies: Sequence[float] | FloatArray, threshold: float) -> Spread:
    """`spread` of one accuracy a prompt, in the unit of `threshold`. Raises ValueError where there is none, or a NaN."""
    means = np.sort(np.asarray(accuracies, np.float64))
    if not means.size or not np.isfinite(means).all():
        raise ValueError("a spread over prompts needs a finite accuracy of each, and at least one prompt")
    return Spread(
        prompts=len(means),
        mean=float(means.mean()),
        deviation=float(means.std()),
        sample_deviation=float(means.std(ddof=1)) if len(means) > 1 else None,
        worst=float(means[0]),
        best=float(means[-1]),
        worst_tenth=float(means[: max(1, len(means) // 10)].mean()),
        top=float(np.mean(means >= threshold)),
        top_above=float(np.mean(means > threshold)),
        threshold=threshold,
    )


def spread_intervals(
    accuracy: Mapping[str, Sequence[float]], threshold: float, *, seed: int, resamples: int = 2000
) -> SpreadIntervals:
    """Intervals of `spread` over the items, which every prompt has in the same order.

    Raises ValueError as `spread`, or where the prompts have not the same number of items.
    """
    hits = _matrix(accuracy)
    return _intervals(lambda drawn: spread_of(hits @ drawn / drawn.sum(), threshold), hits.shape[1], seed, resamples)


def spread_change(
    before: Mapping[str, Sequence[float]],
    after: Mapping[str, Sequence[float]],
    threshold: float,
    *,
    seed: int,
    resamples: int = 2000,
) -> SpreadIntervals:
    """Figures of `after` minus those of `before`, by the paired bootstrap: a resample draws the same items for both.

    Raises ValueError as `spread_intervals`, or where the two differ in their prompts or the number of items.
    """
    if before.keys() != after.keys():
        raise ValueError("a change of spread needs the same prompts before and after: pair them by name.")
    old, new = _matrix(before), _matrix({prompt: after[prompt] for prompt in before})
    if old.shape != new.shape:
        raise ValueError(f"{old.shape[1]} items before and {new.shape[1]} after: keep the items answered in both.")

    def change(drawn: FloatArray) -> tuple[Spread, Spread]:
        old_means, new_means = old @ drawn / drawn.sum(), new @ drawn / drawn.sum()
        return spread_of(old_means, threshold), spread_of(new_means, threshold)

    return _intervals(change, old.shape[1], seed, resamples)


def scaling(runs: Sequence[tuple[int, Spread]]) -> tuple[Scaling, ...]:
    """What more training prompts are worth: (number of training prompts, spread) of each run, by rising number.

    Raises ValueError where the runs have different thresholds or numbers of test prompts.
    """
    if len({(found.threshold, found.prompts) for _, found in runs}) > 1:
        raise ValueError("the runs were tested on different prompts or thresholds: their spreads do not compare.")
    table: list[Scaling] = []
    for number in sorted({number for number, _ in runs}):
        some = [found for trained_on, found in runs if trained_on == number]
        means = np.array([found.mean for found in some])
        table.append(
            Scaling(
                training_prompts=number,
                runs=len(some),
                mean=float(means.mean()),
                mean_deviation=float(means.std(ddof=1)) if len(some) > 1 else None,
                deviation=float(np.mean([found.deviation for found in some])),
                worst_tenth=float(np.mean([found.worst_tenth for found in some])),
                top=float(np.mean([found.top for found in some])),
                top_above=float(np.mean([found.top_above for found in some])),
            )
        )
    return tuple(table)


def _matrix(accuracy: Mapping[str, Sequence[float]]) -> FloatArray:
    """[prompts, items]"""
    if not accuracy or len({len(items) for items in accuracy.values()}) > 1 or not all(map(len, accuracy.values())):
        raise ValueError("intervals over items need the same items under every prompt: keep those answered in all.")
    hits = np.array(list(accuracy.values()), np.float64)
    if not np.isfinite(hits).all():
        raise ValueError(f"{int((~np.isfinite(hits)).sum())} items are not finite: drop them under every prompt.")
    return hits


def _intervals(
    figures: Callable[[FloatArray], Spread | tuple[Spread, Spread]], items: int, seed: int, resamples: int
) -> SpreadIntervals:
    """`figures` takes how often a resample drew each item [items]; it gives a spread, or (old, new) to subtract."""

    def interval(name: Callable[[Spread], float]) -> Interval:
        def figure(rows: FloatArray) -> float:
            found = figures(np.bincount(rows.astype(np.intp), minlength=items).astype(np.float64))
            return name(found) if isinstance(found, Spread) else name(found[1]) - name(found[0])

        return bootstrap(figure, np.arange(items, dtype=np.float64), seed=seed, resamples=resamples)

    return SpreadIntervals(
        mean=interval(lambda one: one.mean),
        deviation=interval(lambda one: one.deviation),
        worst_tenth=interval(lambda one: one.worst_tenth),
        top=interval(lambda one: one.top),
        top_above=interval(lambda one: one.top_above),
    )
