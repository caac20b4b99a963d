"""Do two columns of scores go together: Pearson's r, Spearman's rho and Kendall's tau-b."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Coefficient = Literal["pearson", "spearman", "kendall"]
COEFFICIENTS: tuple[Coefficient, ...] = ("pearson", "spearman", "kendall")


def correlation(one: FloatArray, other: FloatArray, coefficient: Coefficient) -> float:
    """Correlation of two columns of shape [n], in [-1, 1]; rows with a NaN in either are left out.

    NaN where fewer than two rows are left or a column is constant: no order to compare. Kendall's is tau-b, which
    rewards ties that both columns have: rounded scores correlate better than the same scores unrounded.
    Raises ValueError where the columns differ in length.
    """
    import scipy.stats as module  # pyright: ignore[reportMissingTypeStubs]

    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"columns of shape {one.shape} and {other.shape}: a correlation is of two equally long ones.")
    x, y = both_known(one, other)
    if len(x) < 2 or is_constant(x) or is_constant(y):
        return float("nan")
    stats: Any = module
    statistics = {"pearson": stats.pearsonr, "spearman": stats.spearmanr, "kendall": stats.kendalltau}
    return float(statistics[coefficient](x, y).statistic)


def both_known(one: FloatArray, other: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The rows of both columns without those where either is NaN."""
    known = ~(np.isnan(one) | np.isnan(other))
    return one[known], other[known]


def is_constant(values: FloatArray) -> bool:
    """Whether all values are the same; so are none at all."""
    return len(values) == 0 or bool((values == values[0]).all())
