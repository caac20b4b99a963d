"""What a test puts in an actor's process. It is imported there, so it lives in a module of its own."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from actors.learner import Seat
from truing.errors import ActorDied, ConfigError


class Room:
    """A rank's process with a seat, in which one learner after another is made: a process costs seconds, a learner none."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.learner: Any = None

    def make(self, make: Callable[[Seat], object]) -> None:
        self.learner = make(self.seat)

    def update(self, *columns: object, **common: object) -> list[Any]:
        return self.learner.update(*columns, **common)

    def read(self, *columns: object, ask: Callable[..., Any]) -> Any:
        """Any other method of the learner."""
        return ask(self.learner, *columns)

    def save(self, folder: Path) -> None:
        self.learner.save(folder)

    def load(self, folder: Path) -> None:
        self.learner.load(folder)


class Toy:
    """A plain object that says who it is."""

    def __init__(self, name: str = "toy") -> None:
        self.name = name
        self.process = os.getpid()
        self.thread = threading.get_ident()
        self.told = threading.Event()

    def squares(
        self, numbers: Sequence[int], others: Sequence[int] = (), *, plus: int = 0
    ) -> list[tuple[int, int, int]]:
        """(number, number² + plus, items in this share)."""
        if others and len(others) != len(numbers):
            raise ValueError(f"shares of {len(numbers)} and {len(others)} items")
        return [(number, number**2 + plus, len(numbers)) for number in numbers]

    def whose(self, items: Sequence[object]) -> list[int]:
        """The process that has each item."""
        return [self.process for _ in items]

    def sums(self, rows: Sequence[tuple[int, int, int]], others: Sequence[int]) -> list[tuple[int, int]]:
        """(sum of a row's first two and the other column's item, items in this share)."""
        return [(row[0] + row[1] + other, len(rows)) for row, other in zip(rows, others, strict=True)]

    def pairs(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Two at a time, and the odd one last."""
        yield from (list(numbers[i : i + 2]) for i in range(0, len(numbers), 2))

    def waiting_pairs(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """The same, but after the first two it waits until it is told to go on."""
        for pair in self.pairs(numbers):
            yield pair
            if not self.told.wait(timeout=60):
                raise ActorDied("nobody said go on")

    def go_on(self) -> None:
        self.told.set()

    def one_pair_and_no_more(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        yield list(numbers[:2])
        raise ConfigError("the second pair is missing")

    def one_pair_and_death(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        yield list(numbers[:2])
        os.kill(self.process, signal.SIGKILL)

    def one_pair_and_death_of_the_first(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Of the actor that has number 0."""
        if 0 in numbers:
            os.kill(self.process, signal.SIGKILL)
        yield list(numbers)
        yield []

    def sleep_of_the_first(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Of the actor that has number 0."""
        if 0 in numbers:
            time.sleep(600)
        yield list(numbers)
        yield []

    def end(self) -> None:
        os.kill(self.process, signal.SIGKILL)

    def threads(self) -> tuple[int, int]:
        """The thread that made the object, and the one that calls it."""
        return self.thread, threading.get_ident()

    def who(self) -> int:
        return self.process

    def refuse(self, numbers: Sequence[int]) -> list[int]:
        raise ConfigError(f"{self.name}: {len(numbers)} numbers are too many; give fewer")

    def sleep(self, seconds: float) -> str:
        time.sleep(seconds)
        return "awake"

    def sleep_if(self, process: int, seconds: float) -> str:
        if process == self.process:
            time.sleep(seconds)
        return "awake"

    def die_once(self, numbers: Sequence[int], *, marker: Path) -> list[tuple[int, int]]:
        """Ends its process the first time it is called, whoever calls."""
        if not marker.exists():
            marker.touch()
            os._exit(1)
        return [(number, self.process) for number in numbers]

    def lose_the_gpu(self, numbers: Sequence[int], *, marker: Path) -> list[tuple[int, int]]:
        """The first process that is asked loses its GPU."""
        if not marker.exists():
            marker.touch()
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel errors might be ...")
        return [(number, self.process) for number in numbers]

    def fill_the_gpu(self) -> None:
        """More than there is."""
        raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...\nmore")


def toy_that_refuses() -> Toy:
    raise ConfigError("toy: the folder is empty; give another")


def meet_others(seat: Seat) -> None:
    """Make the default process group of this process: gloo, on a CPU."""
    dist.init_process_group(
        "gloo",
        init_method=f"tcp://{seat.address}",
        rank=seat.rank,
        world_size=seat.world,
        timeout=timedelta(seconds=seat.deadline),
    )


class Moody(Toy):
    """Each time that one is made a letter of a file is used up.

    r, it refuses; d, it dies; h, it hangs; s, it takes its time; without one all is well.
    """

    def __init__(self, moods: Path) -> None:
        super().__init__()
        mood, rest = moods.read_text()[:1], moods.read_text()[1:]
        moods.write_text(rest)
        if mood == "r":
            raise ConfigError("toy: the folder is empty; give another")
        if mood == "d":
            self.end()
        if mood in ("h", "s"):
            self.sleep(600.0 if mood == "h" else 5.0)


class Meeting:
    """A rank that meets the others in collectives."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        meet_others(seat)

    def meet(self, *, dies: int = -1, refuses: int = -1) -> float:
        """Sum over the ranks of (rank + 1)."""
        if self.seat.rank == dies:
            # Its connections are gone before the process is: the others hear of that first.
            dist.destroy_process_group()
            time.sleep(1)
            os._exit(1)
        if self.seat.rank == refuses:
            raise ConfigError(f"rank {refuses}: does not want to; ask it later")
        tensor = torch.tensor(self.seat.rank + 1.0)
        dist.all_reduce(tensor)
        return float(tensor)

    def counted(self, items: Sequence[object]) -> list[int]:
        """For each item of this share, how many all ranks have."""
        tensor = torch.tensor(len(items))
        dist.all_reduce(tensor)
        return [int(tensor)] * len(items)


class Robbed(Meeting):
    """While rank 0 loads, somebody wants its port, and keeps it if it is free."""

    def __init__(self, seat: Seat) -> None:
        self.robber = socket.socket()
        host, _, port = seat.address.rpartition(":")
        if seat.rank == 0:
            with suppress(OSError):
                self.robber.bind((host, int(port)))
                self.robber.listen()
        super().__init__(seat)
