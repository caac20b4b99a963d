"""The wire of the native push in this process, its members in threads; and vLLM's own end of the NCCL one, over gloo."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest
import torch

from actors.learner import free_address
from actors.wire import LEARNER, GlooWire, Meeting, Wire, learners_end

LARGE = 64 * 2**20
"""Bytes that no socket's buffers hold: who sends them waits for who takes them."""


def meeting(world: int, deadline: int = 300) -> Meeting:
    return Meeting(free_address(), world, deadline, 1000)


def together(*calls: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as threads:
        return [future.result() for future in [threads.submit(call) for call in calls]]


def met(where: Meeting) -> list[Wire]:
    """All members."""
    engines = [lambda place=place: GlooWire(where, place) for place in range(1, where.world)]
    return together(lambda: learners_end(where, torch.device("cpu")), *engines)


def test_every_engine_gets_what_the_learner_sends() -> None:
    learner, *engines = met(meeting(3))
    for number in (3, 4):
        sent = torch.arange(number, dtype=torch.uint8)
        came = [torch.zeros_like(sent) for _ in engines]
        takers = [partial(e.broadcast, t, LEARNER) for e, t in zip(engines, came, strict=True)]
        together(partial(learner.broadcast, sent, LEARNER), *takers)
        assert [tensor.tolist() for tensor in came] == [sent.tolist()] * 2


def test_an_engine_that_takes_nothing_holds_the_learner_until_the_deadline() -> None:
    learner, _idle = met(meeting(2, deadline=2))
    with pytest.raises(RuntimeError, match="Timed out waiting 2000ms"):
        learner.broadcast(torch.zeros(LARGE, dtype=torch.uint8), LEARNER)


def test_who_leaves_is_noticed_before_the_deadline() -> None:
    for goes, stays in ((0, 1), (1, 0)):
        members = met(meeting(2))
        members[goes].destroy()
        with pytest.raises(RuntimeError, match="gloo/transport"):
            members[stays].broadcast(torch.zeros(LARGE, dtype=torch.uint8), LEARNER)


def test_an_engine_that_does_not_come_holds_the_learner_until_the_deadline() -> None:
    with pytest.raises(RuntimeError, match=r"(?i)timed? ?out"):
        learners_end(meeting(2, deadline=1), torch.device("cpu"))


class Stream:
    """Stands in for a CUDA stream: what is asked of it has been done."""

    def synchronize(self) -> None:
        pass


def test_a_bucket_is_what_vllms_nccl_backend_takes_in_one_broadcast(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's messages and its consumer of packed tensors, as an engine on a GPU runs them; the streams are stand-ins, the wire
    is gloo's."""
    from vllm.distributed.weight_transfer import packed_tensor
    from vllm.distributed.weight_transfer.nccl_common import NCCLWeightTransferInitInfo

    shapes = {"b": [2, 3], "a": [5], "c": [4, 2]}
    weights = {name: torch.randn(shape).to(torch.bfloat16) for name, shape in shapes.items()}
    packed = torch.cat([tensor.reshape(-1).view(torch.uint8) for tensor in weights.values()])
    where = Meeting(free_address(), 2, 300, packed.numel())
    info = NCCLWeightTransferInitInfo(**where.invitation(1))
    assert (f"{info.master_address}:{info.master_port}", info.rank_offset, info.world_size) == (where.address, 1, 2)
    assert info.packed
    learner, engine = met(where)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(packed_tensor, "_get_streams", lambda _, count: (Stream(),) * count)
    handed: list[list[tuple[str, torch.Tensor]]] = []

    def consume() -> None:
        described = ((name, (shape, torch.bfloat16)) for name, shape in shapes.items())
        packed_tensor.packed_nccl_broadcast_consumer(
            described, engine, LEARNER, handed.append, info.packed_buffer_size_bytes, info.packed_num_buffers, "cpu"
        )

    together(consume, lambda: learner.broadcast(packed, LEARNER))
    (only,) = handed
    assert [name for name, _ in only] == list(weights)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in only)
