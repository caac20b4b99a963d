"""Room that a run takes on disk, by hand."""

from typing import Any

import pytest

from jobs.doctor.space import taken, weights
from jobs.memory import Shape
from truing.config.study import Study

BILLION = Shape(parameters=10**9, layers=16, hidden=2048, intermediate=8192, vocabulary=32000)


def study(**given: Any) -> Study:
    return Study.model_validate({"name": "x", **given})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # Nothing is trained, so nothing is written.
        ({}, 0.0),
        # A model of 4 GB; checkpoints of 4 + 12, one that stays and one that is being written.
        ({"dpo": {}}, 4 + 2 * 16),
        ({"dpo": {"keep": 2, "patience": 3, "evaluate_every": 5}}, 4 + 4 * 16),
        # All ranks together hold the masters once; of stage 0 each holds moments of 8, and nobody masters.
        ({"dpo": {"learner": {"ranks": 4, "zero_stage": 2}}}, 4 + 2 * 16),
        ({"dpo": {"learner": {"ranks": 4, "zero_stage": 0}}}, 4 + 2 * (4 + 4 * 8)),
        # The largest stage's checkpoints beside the models of both.
        ({"dpo": {}, "policy": {"algorithm": {"kind": "ppo"}}}, 2 * 4 + 2 * 2 * 16),
        ({"dpo": {}, "rounds": 3}, 3 * 4 + 2 * 16),
    ],
)
def test_models_and_checkpoints(given: dict[str, Any], expected: float) -> None:
    assert taken(study(**given), BILLION) == pytest.approx(expected)


def test_adapters_alone_take_little() -> None:
    # Rank 1: 16 layers of (8 + 3) * 2048 + 3 * 8192 parameters, 16 bytes each, twice.
    adapters = 16 * (11 * 2048 + 3 * 8192)
    assert taken(study(dpo={"learner": {"lora": {"rank": 1}}}), BILLION) == pytest.approx(4 + 2 * 16 * adapters / 1e9)


def test_a_push_is_in_bfloat16() -> None:
    assert weights(BILLION) == 2.0
