"""An engine whose layers are split over two processes, in an actor as everywhere: it says what a plain forward pass says."""

import psutil
import pytest

from actors.engine import Engine, engine_environment
from actors.group import ActorGroup, Needs
from tests.actors.examples import plain_logprobs, plain_model
from truing.config.roles import Engine as Settings
from truing.config.roles import Model

PROMPT, RESPONSE = [1, 5, 9, 20], [7, 30, 8]


def below(engine: Engine) -> list[int]:
    """Processes that the engine's own has started."""
    return [process.pid for process in psutil.Process().children(recursive=True)]


def test_it_is_as_a_plain_forward_pass_and_ends_with_its_actor(cluster: None, tiny: str) -> None:
    settings = Settings(cpus=2, tensor_parallel=2, dtype="float32", cache_gb=0.1)
    needs = Needs(0, 0, engine_environment(settings), start_deadline=600, call_deadline=300)
    group = ActorGroup.stateless("split", 1, lambda: Engine(tiny, Model(context=64), settings), needs)
    try:
        found = group.ready().first(Engine.sequence_logprobs, PROMPT, RESPONSE)
        parts = group.first(below)
    finally:
        group.close()
    assert found == pytest.approx(plain_logprobs(plain_model(tiny), PROMPT, RESPONSE), abs=1e-4)
    assert len(parts) >= 2
    _, alive = psutil.wait_procs([psutil.Process(one) for one in parts if psutil.pid_exists(one)], timeout=60)
    assert alive == []
