"""Ranks that do not do what they should. They are imported in the actors' processes, so they live in a module of their own."""

import os
import time

import torch.distributed as dist

from jobs.doctor.collective import Rank


class Mortal(Rank):
    """The last one dies when it has met the others."""

    def numbers(self) -> list[float]:
        if self.seat.rank == self.seat.world - 1:
            # Its connections are gone before the process is.
            dist.destroy_process_group()
            time.sleep(1)
            os._exit(1)
        return super().numbers()


class Silent(Rank):
    """The last one meets the others and then says nothing."""

    def numbers(self) -> list[float]:
        if self.seat.rank == self.seat.world - 1:
            time.sleep(600)
        return super().numbers()


class Wrong(Rank):
    """Each brings one more than it should."""

    def numbers(self) -> list[float]:
        return [number + 1 for number in super().numbers()]
