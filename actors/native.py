"""Both ends of the native push: vLLM's weight-transfer API in the engine, a wire to it in the learner's rank 0.

The object store is not in it. The driver asks learner and engines at the same time, once a bucket: they meet in a broadcast.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from actors.engine import Engine
from actors.learner import free_address
from actors.policy import Policy
from actors.rollout import RolloutEngine, checksum
from actors.sharded import shape_of
from actors.wire import GLOO, Meeting, Wire, learners_end, register_gloo
from truing.config.roles import Engine as EngineSettings
from truing.config.roles import Lora, Model
from truing.errors import ActorLost


@dataclass(frozen=True, slots=True)
class Described:
    """What comes in a bucket: names in order, with their shapes."""

    names: list[str]
    shapes: list[list[int]]

    @property
    def bytes(self) -> int:
        """As bfloat16."""
        return 2 * sum(torch.Size(shape).numel() for shape in self.shapes)


class NativeIntake:
    """vLLM's session: opened, fed by `ReceivingEngine.receive`, closed."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self) -> None:
        """Let the layers wait until all that they are made of is there."""
        self._engine.worker("open_push")

    def take(self, weights: object) -> None:
        """Nothing comes this way."""
        raise NotImplementedError("the native push brings its weights itself")

    def close(self) -> None:
        """Use them, and forget what was computed with the old ones."""
        self._engine.worker("close_push")
        self._engine.forget()


class ReceivingEngine(RolloutEngine):
    """A rollout engine that takes its weights from the wire."""

    def _started(self, folder: str, model: Model, settings: EngineSettings, adapters: Lora | None) -> Any:
        assert adapters is None, "policy.push.route native pushes whole models"
        self._on_cpu = not settings.gpus
        engine = Engine(folder, model, settings, self._options)
        return engine, NativeIntake(engine)

    def _options(self) -> dict[str, Any]:
        if self._on_cpu:
            register_gloo()
        backend = {"backend": GLOO if self._on_cpu else "nccl"}
        return {"weight_transfer_config": backend, "worker_extension_cls": "actors.receiving.Receiving"}

    def meet(self, places: Sequence[int], *, meeting: Meeting) -> list[None]:
        """Meet the learner; `places`: the one that this engine has in the group."""
        (place,) = places
        # vLLM's own backend knows no deadline but its 300 s for the meeting.
        more = {"deadline": meeting.deadline} if self._on_cpu else {}
        self._engine.worker("meet_for_push", meeting.invitation(place) | more)
        return [None]

    def leave(self) -> list[None]:
        """Leave the group: a learner that is sending to it is told so."""
        self._engine.worker("leave_push")
        return [None]

    def receive(self, bucket: Described) -> list[int]:
        """One bucket, which the learner sends at the same time; the checksum of what came."""
        dtypes = ["bfloat16"] * len(bucket.names)
        update = {"names": bucket.names, "dtype_names": dtypes, "shapes": bucket.shapes}
        return [self._engine.worker("receive_push", update)]


class SendingPolicy(Policy):
    """A learner rank that sends its weights itself, where it is rank 0; the others help to gather them."""

    _wire: Wire | None = None

    def described(self, size: float) -> list[Described]:
        """The buckets of at most `size` bytes, as `buckets`, with the shapes of what is in them."""
        made_of, settings = self._pushed(), self.learner.settings
        return [
            Described(names, [list(shape_of(made_of[name][0], settings)) for name in names])
            for names in self.buckets(size)
        ]

    def tells(self) -> bool:
        """Whether who waits for a bucket is told when the others leave the group. Over NCCL it waits for ever."""
        return self.learner.device.type == "cpu"

    def meeting(self, engines: int, largest: int) -> Meeting:
        """A place on this rank's node, for so many engines and buckets of at most `largest` bytes."""
        seat = self.learner.seat
        return Meeting(free_address(seat.address.rpartition(":")[0]), engines + 1, seat.deadline, largest)

    def meet(self, meeting: Meeting) -> list[None]:
        """Meet the engines, and leave the group of before."""
        if self.learner.seat.rank == 0:
            self._leave()
            self._wire = learners_end(meeting, self.learner.device)
        return []

    def send(self, names: Sequence[str]) -> list[int]:
        """One bucket to the engines, which receive it at the same time; rank 0 has the checksum that it left with.

        Raises:
            ActorLost: an earlier bucket did not go through.
        """
        with self.shared(names) as whole:
            if self.learner.seat.rank:
                return []
            packed = torch.cat([whole[name].reshape(-1).view(torch.uint8) for name in names])
            found = checksum({name: part.view(torch.int16).cpu().numpy() for name, part in whole.items()})
        if self._wire is None:
            raise ActorLost("policy: an earlier bucket did not reach the engines; run the same command again to go on")
        try:
            self._wire.broadcast(packed, src=0)
        except RuntimeError:
            # Who still waits for this bucket is told now, and not when the deadline has passed.
            self._leave()
            raise
        return [found]

    def _leave(self) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.destroy()
