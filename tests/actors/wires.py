"""What a test does to the ends of a push, in their processes."""

import os
import signal
from typing import Any

from torch import Tensor

from actors.native import ReceivingEngine, SendingPolicy


class Tampered:
    """A wire on which something happens to one broadcast."""

    def __init__(self, wire: Any, number: int, *, fails: bool) -> None:
        self._wire, self._left, self._fails = wire, number, fails

    def broadcast(self, tensor: Tensor, src: int) -> None:
        self._left -= 1
        if self._left == 0:
            if self._fails:
                raise RuntimeError("gloo/transport: a cable was pulled")
            tensor[7] ^= 1
        self._wire.broadcast(tensor, src)

    def destroy(self) -> None:
        self._wire.destroy()


def tamper(policy: SendingPolicy, number: int, *, fails: bool) -> None:
    """The next broadcasts' `number`th fails at the sender, or arrives with one bit of it turned."""
    if policy._wire is not None:
        policy._wire = Tampered(policy._wire, number, fails=fails)


_SEEN: list[object] = []
"""The wires of this process, kept: what is gone could be mistaken for what came after it."""


def wire(policy: SendingPolicy) -> int:
    """Which wire it is: another number, another group."""
    if not any(policy._wire is seen for seen in _SEEN):
        _SEEN.append(policy._wire)
    return next(number for number, seen in enumerate(_SEEN) if policy._wire is seen)


def process(_: object) -> int:
    return os.getpid()


def die_at(engine: ReceivingEngine, number: int) -> None:
    """The process ends when the `number`th bucket from now comes, before it is taken."""
    worker, left = engine._engine.worker, number

    def dying(method: str, *arguments: object) -> Any:
        nonlocal left
        left -= method == "receive_push"
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return worker(method, *arguments)

    engine._engine.worker = dying
