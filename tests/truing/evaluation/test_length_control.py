import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.truing.evaluation.recorded import alpaca_preferences
from tests.vectors import vector
from truing.evaluation.length_control import (
    Gamed,
    LengthControlled,
    Weights,
    is_extreme,
    length_controlled_win_rate,
    predicted,
    predicted_between,
)
from truing.evaluation.win_rate import from_alpaca

FloatArray = NDArray[np.float64]
REFIT = ["claude-2", "vicuna-13b-v1.5-togetherai", "alpaca-7b"]

# Two more models of the table that the vector names (w_tanh_len, w_difficulty, w_bias).
MISTRAL_MEDIUM = Weights(-1.7911049898127276, 1.0462557091295406, -1.1677342709976499)
GPT4_GAMED = Weights(-2.9836837676521406, 0.6193629220101485, -2.2518120065626768)
WIZARDLM_13B = Weights(-1.8367553752308368, 1.0170053665302965, -3.0118560659008766)


def recorded(model: str) -> tuple[list[float | None], list[int], list[int]]:
    row = alpaca_preferences()[model]
    lengths = ([length or 0 for length in row[name]] for name in ("len_baseline", "len_model"))
    return [from_alpaca(preference) for preference in row["preference"]], *lengths


@pytest.mark.parametrize("model", REFIT)
def test_the_minimal_form_reproduces_the_vector(model: str) -> None:
    expected = vector(f"ae_{model}")["expected"]
    found = length_controlled_win_rate(*recorded(model), resamples=0)
    assert found.length_controlled == pytest.approx(expected["lc_minimal_refit"], abs=1e-3)
    length, bias = expected["lc_minimal_coef"].values()
    assert (found.weights.length, found.weights.bias) == pytest.approx((length, bias), abs=2e-3)
    assert found.weights.difficulty == 0
    assert found.strength == pytest.approx(expected["lc_minimal_C"][0])
    assert found.standard_error == pytest.approx(0, abs=1e-9)
    assert (found.interval, found.n, found.n_missing) == (None, 805, 0)


@pytest.mark.parametrize("model", REFIT)
def test_lengths_reproduce_the_vector(model: str) -> None:
    _, baseline, own = recorded(model)
    gaps = np.subtract(baseline, own)
    assert gaps.std(ddof=1) == pytest.approx(vector(f"ae_{model}")["expected"]["std_len_diff_ddof1"], abs=1e-6)


def published_weights() -> dict[str, Weights]:
    stored = {model: vector(f"ae_{model}")["input"]["weights_tanh_len,difficulty,bias"] for model in REFIT}
    return {model: Weights(*found) for model, found in stored.items()} | {
        "gpt4_gamed": GPT4_GAMED,
        "wizardlm-13b": WIZARDLM_13B,
    }


def test_stored_weights_give_the_published_figures() -> None:
    case = vector("ae_lc_surrogate")
    d, p = (np.array(case["input"]["difficulty_distribution"][name]) for name in ("d", "p"))
    for model, weights in published_weights().items():
        chances = 100 * predicted(weights, d)
        mean = float(p @ chances)
        assert mean == pytest.approx(case["expected"][model]["lc"], abs=case["tolerance"]), model
        error = case["expected"][model]["lc_se"]
        if error is not None:
            assert math.sqrt(p @ (chances - mean) ** 2 / 804) == pytest.approx(error, abs=case["tolerance"])
    between = predicted_between(published_weights()["claude-2"], MISTRAL_MEDIUM, d)
    expected = case["expected"]["predict_winrate(claude-2,mistral-medium)"]
    assert p @ between == pytest.approx(expected, abs=case["tolerance"])
    back = predicted_between(MISTRAL_MEDIUM, published_weights()["claude-2"], d)
    np.testing.assert_allclose(between + back, 1)


def stand_ins() -> tuple[list[float], Gamed]:
    """Tables of the published form's shape: how well models do on an instruction, and alpaca-7b told to be verbose and
    concise in the place of the gamed ones."""
    rows = [row["preference"] for row in alpaca_preferences().values()]
    means = np.nanmean(np.array(rows, dtype=float), axis=0)
    d = (means - means.mean()) / means.std()
    preferences: list[float] = []
    gaps: list[float] = []
    difficulty: list[float] = []
    for model in ("alpaca-7b_verbose", "alpaca-7b_concise"):
        p, baseline, own = recorded(model)
        gap = np.subtract(baseline, own)
        known = [i for i, one in enumerate(p) if one is not None]
        preferences += [one for one in p if one is not None]
        gaps += (gap / gap.std(ddof=1))[known].tolist()
        difficulty += d[known].tolist()
    return d.tolist(), Gamed(preferences, gaps, difficulty)


def optimum(
    found: LengthControlled, p: Sequence[float | None], gaps: FloatArray, d: list[float], gamed: Gamed
) -> FloatArray:
    """Minimum of C sum_i w_i loss_i + |w|_1 by another method; gamed rows have weight .1 and no bias."""
    from scipy.optimize import minimize

    own = np.column_stack([np.tanh(gaps / gaps.std(ddof=1)), d, np.ones(len(d))])
    others = np.column_stack([np.tanh(gamed.standardised_gaps), gamed.difficulty, np.zeros(len(gamed.difficulty))])
    x, y = np.vstack([own, others]), np.append(np.array(p, dtype=float), gamed.preferences)
    w = np.append(np.ones(len(own)), np.full(len(others), 0.1))

    def objective(b: FloatArray) -> float:
        z = x @ b
        return found.strength * w @ (y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)) + np.abs(b).sum()

    return minimize(objective, [-1.0, 0, -1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).x


def test_difficulty_and_gamed_rows_enter_as_published() -> None:
    """The authors' tables are not to be had here: with stand-ins of their shape, against the objective written out."""
    p, baseline, own = recorded("claude-2")
    d, gamed = stand_ins()
    found = length_controlled_win_rate(p, baseline, own, difficulty=d, gamed=gamed, resamples=0)
    weights = found.weights
    expected = optimum(found, p, np.subtract(baseline, own).astype(float), d, gamed)
    assert (weights.length, weights.difficulty, weights.bias) == pytest.approx(tuple(expected), abs=5e-3)
    chances = 100 / (1 + np.exp(-(weights.bias + weights.difficulty * np.array(d))))
    assert found.length_controlled == pytest.approx(chances.mean())
    assert found.standard_error == pytest.approx(chances.std(ddof=1) / math.sqrt(805))
    assert found.standard_error > 0
    # The gamed rows pull w_length to their own: without them it is another.
    alone = length_controlled_win_rate(p, baseline, own, difficulty=d, resamples=0)
    assert abs(alone.weights.length - weights.length) > 0.05


def test_missing_preferences_are_predicted_but_not_fitted() -> None:
    p, baseline, own = recorded("claude-2")
    d, _ = stand_ins()
    holes = [None if i % 10 == 0 else one for i, one in enumerate(p)]
    found = length_controlled_win_rate(holes, baseline, own, difficulty=d, resamples=0)
    assert (found.n, found.n_missing) == (724, 81)
    assert found.length_controlled == pytest.approx(100 * predicted(found.weights, d).mean())


def test_the_baseline_against_itself_is_even() -> None:
    found = length_controlled_win_rate([0.5] * 20, [30] * 20, [30] * 20, resamples=0)
    assert (found.length_controlled, found.win_rate, found.extreme) == (pytest.approx(50), 50, False)


def test_swapping_the_models_mirrors_the_figure() -> None:
    p, baseline, own = recorded("claude-2")
    model = length_controlled_win_rate(p, baseline, own, resamples=0)
    mirrored = length_controlled_win_rate([None if x is None else 1 - x for x in p], own, baseline, resamples=0)
    # Twice as exact as liblinear's tolerance.
    assert model.length_controlled + mirrored.length_controlled == pytest.approx(100, abs=0.05)


def test_a_model_that_wins_by_length_alone() -> None:
    # It wins with .9 where it is longer by 100, with .1 where it is shorter by 100: at equal length it wins half.
    gaps = [-100, 100] * 200
    found = length_controlled_win_rate([0.9, 0.1] * 200, [200 + gap for gap in gaps], [200] * 400, resamples=4)
    assert found.length_controlled == pytest.approx(50, abs=0.1)
    assert found.weights.length < -2
    assert found.interval is not None
    assert found.interval.low <= 50.1
    assert found.interval.high >= 49.9


def test_the_refit_interval_is_wider_than_the_published_error() -> None:
    found = length_controlled_win_rate(*recorded("vicuna-13b-v1.5-togetherai"), resamples=8, seed=1)
    assert found.interval is not None
    assert found.interval.n == 805
    assert found.interval.low < found.length_controlled < found.interval.high
    assert found.interval.high - found.interval.low > 4
    # 6.96 -> 18.27: more than 10 points, yet not over 6.96 + 93.04 / 4 = 30.2.
    assert not found.extreme


FEW = ([1.0, 0.0, 0.5, 0.9, 0.2, 0.7, 0.3, 0.8], [20] * 8, [10, 25, 30, 44, 50, 61, 70, 35])


def test_a_resample_of_too_few_different_instructions_is_left_out() -> None:
    # Five folds need five instructions that differ. Of these six resamples of eight rows, five have as many (5, 5, 6, 6, 5)
    # and one has four; of the six of the first five rows, none has.
    drawn = np.random.default_rng(0)
    assert [len(np.unique(drawn.integers(8, size=8))) for _ in range(6)] == [5, 5, 6, 6, 5, 4]
    found = length_controlled_win_rate(*FEW, resamples=6, seed=0)
    assert found.interval is not None
    assert (found.interval.n, found.interval.value) == (8, found.length_controlled)
    drawn = np.random.default_rng(0)
    assert max(len(np.unique(drawn.integers(5, size=5))) for _ in range(6)) == 4
    found = length_controlled_win_rate(*(column[:5] for column in FEW), resamples=6, seed=0)
    assert (found.interval, found.n) == (None, 5)
    assert math.isfinite(found.length_controlled)


def test_when_a_change_is_extreme() -> None:
    # From 20: below min(15, 10) = 10, above max(40, 30) = 40. From 80: below min(60, 70), above max(85, 90).
    assert [is_extreme(20, lc) for lc in (9.9, 10.1, 39.9, 40.1)] == [True, False, False, True]
    assert [is_extreme(80, lc) for lc in (59.9, 60.1, 89.9, 90.1)] == [True, False, False, True]


def test_bad_input_says_what_to_do() -> None:
    p, lengths = [0.2, 0.4, 0.6, 0.8, 1.0], [10, 20, 30, 40, 50]
    with pytest.raises(ValueError, match="every length gap is -7: length cannot be told from quality"):
        length_controlled_win_rate(p, lengths, [length + 7 for length in lengths])
    with pytest.raises(ValueError, match="4 judged instructions: the cross-validation has 5 folds"):
        length_controlled_win_rate([*p[:4], math.nan], lengths, [1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="0 judged instructions"):
        length_controlled_win_rate([None] * 5, lengths, [1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="difficulty has 3 entries for 5 preferences"):
        length_controlled_win_rate(p, lengths, [1, 2, 3, 4, 5], difficulty=[0.0] * 3)
    with pytest.raises(ValueError, match="a preference is not in"):
        length_controlled_win_rate([1.5, *p[1:]], lengths, [1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="gamed table's columns differ"):
        length_controlled_win_rate(p, lengths, [1, 2, 3, 4, 5], gamed=Gamed([0.5], [0.1, 0.2], [0.0]))
