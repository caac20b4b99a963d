import math

import pytest

from trainers.best_of_n import best, frontier, gain

REWARDS = {"a": [1.0, 3.0, 2.0, 3.0], "b": [-1.0, -2.0, -4.0, -3.0], "c": []}


def test_the_best_of_each_prompt_is_the_first_of_equals_and_a_prompt_without_a_reward_has_none() -> None:
    assert best(REWARDS) == {"a": 1, "b": 0}


def test_the_gain_is_from_the_mean_of_all_to_the_mean_of_the_chosen() -> None:
    # Means 9/4 and -10/4, without the prompt that has none; the two chosen ones are 3 and -1.
    assert gain(REWARDS, best(REWARDS)) == (pytest.approx(-0.125), pytest.approx(1.0))


def test_each_prompt_counts_once_in_the_gain_however_many_completions_have_a_reward() -> None:
    # Means by prompt 0 and 10, and so are the best: nothing was gained. Over completions the mean would be 10 / 9.
    rewards = {"a": [0.0] * 8, "b": [10.0]}
    assert gain(rewards, best(rewards)) == (5.0, 5.0)


def test_the_frontier_by_hand() -> None:
    known = {prompt: REWARDS[prompt] for prompt in ("a", "b")}
    found = frontier(known, seed=0)
    assert [one.n for one in found] == [1, 2, 4]
    # n = 1: means 2.25 and -2.5.   n = 2, over the six pairs of each: a has 2, 3, 3 of pairs with 1, then 3, 3, 3: 17/6;
    # b: -1 three times, -2 twice, -3 once: -10/6.   n = 4: 3 and -1.
    values = [(2.25 - 2.5) / 2, (17 / 6 - 10 / 6) / 2, (3 - 1) / 2]
    assert [one.reward.value for one in found] == [pytest.approx(value) for value in values]
    # ln n - (n-1)/n
    assert [one.kl for one in found] == [0, pytest.approx(math.log(2) - 1 / 2), pytest.approx(math.log(4) - 3 / 4)]
    assert all(one.reward.n == 2 for one in found)
    assert all(one.reward.low <= one.reward.value <= one.reward.high for one in found)


def test_n_goes_as_far_as_every_prompt_has_rewards() -> None:
    assert [one.n for one in frontier({"a": [1.0] * 8, "b": [1.0] * 5}, seed=0)] == [1, 2, 4]
    assert frontier({"a": [1.0], "b": []}, seed=0) == []
    assert frontier({}, seed=0) == []
