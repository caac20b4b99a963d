import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vectors import vector
from truing.evaluation.win_rate import from_alpaca, win_rate

preferences = st.lists(st.one_of(st.just(0.5), st.none(), st.floats(0, 1)), min_size=1, max_size=30).filter(
    lambda sampled: any(p is not None for p in sampled)
)


@pytest.mark.parametrize("case_id", ["ae_winrate_small", "ae_winrate_discrete"])
def test_reproduces_alpaca_eval(case_id: str) -> None:
    case = vector(case_id)
    figures = win_rate([from_alpaca(preference) for preference in case["input"]])
    for name, expected in case["expected"].items():
        assert getattr(figures, name) == pytest.approx(expected, abs=case["tolerance"]), name


def test_small_case_by_hand() -> None:
    # .2 .5 .8 and one missing: mean .5, variance (.09 + 0 + .09)/2 = .09, SE .3/sqrt 3; one win, one draw, one loss.
    figures = win_rate([0.2, None, 0.5, 0.8])
    assert figures.win_rate == pytest.approx(50)
    assert figures.standard_error == pytest.approx(30 / math.sqrt(3))
    assert figures.discrete_win_rate == 50
    assert (figures.n_wins, figures.n_wins_base, figures.n_draws) == (1, 1, 1)
    assert (figures.n_total, figures.n_missing, figures.interval.n) == (3, 1, 3)
    assert figures.interval.low == pytest.approx(20)  # all three draws hit .2 in 1/27 = 3.7 % > 2.5 % of resamples
    assert figures.interval.high == pytest.approx(80)


@given(preferences)
@settings(deadline=None, max_examples=30)
def test_swapping_the_models_mirrors_the_figures(sampled: list[float | None]) -> None:
    model = win_rate(sampled)
    baseline = win_rate([None if p is None else 1 - p for p in sampled])
    assert model.win_rate + baseline.win_rate == pytest.approx(100)
    assert model.interval.low + baseline.interval.high == pytest.approx(100)
    assert model.standard_error == pytest.approx(baseline.standard_error, abs=1e-6, nan_ok=True)


@given(preferences)
@settings(deadline=None, max_examples=30)
def test_every_comparison_is_counted_once(sampled: list[float | None]) -> None:
    figures = win_rate(sampled)
    assert figures.n_wins + figures.n_wins_base + figures.n_draws == figures.n_total
    assert figures.n_total + figures.n_missing == len(sampled)


def test_a_draw_is_exactly_a_half() -> None:
    figures = win_rate([0.5, math.nextafter(0.5, 1), math.nextafter(0.5, 0)])
    assert (figures.n_draws, figures.n_wins, figures.n_wins_base) == (1, 1, 1)


def test_one_comparison_has_no_standard_error() -> None:
    figures = win_rate([0.75, math.nan])
    assert (figures.win_rate, figures.interval.low, figures.n_missing) == (75, 75, 1)
    assert math.isnan(figures.standard_error)


def test_nothing_to_report_is_an_error() -> None:
    with pytest.raises(ValueError, match="none of 2 comparisons"):
        win_rate([None, math.nan])
    with pytest.raises(ValueError, match="not in \\[0, 1\\]"):
        win_rate([0.5, 1.5])


def test_alpaca_scale() -> None:
    assert [from_alpaca(p) for p in (1.0, 2.0, 1.5, 0.0, None, math.nan)] == [0.0, 1.0, 0.5, 0.5, None, None]
    for outside in (0.5, 2.5, -1.0):
        with pytest.raises(ValueError, match="AlpacaEval's scale"):
            from_alpaca(outside)
