"""AlpacaEval's length-controlled win rate: what the win rate would be, were both outputs equally long.

Dubois et al., arXiv 2404.04475. A logistic regression without intercept explains the preference of instruction i by

    P(model wins) = sigmoid(w_length tanh(gap_i / std(gap)) + w_difficulty difficulty_i + w_bias)

with gap = characters of the baseline's output minus the model's, and is read off at gap 0. The published form
("length_controlled_v1") takes the difficulty of each of its 805 instructions and the gamed rows from two tables of its
authors, which are the user's to bring; without them it is their "length_controlled_minimal". The two are different figures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from truing.algorithms.statistics import Interval, bootstrap_where_defined
from truing.evaluation.length_fit import FOLDS, fit_weights

FloatArray = NDArray[np.float64]

GAMED_WEIGHT = 0.2
"""Weight of one gamed row for each instruction, shared among the gamed models: lambda of the paper's regularisation."""
RESAMPLES = 20
"""Each resample is a whole cross-validated fit: enough to see how wide the interval is, take 1000 for one to print."""


@dataclass(frozen=True, slots=True)
class Gamed:
    """Rows of models made longer or shorter on purpose, which tie w_length to what length alone is worth.

    One of each a row: `preferences` in [0, 1], `standardised_gaps` (gap / std(gap), before tanh), `difficulty`.
    `models` is the number of such models: two in AlpacaEval's table, one told to be verbose and one to be concise.
    """

    preferences: Sequence[float]
    standardised_gaps: Sequence[float]
    difficulty: Sequence[float]
    models: int = 2


@dataclass(frozen=True, slots=True)
class Weights:
    """Coefficients of the fit; `difficulty` is 0 where it was fitted without."""

    length: float
    difficulty: float
    bias: float


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """`length_controlled`, `standard_error`, `win_rate` and `interval` in percent.

    `standard_error` is AlpacaEval's: of the predictions over instructions, given the fit. It leaves out that the fit
    itself is uncertain, is far too small, and is 0 in the minimal form, whose predictions are all the same. `interval`
    refits on resampled instructions: our own addition, None where it was not asked for, or where most resamples have too
    few different instructions to fit. `strength` is the C that
    cross-validation chose. `extreme`: the length control moved the win rate so far that the fit may have failed.
    `n_missing` of the instructions have no preference and were not fitted, though predicted as AlpacaEval does.
    """

    length_controlled: float
    standard_error: float
    interval: Interval | None
    win_rate: float
    weights: Weights
    strength: float
    extreme: bool
    n: int
    n_missing: int


def length_controlled_win_rate(
    preferences: Sequence[float | None],
    baseline_lengths: Sequence[int],
    model_lengths: Sequence[int],
    *,
    difficulty: Sequence[float] | None = None,
    gamed: Gamed | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> LengthControlled:
    """Win rate at equal length from `preferences`: P(model wins) in [0, 1], one an instruction, None or NaN = no verdict.

    Lengths in characters, 0 for an empty output. `difficulty` follows the instructions: a shuffled set with the table
    of another order gets a wrong figure. With `difficulty` and `gamed` it is length_controlled_v1, with neither the
    minimal form. `resamples` and `seed` are those of `interval`; 0 resamples: none.
    Raises ValueError for columns of different length, a preference outside [0, 1], fewer than five judged instructions,
    or a length gap that is the same everywhere and not 0, which cannot be told from quality.
    """
    target, gaps, hardness = _columns(preferences, baseline_lengths, model_lengths, difficulty)
    fixed = _gamed_rows(gamed, hardness is not None)

    def figure(drawn: FloatArray) -> float:
        rows = drawn.astype(np.intp)
        of_rows = None if hardness is None else hardness[rows]
        judged = rows[~np.isnan(target[rows])]
        # Copies of an instruction stay in one fold, and each gamed row is a group of its own.
        groups = len(fixed[1]) + len(np.unique(judged))
        if min(len(judged), groups) < FOLDS or not _controllable(gaps[rows]):
            return math.nan
        return 100 * float(predicted(_fit(target[rows], gaps[rows], of_rows, fixed, rows)[0], of_rows).mean())

    rows = np.arange(len(target), dtype=np.float64)
    weights, strength = _fit(target, gaps, hardness, fixed, rows.astype(np.intp))
    chances = 100 * np.broadcast_to(predicted(weights, hardness), len(target))
    raw = 100 * float(np.nanmean(target))
    return LengthControlled(
        length_controlled=float(chances.mean()),
        standard_error=float(chances.std(ddof=1)) / math.sqrt(len(target)),
        interval=bootstrap_where_defined(figure, rows, seed=seed, resamples=resamples) if resamples else None,
        win_rate=raw,
        weights=weights,
        strength=strength,
        extreme=is_extreme(raw, float(chances.mean())),
        n=int((~np.isnan(target)).sum()),
        n_missing=int(np.isnan(target).sum()),
    )


def predicted(weights: Weights, difficulty: Sequence[float] | FloatArray | None) -> FloatArray:
    """P(model wins) at equal length, by instruction: sigmoid(w_bias + w_difficulty d_i). Shape [1] without difficulty."""
    d = np.zeros(1) if difficulty is None else np.asarray(difficulty, dtype=np.float64)
    return np.exp(-np.logaddexp(0, -(weights.bias + weights.difficulty * d)))


def predicted_between(model: Weights, baseline: Weights, difficulty: Sequence[float] | FloatArray) -> FloatArray:
    """P(model beats another model) at equal length, by instruction, from the weights that each has against one baseline.

    The differences of their weights take the place of the weights; those of length play no part.
    """
    difference = Weights(0.0, model.difficulty - baseline.difficulty, model.bias - baseline.bias)
    return predicted(difference, difficulty)


def is_extreme(win_rate: float, length_controlled: float) -> bool:
    """AlpacaEval's warning, both in percent: the change exceeds 10 points and a quarter of the way to 0 or to 100."""
    too_low = length_controlled < min(0.75 * win_rate, win_rate - 10)
    too_high = length_controlled > max(win_rate + (100 - win_rate) / 4, win_rate + 10)
    return too_low or too_high


def _columns(
    preferences: Sequence[float | None],
    baseline_lengths: Sequence[int],
    model_lengths: Sequence[int],
    difficulty: Sequence[float] | None,
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    n = len(preferences)
    others = {"baseline_lengths": baseline_lengths, "model_lengths": model_lengths, "difficulty": difficulty}
    for name, column in others.items():
        if column is not None and len(column) != n:
            raise ValueError(
                f"{name} has {len(column)} entries for {n} preferences: give one an instruction, in order."
            )
    target = np.asarray([math.nan if p is None else p for p in preferences], dtype=np.float64)
    judged = target[~np.isnan(target)]
    if ((judged < 0) | (judged > 1)).any():
        raise ValueError("a preference is not in [0, 1]: convert a 1..2 scale with win_rate.from_alpaca.")
    if len(judged) < FOLDS:
        raise ValueError(
            f"{len(judged)} judged instructions: the cross-validation has {FOLDS} folds, give as many or more."
        )
    gaps = np.asarray(baseline_lengths, dtype=np.float64) - np.asarray(model_lengths, dtype=np.float64)
    if not _controllable(gaps):
        raise ValueError(
            f"every length gap is {gaps[0]:g}: length cannot be told from quality, report the win rate alone."
        )
    return target, gaps, None if difficulty is None else np.asarray(difficulty, dtype=np.float64)


def _controllable(gaps: FloatArray) -> bool:
    """All gaps 0 is fine (equal length already), all gaps the same and not 0 is not."""
    return not gaps.any() or gaps.std() > 0


def _gamed_rows(gamed: Gamed | None, with_difficulty: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Features [rows, 2 or 3], targets and weights of the gamed rows; the feature of the bias is 0."""
    if gamed is None:
        return np.zeros((0, 2 + with_difficulty)), np.zeros(0), np.zeros(0)
    if not len(gamed.preferences) == len(gamed.standardised_gaps) == len(gamed.difficulty):
        raise ValueError(
            "the gamed table's columns differ in length: each row has a preference, a gap and a difficulty."
        )
    columns = [np.tanh(gamed.standardised_gaps), *([gamed.difficulty] if with_difficulty else [])]
    n = len(gamed.preferences)
    features = np.column_stack([*columns, np.zeros(n)])
    return features, np.asarray(gamed.preferences, dtype=np.float64), np.full(n, GAMED_WEIGHT / gamed.models)


def _fit(
    target: FloatArray,
    gaps: FloatArray,
    difficulty: FloatArray | None,
    fixed: tuple[FloatArray, FloatArray, FloatArray],
    instructions: NDArray[np.intp],
) -> tuple[Weights, float]:
    """The gamed rows first, as in AlpacaEval: the folds follow the order. A row drawn twice stays in one fold."""
    known = ~np.isnan(target)
    lengths = np.tanh(gaps / gaps.std(ddof=1)) if gaps.any() else gaps
    columns = [lengths, *([] if difficulty is None else [difficulty]), np.ones(len(target))]
    features = np.vstack([fixed[0], np.column_stack(columns)[known]])
    groups = np.append(np.arange(len(fixed[1])), len(fixed[1]) + instructions[known])
    coefficients, strength = fit_weights(
        features, np.append(fixed[1], target[known]), np.append(fixed[2], np.ones(int(known.sum()))), groups
    )
    length, *middle, bias = coefficients
    return Weights(length, middle[0] if middle else 0.0, bias), strength
