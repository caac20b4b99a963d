"""Which way the weights take to the engines, and who may share a GPU."""

import pytest

from truing.config.policy import Policy
from truing.config.roles import Engine, Learner, Lora, Push

MERGED, ADAPTER = Lora(), Lora(push="adapter")


@pytest.mark.parametrize(
    ("route", "learner", "engine", "expected"),
    [
        (None, Learner(), Engine(), "object_store"),
        (None, Learner(gpus=1), Engine(gpus=1), "native"),
        (None, Learner(gpus=1, lora=MERGED), Engine(gpus=1), "native"),
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": {"gpus": 2}}, "gpus is 2 and tensor_parallel 1: an engine uses one GPU for each part of a layer; give both"),
        ({"engine": {"gpus": 0.5, "tensor_parallel": 2}}, "gpus is 0.5 and tensor_parallel 2"),
        ({"engine": {"tensor_parallel": 2}}, "engine.tensor_parallel is for engines that keep their weights: give it 1"),
        ({"learner": {"ranks": 2, "gpus": 0.5}}, "gpus 0.5 lets two ranks share a GPU, and NCCL has one rank a GPU"),
        ({"learner": {"gpus": 2}}, "less than or equal to 1"),
        ({"reference": {"gpus": 2}}, "less than or equal to 1"),
    ],
)  # fmt: skip
def test_gpus_that_would_not_be_used_or_may_not_be_shared_are_refused(
    settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Policy.model_validate(settings)


def test_parts_of_a_gpu_and_split_engines() -> None:
    """One rank may take any part; of two each has more than half a GPU; an engine that is split has as many as parts, or none."""
    assert Learner(gpus=0.3).ranks == 1
    assert Learner(ranks=2, gpus=0.6).gpus == 0.6
    assert [Engine(gpus=gpus, tensor_parallel=2).gpus for gpus in (0, 2)] == [0, 2]
