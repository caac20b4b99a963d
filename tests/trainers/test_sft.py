import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.actors.examples import Here
from trainers.looks import Looks
from trainers.run import Run, read_metrics
from trainers.sft import held_out_loss, right, train
from truing.data.supervised_stream import ExampleStream
from truing.errors import TruingError

Asked = tuple[int, int]


class Ranks:
    """Stands in for two ranks of `SupervisedLearner`. Demonstration i has i + 1 answer tokens of 2 nats each."""

    def __init__(self) -> None:
        self.seen: list[Asked] = []

    def update(self, asked: Sequence[Asked]) -> list[tuple[float, float]]:
        self.seen += asked
        return [(len(self.seen) / 4, 0.5)]

    def losses(self, asked: Sequence[Asked]) -> list[tuple[float, int]]:
        return [(2.0 * (i + 1), i + 1) for i, _ in asked]

    def choices(self, asked: Sequence[Asked]) -> list[list[float]]:
        return [[-1.0 - i, -2.0, -1.0 - i] for i, _ in asked]


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("trainers.sft.SupervisedLearner", Ranks)
    return Here(Ranks(), Ranks())


def test_the_stream_is_shown_in_turn_and_looked_at_when_due(ranks: Here, tmp_path: Path) -> None:
    stream, looks = ExampleStream([f"{i:09d}" for i in range(6)], 3), Looks(2, None)
    run = Run(tmp_path, every=10, groups={}, state={"stream": stream, "looks": looks})
    train(run, ranks, stream, [(6, 0), (7, 0)], looks, steps=3, batch=4)
    asked = [(int(key), number) for key, number in ExampleStream([f"{i:09d}" for i in range(6)], 3).take(12)]
    first, second = (one.seen for one in ranks.subjects)
    # Each batch of four is shared between the two.
    assert [one for i in (0, 2, 4) for one in first[i : i + 2] + second[i : i + 2]] == asked
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows if "held_out_loss" in row] == [1]
    assert [row["loss"] for row in rows] == [0.5, 1.0, 1.5]


def test_the_held_out_loss_is_over_tokens_not_over_demonstrations(ranks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ranks, "losses", lambda _, asked: [(float(6 * i), 1 + 2 * i) for i, _ in asked])
    # 0 nats of one token, 6 of three: 6/4, where the mean of the two would be 1.
    assert held_out_loss(ranks, [(0, 0), (1, 0)]) == pytest.approx(1.5)


def test_the_likeliest_choice_is_the_answer_and_of_equals_the_first(ranks: Any) -> None:
    # Demonstration 0 scores -1, -2, -1: the first; 2 scores -3, -2, -3: the second.
    assert right(ranks, [(0, 0), (0, 0), (2, 0), (2, 0)], [0, 2, 1, 0]) == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("broken", [[math.nan, -2.0], [-2.0, math.nan], [-math.inf, -math.inf], [math.inf, -2.0]])
def test_choices_that_cannot_be_ranked_are_no_answer(
    ranks: Any, monkeypatch: pytest.MonkeyPatch, broken: list[float]
) -> None:
    monkeypatch.setattr(Ranks, "choices", lambda _, asked: [broken if i else [-1.0, -2.0] for i, _ in asked])
    reason = (
        f"sft: 2 of 3 demonstrations have choices that cannot be ranked, the first of them with log-likelihoods {broken};"
        " give a model without broken weights, or lower learning_rate"
    )
    with pytest.raises(TruingError, match=f"^{re.escape(reason)}$"):
        right(ranks, [(0, 0), (1, 0), (2, 0)], [0, 0, 0])
