"""The wire of the native push: a group of the learner's rank 0 and the engines, in which rank 0 broadcasts.

On GPUs it is NCCL's, and its other end is vLLM's own `nccl` backend. On CPUs it is gloo's; its other end is the same class of
vLLM's, with another wire. vLLM is imported where one is made.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor

LEARNER = 0
"""The learner's place in the group; engines have those from 1 on."""
GLOO = "truing-gloo"
"""Name of the CPU's backend in vLLM's register."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where a group meets.

    `address`: host:port at the learner's rank 0. `world`: members, the learner among them. `deadline`: seconds in which all must
    have come, and which one broadcast may take. `largest`: bytes of the largest bucket.
    """

    address: str
    world: int
    deadline: int
    largest: int

    def invitation(self, place: int) -> dict[str, Any]:
        """What vLLM's `init_weight_transfer_engine` wants of the engine in that place. A bucket is one broadcast."""
        host, _, port = self.address.rpartition(":")
        where = {"master_address": host, "master_port": int(port), "rank_offset": place, "world_size": self.world}
        return where | {"packed": True, "packed_buffer_size_bytes": self.largest}


class Wire(Protocol):
    """A member's end."""

    def broadcast(self, tensor: Tensor, src: int) -> None:
        """From `src` to all others; it has left, or has come, when this returns."""
        ...

    def destroy(self) -> None:
        """Leave the group: who waits for this member is told so."""
        ...


class GlooWire:
    """Sockets. A member that ends is noticed at once, one that hangs after the deadline."""

    def __init__(self, meeting: Meeting, place: int) -> None:
        host, _, port = meeting.address.rpartition(":")
        deadline = timedelta(seconds=meeting.deadline)
        store: Any = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage] - documented there
            host, int(port), meeting.world, place == LEARNER, timeout=deadline
        )
        self._group: Any = dist.ProcessGroupGloo(store, place, meeting.world, deadline)

    def broadcast(self, tensor: Tensor, src: int) -> None:
        """As `Wire`."""
        self._group.broadcast(tensor, src).wait()

    def destroy(self) -> None:
        """As `Wire`."""
        self._group = None


class NcclWire:
    """The learner's end of vLLM's NCCL group. NCCL notices no member that is gone: the driver does, and ends the learner.

    How long may pass until all have met is vLLM's to say (300 s).
    """

    def __init__(self, meeting: Meeting) -> None:
        from vllm.distributed.weight_transfer.nccl_common import trainer_init

        self._group: Any = trainer_init(meeting.invitation(LEARNER), rank=LEARNER)

    def broadcast(self, tensor: Tensor, src: int) -> None:
        """As `Wire`."""
        stream = torch.cuda.current_stream()
        self._group.broadcast(tensor, src=src, stream=stream)
        stream.synchronize()

    def destroy(self) -> None:
        """As `Wire`."""
        self._group.destroy()


def learners_end(meeting: Meeting, device: torch.device) -> Wire:
    """The learner's end, when all have met."""
    return GlooWire(meeting, LEARNER) if device.type == "cpu" else NcclWire(meeting)


def register_gloo() -> None:
    """Give vLLM, in this process, a weight-transfer backend for the CPU.

    It is vLLM's `nccl` but for the wire: its messages, its session, its reloading.
    """
    from vllm.distributed.weight_transfer import WeightTransferEngineFactory
    from vllm.distributed.weight_transfer.nccl_engine import (
        NCCLWeightTransferEngine,
        NCCLWeightTransferInitInfo,
        NCCLWeightTransferUpdateInfo,
    )
    from vllm.distributed.weight_transfer.packed_tensor import unpack_tensor

    if GLOO in WeightTransferEngineFactory._registry:
        return

    @dataclass(kw_only=True)
    class Invitation(NCCLWeightTransferInitInfo):
        deadline: int

    class Gloo(NCCLWeightTransferEngine):
        init_info_cls = Invitation

        def init_transfer_engine(self, init_info: Any) -> None:
            address = f"{init_info.master_address}:{init_info.master_port}"
            largest = init_info.packed_buffer_size_bytes
            meeting = Meeting(address, init_info.world_size, init_info.deadline, largest)
            self.model_update_group: Any = GlooWire(meeting, init_info.rank_offset)

        def receive_weights(self, update_info: NCCLWeightTransferUpdateInfo) -> None:
            types: list[torch.dtype] = [vars(torch)[name] for name in update_info.dtype_names]
            sizes = [math.prod(s) * t.itemsize for s, t in zip(update_info.shapes, types, strict=True)]
            packed = torch.empty(sum(sizes), dtype=torch.uint8)
            self.model_update_group.broadcast(packed, LEARNER)
            model: Any = self.model
            model.load_weights(unpack_tensor(packed, update_info.names, update_info.shapes, types, sizes))

    WeightTransferEngineFactory.register_engine(GLOO, Gloo)
