import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vectors import vector
from truing.algorithms.best_of_n import expected_maximum
from truing.evaluation.diversity import distinct, ead, embedding_diversity, ngram_cosine_diversity, per_input
from truing.evaluation.output_sets import best_of_n_draws, best_of_n_sets, overall, pooled


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (distinct, "averaged_distinct_ngrams"),
        (ead, "ead_averaged_distinct_ngrams"),
        (ngram_cosine_diversity, "cosine_similarity_2d_diversity"),
    ],
)
def test_the_pooled_set_reproduces_the_released_code(metric, name: str) -> None:
    case = vector("kirk_sets_3x3")
    expected = case["expected"][f"overall_{name}"]
    assert overall(metric, case["input"]) == pytest.approx(expected, abs=case["tolerance"])
    # Nine drawn of nine without replacement are the same set.
    assert overall(metric, case["input"], size=9) == pytest.approx(expected, abs=case["tolerance"])


@given(st.lists(st.lists(st.integers(), max_size=4), max_size=5), st.data())
def test_a_pooled_sample_is_drawn_without_replacement(outputs: list[list[int]], data: st.DataObject) -> None:
    everything = pooled(outputs)
    assert everything == [output for some in outputs for output in some]
    if everything:
        size = data.draw(st.integers(1, len(everything)))
        sample = pooled(outputs, size=size, seed=data.draw(st.integers(0, 9)))
        assert len(sample) == size
        assert not Counter(sample) - Counter(everything)


def test_the_seed_decides_the_pooled_sample() -> None:
    outputs = [list(range(50)), list(range(50, 100))]
    assert pooled(outputs, size=10, seed=1) == pooled(outputs, size=10, seed=1)
    assert pooled(outputs, size=10, seed=1) != pooled(outputs, size=10, seed=2)


@pytest.mark.parametrize("size", [0, 4])
def test_a_pooled_sample_that_cannot_be_drawn_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"cannot draw {size} of 3 outputs"):
        pooled([["a", "b"], ["c"]], size=size)


def test_embeddings_are_pooled_too() -> None:
    # cosines of (1,0) (0,1) (1,1): 0, 1/sqrt 2, 1/sqrt 2
    rows = [[np.array([1.0, 0.0])], [np.array([0.0, 1.0]), np.array([1.0, 1.0])]]
    assert overall(embedding_diversity, rows) == pytest.approx(1 - math.sqrt(2) / 3)


def test_the_best_of_n_wins_as_often_as_combinations_say() -> None:
    # K = 3, n = 2: the best is in two of the three pairs, the second wins the third one, the worst none.
    # 3000 draws: sd = sqrt(3000 * 2/3 * 1/3) = 25.8.
    wins = Counter(best_of_n_draws([0.5, -1.0, 2.0], 2, draws=3000))
    assert wins[1] == 0
    assert abs(wins[2] - 2000) < 4 * 25.8


def test_the_mean_reward_of_the_draws_is_the_expected_maximum() -> None:
    case = vector("bon_expected_max")
    rewards = case["input"]["rewards"]
    chosen = [rewards[i] for i in best_of_n_draws(rewards, 3, draws=4000, seed=5)]
    # Winners .7, 1.1, 2.0 with probability 1/10, 3/10, 6/10: sd = sqrt(.3*0 + ...) < .53, so se < .0085
    assert np.mean(chosen) == pytest.approx(case["expected"]["n=3"], abs=0.035)
    assert expected_maximum(rewards, 3) == pytest.approx(case["expected"]["n=3"])


def test_at_n_equal_to_k_every_draw_is_the_same_output() -> None:
    # The bias at its worst: four different outputs, and a best-of-4 policy without any diversity.
    outputs = [["one two three", "four five six", "seven eight nine", "ten eleven twelve"]]
    sets = best_of_n_sets(outputs, [[0.1, 0.4, 0.2, 0.3]], 4)
    assert sets == [["four five six"] * 32]
    assert per_input(ngram_cosine_diversity, outputs).mean == 1.0
    assert per_input(ngram_cosine_diversity, sets).mean == pytest.approx(0.0)


def test_best_of_one_draws_all_outputs_alike() -> None:
    # 4000 draws of 4: 1000 each, sd = sqrt(4000 * 3/16) = 27.4
    wins = Counter(best_of_n_draws([1.0, 2.0, 3.0, 4.0], 1, draws=4000))
    assert all(abs(count - 1000) < 4 * 27.4 for count in wins.values())


def test_of_equal_rewards_the_one_drawn_first_wins() -> None:
    # Both of two equals are drawn, in either order: neither is preferred. 1000 draws: sd = sqrt(250) = 15.8.
    wins = Counter(best_of_n_draws([1.0, 1.0], 2, draws=1000))
    assert abs(wins[0] - 500) < 4 * 15.8


def test_each_input_has_draws_of_its_own_and_the_seed_decides_them() -> None:
    outputs, rewards = [list("abcdefgh")] * 2, [[float(i) for i in range(8)]] * 2
    sets = best_of_n_sets(outputs, rewards, 2, seed=3)
    assert [len(some) for some in sets] == [32, 32]
    assert sets[0] != sets[1]
    assert sets == best_of_n_sets(outputs, rewards, 2, seed=3)
    assert sets != best_of_n_sets(outputs, rewards, 2, seed=4)


def test_draws_that_cannot_be_made_are_refused() -> None:
    for n in (0, 3):
        with pytest.raises(ValueError, match="between 1 and the number of outputs"):
            best_of_n_draws([1.0, 2.0], n)
    with pytest.raises(ValueError, match="at least one output"):
        best_of_n_draws([1.0], 1, draws=0)
    for seed in range(8):  # whether the unscored output is drawn or not
        with pytest.raises(ValueError, match="NaN"):
            best_of_n_draws([1.0, math.nan, 2.0], 1, draws=1, seed=seed)
    with pytest.raises(ValueError, match="do not match"):
        best_of_n_sets([["a", "b"]], [[1.0]], 1)


@pytest.mark.parametrize(("n", "share"), [(2, 0.09), (4, 0.16), (8, 0.34), (16, 1.0)])
def test_two_draws_are_the_same_output_as_often_as_is_said(n: int, share: float) -> None:
    # The share of equal pairs among 2000 draws of K = 16; its standard error is below .01.
    wins = Counter(best_of_n_draws([float(i) for i in range(16)], n, draws=2000))
    pairs = sum(count * (count - 1) for count in wins.values()) / (2000 * 1999)
    assert pairs == pytest.approx(share, abs=0.02)
