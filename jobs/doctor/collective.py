"""A collective: real ranks meet as a learner's do and add up numbers whose sum is known."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from ray.exceptions import RayError

from actors.group import ActorGroup, Needs
from actors.learner import Seat
from jobs.cluster.demands import Role, demands
from jobs.doctor.found import Found, ok
from trainers.roles import learner_needs
from truing.config.roles import Learner
from truing.config.study import Study
from truing.errors import TruingError

DEADLINE = 60.0
"""Seconds in which the ranks must have met and added up."""
EARLIER = 10
"""Seconds before the deadline at which a rank itself gives up: it knows better what it waits for."""

Backend = Literal["gloo", "nccl"]


class Rank:
    """One of the group. It needs no DeepSpeed: that builds on the same collectives."""

    def __init__(self, backend: Backend, seat: Seat) -> None:
        self._backend, self.seat = backend, seat

    def address(self) -> str:
        """Where the group meets, at rank 0."""
        return self.seat.address

    def numbers(self) -> list[float]:
        """What this rank brings: r + 1 and its square."""
        return [self.seat.rank + 1.0, (self.seat.rank + 1.0) ** 2]

    def met(self) -> list[float]:
        """The sums over all ranks."""
        place = "cuda" if self._backend == "nccl" else "cpu"
        patience = timedelta(seconds=max(1, self.seat.deadline - EARLIER))
        dist.init_process_group(
            self._backend,
            init_method=f"tcp://{self.seat.address}",
            rank=self.seat.rank,
            world_size=self.seat.world,
            timeout=patience,
        )
        sums = torch.tensor(self.numbers(), dtype=torch.float64, device=place)
        dist.all_reduce(sums)
        found = sums.tolist()
        dist.destroy_process_group()
        return found


def largest(study: Study) -> Role | None:
    """The learner with the most ranks; None where the study trains nothing."""
    learners = [one for one in demands(study) if one.node == "learner"]
    return max(learners, key=lambda one: one.count, default=None)


def group_of(study: Study, role: Role) -> tuple[int, Needs, Backend]:
    """How many ranks, what each asks for, and what they talk through.

    A learner of one rank never meets another: two on CPUs then stand for any group, and reserve nothing.
    """
    if role.count == 1:
        needs = learner_needs(Learner(cpus=1), study.cluster)
        return 2, replace(needs, cpus=0, resources={}, memory=0, call_deadline=DEADLINE), "gloo"
    needs = learner_needs(Learner(ranks=role.count, cpus=int(role.cpus), gpus=role.gpus), study.cluster)
    return role.count, replace(needs, call_deadline=DEADLINE), "nccl" if role.gpus else "gloo"


def collective(count: int, needs: Needs, backend: Backend, make: Callable[[Seat], Rank]) -> Found:
    """Let a group meet.

    Raises:
        TruingError: it finds no room, does not start, does not meet, or adds up wrongly.
    """
    group: ActorGroup[Any] = ActorGroup.ranks("ranks of the doctor", count, make, needs)
    try:
        group.ready()
        where = group.first(Rank.address)
        try:
            found = group.broadcast(Rank.met)
        except (TruingError, RayError, RuntimeError) as error:
            raise TruingError(_apart(count, backend, where, error)) from None
    finally:
        group.close()
    # 1 + 2 + ... + n, and their squares
    expected = [count * (count + 1) / 2, count * (count + 1) * (2 * count + 1) / 6]
    wrong = [(rank, sums) for rank, sums in enumerate(found) if sums != expected]
    if wrong:
        rank, sums = wrong[0]
        raise TruingError(
            f"{count} ranks over {backend} at {where} add up to {sums} on rank {rank} instead of {expected}: look at the network"
            f" interface that {backend.upper()}_SOCKET_IFNAME names, and at its driver"
        )
    return ok("collective", f"{count} ranks over {backend} met at {where} and agree")


def _apart(count: int, backend: Backend, where: str, error: Exception) -> str:
    said = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()[:300]
    return (
        f"{count} ranks over {backend} did not meet at {where} ({said}): a firewall between the nodes, or"
        f" {backend.upper()}_SOCKET_IFNAME, which names the interface that the nodes share, is not set"
    )
