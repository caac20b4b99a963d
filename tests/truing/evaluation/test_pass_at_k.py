from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vector
from truing.evaluation.pass_at_k import pass_at_k, pass_at_k_over


def test_pass_at_k_reproduces_the_vector() -> None:
    case = vector("pass_at_k")
    for (samples, passed, k), expected in zip(case["input"], case["expected"], strict=True):
        assert pass_at_k(samples, passed, k) == pytest.approx(expected, abs=case["tolerance"])


@given(st.integers(1, 8), st.data())
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_passed_sample(samples: int, data: st.DataObject) -> None:
    passed, k = data.draw(st.integers(0, samples)), data.draw(st.integers(1, samples))
    subsets = list(combinations(range(samples), k))
    share = sum(min(subset) < passed for subset in subsets) / len(subsets)
    assert pass_at_k(samples, passed, k) == pytest.approx(share)


def test_pass_at_one_is_the_share_that_passed_and_small_rates_keep_their_digits() -> None:
    assert pass_at_k(5, 2, 1) == pytest.approx(0.4)
    assert pass_at_k(10**9, 1, 1) == pytest.approx(1e-9, rel=1e-12)
    assert pass_at_k(100_000, 50_000, 100) == pytest.approx(1.0)
    assert (pass_at_k(5, 0, 3), pass_at_k(5, 3, 3), pass_at_k(5, 5, 5)) == (0.0, 1.0, 1.0)


def test_the_rate_over_problems_leaves_out_those_with_too_few_samples() -> None:
    # k = 2: of (4, 2) 1 - C(2,2)/C(4,2) = 5/6, of (2, 0) 0; (1, 1) has one sample. Mean 5/12.
    found = pass_at_k_over([(4, 2), (2, 0), (1, 1)], 2, seed=0)
    assert found.rate.value == pytest.approx(5 / 12)
    assert (found.k, found.rate.n, found.too_few) == (2, 2, 1)
    assert (found.rate.low, found.rate.high) == pytest.approx((0, 5 / 6))  # both draws alike in 1/4 of resamples each


def test_bad_counts_are_refused() -> None:
    for samples, passed, k in ((3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)):
        with pytest.raises(ValueError, match="lie within the samples"):
            pass_at_k(samples, passed, k)
    with pytest.raises(ValueError, match="none of 2 problems has 5 samples"):
        pass_at_k_over([(4, 1), (1, 1)], 5, seed=0)
