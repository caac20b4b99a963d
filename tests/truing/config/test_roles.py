"""Which way the weights take to the engines."""

import pytest

from truing.config.policy import Policy
from truing.config.roles import Engine, Learner, Lora, Push

MERGED, ADAPTER = Lora(), Lora(push="adapter")


@pytest.mark.parametrize(
    ("route", "learner", "engine", "expected"),
    [
        (None, Learner(), Engine(), "object_store"),
        (None, Learner(gpus=1), Engine(gpus=1), "native"),
        (None, Learner(gpus=1, lora=MERGED), Engine(gpus=2), "native"),
        (None, Learner(gpus=1, lora=ADAPTER), Engine(gpus=1), "object_store"),
        # NCCL has one member a GPU.
        (None, Learner(gpus=0.5), Engine(gpus=0.5), "object_store"),
        (None, Learner(gpus=1), Engine(), "object_store"),
        ("object_store", Learner(gpus=1), Engine(gpus=1), "object_store"),
        ("native", Learner(), Engine(), "native"),
        ("native", Learner(gpus=1), Engine(gpus=1), "native"),
    ],
)
def test_the_way_that_is_taken(route: str | None, learner: Learner, engine: Engine, expected: str) -> None:
    assert Push.model_validate({"route": route}).chosen(learner, engine) == expected


@pytest.mark.parametrize(
    ("learner", "engine", "message"),
    [
        ({"lora": {"push": "adapter"}}, {}, "route native pushes whole models: give learner.lora.push merged, or"),
        ({"gpus": 1}, {}, r"learner.gpus is 1 and engine.gpus 0: give both 1, both 0, or route object_store"),
        ({"gpus": 0.5}, {"gpus": 0.5}, r"learner.gpus is 0.5 and engine.gpus 0.5: give both 1, both 0, or route object_store"),
    ],
)  # fmt: skip
def test_a_way_that_is_not_open_is_refused(learner: dict[str, object], engine: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy.model_validate({"push": {"route": "native"}, "learner": learner, "engine": engine})
