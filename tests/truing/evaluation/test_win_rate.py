import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.truing.evaluation.recorded import alpaca_preferences, leaderboard
from tests.vectors import vector
from truing.evaluation.win_rate import average_length, from_alpaca, win_rate
from truing.labeling.verdicts import preference_from_logprobs, unswitched
from truing.records import Unparsable

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
@settings(max_examples=30)
def test_swapping_the_models_mirrors_the_figures(sampled: list[float | None]) -> None:
    model = win_rate(sampled)
    baseline = win_rate([None if p is None else 1 - p for p in sampled])
    assert model.win_rate + baseline.win_rate == pytest.approx(100)
    assert model.interval.low + baseline.interval.high == pytest.approx(100)
    assert model.standard_error == pytest.approx(baseline.standard_error, abs=1e-6, nan_ok=True)


@given(preferences)
@settings(max_examples=30)
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


def test_from_log_probabilities_to_a_win_rate() -> None:
    """AlpacaEval's whole way, with the parts that labeling has: read, turn back where switched, count."""
    # P(m) = .8: 1.2, not switched. P(m) = .9 switched: 1.1, turned back 1.9. M alone: 2. Neither: no preference.
    replies = [({"m": math.log(0.8), "M": math.log(0.2)}, False), ({"m": math.log(0.9), "M": math.log(0.1)}, True),
               ({"M": -0.1}, False), ({"The": -0.1}, True)]  # fmt: skip
    found = [(preference_from_logprobs(logprobs), switched) for logprobs, switched in replies]
    preferences = [
        None if isinstance(one, Unparsable) else from_alpaca(unswitched(one) if switched else one)
        for one, switched in found
    ]
    assert preferences[:3] == pytest.approx([0.2, 0.9, 1.0])
    figures = win_rate(preferences)
    assert figures.win_rate == pytest.approx(70)
    assert (figures.n_wins, figures.n_wins_base, figures.n_total, figures.n_missing) == (2, 1, 3, 1)


def test_average_length_is_cut_off() -> None:
    assert average_length([1, 2, 2]) == 1
    assert average_length([0, 0]) == 0
    with pytest.raises(ValueError, match="at least one"):
        average_length([])
    with pytest.raises(ValueError, match="length -1 is negative"):
        average_length([-1, 3])


@pytest.mark.parametrize("model", ["claude-2", "vicuna-13b-v1.5-togetherai", "alpaca-7b"])
def test_average_length_reproduces_the_vector(model: str) -> None:
    assert average_length(alpaca_preferences()[model]["len_model"]) == vector(f"ae_{model}")["expected"]["avg_length"]


def test_every_recorded_model_has_its_published_figures() -> None:
    """Counts and discrete rate to the last digit; win rate and SE as far as preferences stored to four decimals allow.

    A preference is off by up to 5e-5: the win rate by up to .005 points, and the SE, 100 sqrt(var / n), by up to
    100 * 5e-5 / sqrt(n - 1) = 1.8e-4 points. An output without a length is an empty one.
    """
    published = leaderboard()
    recorded = alpaca_preferences()
    assert set(recorded) - set(published) == {"text_davinci_003"}
    for model in sorted(set(recorded) & set(published)):
        row, expected = recorded[model], published[model]
        figures = win_rate([from_alpaca(preference) for preference in row["preference"]])
        for count in ("n_wins", "n_wins_base", "n_draws", "n_total"):
            assert getattr(figures, count) == int(expected[count]), (model, count)
        assert figures.n_total + figures.n_missing == 805
        assert figures.discrete_win_rate == pytest.approx(float(expected["discrete_win_rate"]), abs=1e-8), model
        assert figures.win_rate == pytest.approx(float(expected["win_rate"]), abs=5e-3), model
        assert figures.standard_error == pytest.approx(float(expected["standard_error"]), abs=1.8e-4), model
        assert average_length([length or 0 for length in row["len_model"]]) == int(expected["avg_length"]), model
