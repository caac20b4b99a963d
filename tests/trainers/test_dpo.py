import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.actors.examples import Here
from trainers.dpo import held_out_loss, loss, smoothed, train
from trainers.looks import Looks
from trainers.reward_model import batches, updates
from trainers.run import Run, read_metrics
from truing.config.training import Dpo
from truing.data.judged import Comparisons, Judged


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_smoothing_takes_a_share_of_the_labels_to_be_wrong() -> None:
    # 0.9·1 + 0.1·0;  0.9·0.6 + 0.1·0.4;  ½ stays
    assert smoothed(torch.tensor([1.0, 0.6, 0.5]), 0.1).tolist() == pytest.approx([0.9, 0.58, 0.5])


H, P, W = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 0.75]), torch.tensor([1.0, 2.0])


def test_dpo_by_hand() -> None:
    # β = ½: βh = 1, -½.   -log σ(1) - 2·[¾ log σ(-½) + ¼ log σ(½)]
    expected = -math.log(sigmoid(1)) - 2 * (0.75 * math.log(sigmoid(-0.5)) + 0.25 * math.log(sigmoid(0.5)))
    assert float(loss(H, P, W, kind="dpo", beta=0.5, smoothing=0.0)) == pytest.approx(expected)


def test_conservative_dpo_by_hand() -> None:
    # ε = 0.2: p = 0.8 and 0.8·0.75 + 0.2·0.25 = 0.65
    expected = -(0.8 * math.log(sigmoid(1)) + 0.2 * math.log(sigmoid(-1)))
    expected -= 2 * (0.65 * math.log(sigmoid(-0.5)) + 0.35 * math.log(sigmoid(0.5)))
    assert float(loss(H, P, W, kind="dpo", beta=0.5, smoothing=0.2)) == pytest.approx(expected)


def test_ipo_by_hand() -> None:
    # 1/2β = 1:  (2 - 1)² = 1;  2·[¾·(-1 - 1)² + ¼·(-1 + 1)²] = 6
    assert float(loss(H, P, W, kind="ipo", beta=0.5, smoothing=0.0)) == pytest.approx(7.0)


def test_where_policy_and_reference_are_one_dpo_is_log_2() -> None:
    zero = torch.zeros(3)
    found = loss(zero, torch.tensor([1.0, 0.7, 0.5]), torch.ones(3), kind="dpo", beta=0.1, smoothing=0.1)
    assert float(found) == pytest.approx(3 * math.log(2))


def test_the_held_out_loss_is_the_weighted_mean() -> None:
    chosen = partial(loss, kind="ipo", beta=0.5, smoothing=0.0)
    judged = [Judged(0, 1, 1.0, weight=1.0), Judged(2, 3, 0.75, weight=2.0)]
    assert held_out_loss(H.tolist(), judged, chosen) == pytest.approx(7 / 3)


class Ranks:
    """Stands in for two ranks of `PreferenceLearner`; the better response of prompt i has gained i - 5 nats."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []
        self.losses: list[Any] = []

    def update(self, positions: list[int], *, loss: Any) -> list[tuple[float, float]]:
        self.seen.append(list(positions))
        self.losses.append(loss)
        return [(len(self.seen) / 4, 0.5)]

    def ratios(self, positions: list[int]) -> list[list[float]]:
        return [[float(i - 5), 0.0] for i in positions]


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("trainers.dpo.PreferenceLearner", Ranks)
    return Here(Ranks(), Ranks())


PROMPTS = [Comparisons(f"p{i}", ("a", "b"), (Judged(0, 1, 1.0),)) for i in range(8)]


def test_training_updates_on_each_batch_and_looks_at_the_held_out_prompts(ranks: Here, tmp_path: Path) -> None:
    settings = Dpo(batch=2, epochs=1, loss="ipo", beta=0.5, smoothing=0.2, evaluate_every=2)
    run = Run(tmp_path, every=10, groups={}, state={})
    train(run, ranks, PROMPTS, 4, updates(4, settings, 3), Looks(2, None), settings)
    plan = batches(4, 2, 1, seed=3)
    assert [first + second for first, second in zip(*(r.seen for r in ranks.subjects), strict=True)] == plan
    # Every rank gets the loss that the section names: IPO of h = 0 and p = 1 is 0.8·(0 - 1)² + 0.2·(0 + 1)² = 1.
    one = torch.ones(1)
    assert {float(given(0 * one, one, one)) for r in ranks.subjects for given in r.losses} == {1.0}
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [(row["step"], row["loss"], row["prompts"]) for row in rows] == [(0, 0.25, 2), (1, 0.5, 2)]
    assert "held_out_loss" not in rows[0]
    # h = -1, 0, 1, 2 of prompts 4 to 7: of 0.8(h - 1)² + 0.2(h + 1)² = 3.2, 1, 0.8, 2.6 the mean is 1.9; right 0, ½, 1, 1
    assert rows[1]["held_out_loss"] == pytest.approx(1.9)
    assert rows[1]["held_out_accuracy"] == 0.625
