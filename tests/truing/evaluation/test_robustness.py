import math
from dataclasses import asdict

import numpy as np
import pytest

from tests.vectors import vector
from truing.evaluation.robustness import Spread, scaling, spread, spread_change, spread_intervals, spread_of


def items(hits: int, of: int = 4) -> list[float]:
    return [1.0] * hits + [0.0] * (of - hits)


def test_a_spread_by_hand() -> None:
    # Accuracies ¼, ½, ½, ¾: mean ½, squares of the differences 1/16 + 0 + 0 + 1/16, deviation √(1/32) = 0.1767767
    found = spread({"a": items(2), "b": items(1), "c": items(3), "d": items(2)}, threshold=0.5)
    assert (found.prompts, found.mean, found.worst, found.best) == (4, 0.5, 0.25, 0.75)
    assert found.deviation == pytest.approx(0.1767767)
    # A tenth of four is one prompt at least: the worst. Three of four reach ½.
    assert (found.worst_tenth, found.top, found.threshold) == (0.25, 0.75, 0.5)


def test_the_worst_tenth_of_twenty_is_two_prompts() -> None:
    # Accuracies 0, 1/20, 2/20, …, 19/20: (0 + 0.05)/2
    found = spread({str(i): items(i, 20) for i in range(20)}, threshold=0.9)
    assert found.worst_tenth == pytest.approx(0.025)
    # 18/20 and 19/20
    assert found.top == pytest.approx(0.1)


def test_one_prompt_has_no_spread() -> None:
    found = spread({"only": items(3)}, threshold=0.75)
    assert (found.mean, found.deviation, found.worst, found.best, found.worst_tenth, found.top) == (
        0.75, 0.0, 0.75, 0.75, 0.75, 1.0,
    )  # fmt: skip


def test_prompts_weigh_the_same_however_many_items_each_has() -> None:
    # 1 of 1 and 0 of 4: the mean over prompts is ½, over items 1/5.
    assert spread({"a": [1.0], "b": items(0)}, threshold=1.0).mean == 0.5


@pytest.mark.parametrize("accuracy", [{}, {"a": [1.0], "b": []}])
def test_no_prompt_or_one_without_items_is_refused(accuracy: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="at least one prompt, and items for each"):
        spread(accuracy, threshold=0.5)


def test_figures_reproduce_the_vector() -> None:
    case = vector("paft_stats")
    expected, tolerance = case["expected"], case["tolerance"]
    found = spread_of(case["input"], threshold=90)
    figures = [found.mean, found.deviation, found.sample_deviation, found.worst, found.best, found.top, found.top_above]
    names = ["mean", "std_ddof0", "std_ddof1", "min", "max", "top90_ge", "top90_gt"]
    assert figures == pytest.approx([expected[name] for name in names], abs=tolerance)


def test_above_and_at_the_threshold_differ() -> None:
    found = spread({"a": items(2), "b": items(3)}, threshold=0.5)
    assert (found.top, found.top_above) == (1.0, 0.5)


def test_the_sample_deviation_of_one_prompt_is_not_defined() -> None:
    assert spread({"only": items(3)}, threshold=0.5).sample_deviation is None
    # Accuracies ¼ and ¾: squares 2/16, over 1.
    assert spread({"a": items(1), "b": items(3)}, threshold=0.5).sample_deviation == pytest.approx(math.sqrt(1 / 8))


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a finite accuracy"):
        spread({"a": [1.0, math.nan]}, threshold=0.5)
    with pytest.raises(ValueError, match="1 items are not finite"):
        spread_intervals({"a": [1.0, math.nan]}, 0.5, seed=0)


def test_what_the_jobs_read_is_there() -> None:
    # jobs/supervised.py stores the spread as a dictionary and shows these.
    stored = asdict(spread({"a": items(2)}, threshold=0.5))
    assert {"prompts", "mean", "deviation", "worst", "worst_tenth", "top"} <= stored.keys()


def test_intervals_have_the_figures_of_the_spread_and_n_items() -> None:
    rng = np.random.default_rng(0)
    accuracy = {str(prompt): rng.integers(0, 2, 50).astype(float).tolist() for prompt in range(12)}
    whole, found = spread(accuracy, 0.5), spread_intervals(accuracy, 0.5, seed=0, resamples=200)
    for name in ("mean", "deviation", "worst_tenth", "top", "top_above"):
        interval = getattr(found, name)
        assert interval.value == getattr(whole, name)
        assert interval.n == 50
        assert interval.low <= interval.high


def test_prompts_that_share_every_answer_have_no_spread_in_any_resample() -> None:
    # The same hits under each prompt: resampled apart, the prompts would differ; resampled together they do not.
    found = spread_intervals({"a": items(2), "b": items(2)}, 0.5, seed=0, resamples=200)
    assert (found.deviation.low, found.deviation.high) == (0, 0)
    assert found.mean.low < 0.5 < found.mean.high


def test_a_change_is_paired_by_item() -> None:
    # After is before plus one right answer in four, on every prompt: +¼ whatever is drawn of the items 3, +0 without it.
    before, after = {"a": items(2), "b": items(1)}, {"a": items(3), "b": items(2)}
    found = spread_change(before, after, 0.5, seed=0, resamples=500)
    assert found.mean.value == 0.25
    same = spread_change(before, before, 0.5, seed=0, resamples=200)
    assert (same.mean.low, same.mean.high, same.top.low, same.deviation.high) == (0, 0, 0, 0)
    # Each figure is after minus before: Top at ½ is 1 after and ½ before.
    assert (found.top.value, found.worst_tenth.value) == (0.5, 0.25)


def test_intervals_need_the_same_items_under_every_prompt() -> None:
    with pytest.raises(ValueError, match="the same items under every prompt"):
        spread_intervals({"a": items(1), "b": items(1, 5)}, 0.5, seed=0)
    with pytest.raises(ValueError, match="the same items under every prompt"):
        spread_intervals({}, 0.5, seed=0)
    with pytest.raises(ValueError, match="the same prompts before and after"):
        spread_change({"a": items(1)}, {"b": items(1)}, 0.5, seed=0)
    with pytest.raises(ValueError, match="4 items before and 5 after"):
        spread_change({"a": items(1)}, {"a": items(1, 5)}, 0.5, seed=0)


def run_of(*hits: int, threshold: float = 0.5) -> Spread:
    return spread({str(i): items(some) for i, some in enumerate(hits)}, threshold)


def test_the_scaling_table_by_hand() -> None:
    # One prompt: means ½ and ¼ of two runs, mean 3/8, deviation √(2 · 1/64) = 0.1767767. Ten prompts: one run, mean ¾.
    table = scaling([(10, run_of(3, 3)), (1, run_of(2, 2)), (1, run_of(1, 1))])
    assert [(row.training_prompts, row.runs, row.mean) for row in table] == [(1, 2, 0.375), (10, 1, 0.75)]
    assert table[0].mean_deviation == pytest.approx(0.1767767)
    assert table[1].mean_deviation is None
    # At one prompt ½ reaches the threshold in one run of two, and nothing exceeds it.
    assert [(row.top, row.top_above, row.worst_tenth) for row in table] == [(0.5, 0, 0.375), (1, 1, 0.75)]
    assert scaling([]) == ()
    with pytest.raises(ValueError, match="their spreads do not compare"):
        scaling([(1, run_of(1)), (2, run_of(1, 1))])
