import numpy as np
import pytest
import sklearn

from truing.evaluation.length_fit import fit_weights


def test_one_column_by_hand() -> None:
    # 200 rows, share of wins .7, no other feature: C sum loss + |w| is least where 200 C (sigmoid(w) - .7) + 1 = 0.
    targets = np.tile([1.0, 1, 1, 0, 1, 0, 1, 0, 1, 1], 20)
    found, strength = fit_weights(np.ones((200, 1)), targets, np.ones(200), np.arange(200))
    assert 1 / (1 + np.exp(-found[0])) == pytest.approx(0.7 - 1 / (200 * strength), abs=1e-3)
    # C is one of ten: log10 C = -4 + 8 k / 9.
    k = (np.log10(strength) + 4) * 9 / 8
    assert k == pytest.approx(round(k))


def test_a_soft_label_is_a_share_of_hard_ones() -> None:
    hard = np.tile([1.0, 1, 1, 0], 50)
    one, _ = fit_weights(np.ones((200, 1)), hard, np.ones(200), np.arange(200))
    soft, _ = fit_weights(np.ones((200, 1)), np.full(200, 0.75), np.ones(200), np.arange(200))
    assert soft == [pytest.approx(one[0], abs=5e-3)]


def test_rows_of_little_weight_count_for_little() -> None:
    # 100 wins of weight 1 and 100 losses of weight .1: odds 10, weight log 10 = 2.3.
    targets = np.tile([1.0, 0.0], 100)
    weights = np.tile([1.0, 0.1], 100)
    found, _ = fit_weights(np.ones((200, 1)), targets, weights, np.arange(200))
    assert found == [pytest.approx(np.log(10), abs=0.05)]


def test_a_target_of_0_is_next_to_one_of_a_millionth() -> None:
    rng = np.random.default_rng(0)
    features = np.column_stack([np.tanh(rng.normal(size=300)), np.ones(300)])
    targets = np.clip(rng.normal(size=300), 0, 1)
    hard, _ = fit_weights(features, targets, np.ones(300), np.arange(300))
    near, _ = fit_weights(features, np.clip(targets, 1e-8, 1 - 1e-8), np.ones(300), np.arange(300))
    assert hard == pytest.approx(near, abs=1e-6)


def test_the_library_is_left_as_it_was() -> None:
    fit_weights(np.ones((20, 1)), np.tile([0.2, 0.9], 10), np.ones(20), np.arange(20))
    assert sklearn.get_config()["enable_metadata_routing"] is False
