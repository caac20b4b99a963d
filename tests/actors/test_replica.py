"""When a served labeler is not well: Serve asks it, and puts another in its place."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.labeler import Labeler
from actors.replica import FAILURES, LabelerReplica
from tests.actors.chat_server import serving
from truing.config.labeling import EndpointLabeler
from truing.errors import ActorDied


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[LabelerReplica]:
    with serving() as server:
        settings = EndpointLabeler(url=f"http://127.0.0.1:{server.server_port}/v1", model="judge")
        yield LabelerReplica(settings, tmp_path, 0.05)


def test_a_batch_that_takes_too_long_is_no_health_and_then_health_again(replica: LabelerReplica):
    gate, begun = threading.Event(), threading.Event()

    def hang(_: Labeler) -> str:
        begun.set()
        assert gate.wait(60)
        return "done"

    async def asked() -> str:
        await replica.check_health()
        call = asyncio.create_task(replica.call(hang))
        while not begun.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        with pytest.raises(ActorDied, match=r"taken more than 0.05 s \(cluster.call_deadline\)"):
            await replica.check_health()
        gate.set()
        found = await call
        await replica.check_health()
        return found

    assert asyncio.run(asked()) == "done"


def test_errors_in_a_row_are_no_health_and_one_answer_between_them_is(replica: LabelerReplica):
    def broken(_: Labeler) -> None:
        raise RuntimeError("Executor failed.")

    async def fail(times: int) -> None:
        for _ in range(times):
            with pytest.raises(RuntimeError):
                await replica.call(broken)

    async def asked() -> None:
        await fail(FAILURES - 1)
        await replica.check_health()
        assert await replica.call(lambda labeler: labeler is not None)
        await fail(FAILURES - 1)
        await replica.check_health()
        await fail(1)
        with pytest.raises(ActorDied, match="batches in a row have raised"):
            await replica.check_health()

    asyncio.run(asked())
