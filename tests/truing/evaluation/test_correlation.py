import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truing.evaluation.correlation import COEFFICIENTS, Coefficient, correlation, is_constant

scores = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=12)


def test_by_hand() -> None:
    # x = 1 2 3 4, y = 1 3 2 4. Deviations -1.5 -.5 .5 1.5 and -1.5 .5 -.5 1.5: r = (2.25 - .25 - .25 + 2.25) / 5 = .8, and
    # the ranks are the values. Of 6 pairs 5 agree, 1 does not: tau = 4/6.
    x, y = np.array([1.0, 2, 3, 4]), np.array([1.0, 3, 2, 4])
    assert correlation(x, y, "pearson") == pytest.approx(0.8)
    assert correlation(x, y, "spearman") == pytest.approx(0.8)
    assert correlation(x, y, "kendall") == pytest.approx(4 / 6)


def test_kendall_is_tau_b() -> None:
    # x = 1 1 2, y = 1 2 3: pairs +, + and one tied in x: 2 / sqrt((3 - 1) 3) = .8165; tau-a would be 2/3.
    found = correlation(np.array([1.0, 1, 2]), np.array([1.0, 2, 3]), "kendall")
    assert found == pytest.approx(2 / math.sqrt(6))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_where_there_is_no_order_there_is_no_figure(coefficient: Coefficient) -> None:
    rising = np.array([1.0, 2, 3])
    assert math.isnan(correlation(rising, np.array([2.0, 2, 2]), coefficient))
    assert math.isnan(correlation(rising, np.array([np.nan, np.nan, 3]), coefficient))
    assert math.isnan(correlation(np.zeros(0), np.zeros(0), coefficient))
    # Without the first row, the second column is constant.
    assert math.isnan(correlation(np.array([np.nan, 1, 2]), np.array([1.0, 2, 2]), coefficient))
    assert correlation(np.array([np.nan, 1, 2]), np.array([0.0, 2, 3]), coefficient) == pytest.approx(1)
    with pytest.raises(ValueError, match="equally long"):
        correlation(rising, np.array([1.0, 2]), coefficient)


def test_what_is_constant() -> None:
    assert is_constant(np.array([2.0, 2.0]))
    assert is_constant(np.zeros(0))
    assert not is_constant(np.array([2.0, 2.5]))


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
@given(scores)
@settings(max_examples=40)
def test_symmetric_and_mirrored(coefficient: Coefficient, pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array([pair[i] for pair in pairs], dtype=np.float64) for i in (0, 1))
    found = correlation(x, y, coefficient)
    assert correlation(y, x, coefficient) == pytest.approx(found, nan_ok=True)
    assert correlation(x, -y, coefficient) == pytest.approx(-found, nan_ok=True)
    assert correlation(3 * x + 1, y, coefficient) == pytest.approx(found, nan_ok=True)
