"""Both ends of a push as a test wants them; actors' processes import them, so they live in a module of their own."""

import time
from collections.abc import Sequence
from pathlib import Path

from actors.learner import Seat
from actors.native import Described
from actors.wire import Meeting as Appointment
from tests.actors.ranks import Meeting

SUM = 7
"""The checksum of every bucket."""


class Ranks(Meeting):
    """A learner whose ranks meet for each bucket; its last rank refuses the second bucket, or all sleep in it."""

    def __init__(self, seat: Seat, *, sleeps: bool) -> None:
        super().__init__(seat)
        self.sleeps = sleeps

    def buckets(self, size: float) -> list[list[str]]:
        return [["a"], ["b"]]

    def weights(self, names: Sequence[str]) -> tuple[list[str], int]:
        if "b" in names and self.sleeps:
            time.sleep(600)
        self.meet(refuses=self.seat.world - 1 if "b" in names else -1)
        return list(names), SUM


class Taker:
    """An engine that takes whatever comes."""

    def take_bucket(self, bucket: tuple[list[str], int]) -> int:
        return bucket[1]


class Sender:
    """A learner's rank on a wire that tells nobody anything. While a file is there the wire breaks."""

    def __init__(self, broken: Path, _: Seat) -> None:
        self.broken = broken

    def described(self, size: float) -> list[Described]:
        return [Described(["a"], [[1]])]

    def tells(self) -> bool:
        return False

    def meeting(self, engines: int, largest: int) -> Appointment:
        return Appointment("nowhere:1", engines + 1, 1, largest)

    def meet(self, meeting: Appointment) -> list[None]:
        return []

    def send(self, names: Sequence[str]) -> list[int]:
        if self.broken.exists():
            raise RuntimeError("NCCL error: remote process exited or there was a network error")
        return [SUM]


class Receiver:
    """An engine on that wire: in a broadcast that broke it waits for ever."""

    def __init__(self, broken: Path) -> None:
        self.broken = broken

    def meet(self, places: Sequence[int], *, meeting: Appointment) -> list[None]:
        return [None]

    def receive(self, bucket: Described) -> list[int]:
        while self.broken.exists():
            time.sleep(600)
        return [SUM]

    def leave(self) -> list[None]:
        return [None]
