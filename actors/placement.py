"""Where actors are put: ranks of a group near each other, others spread out; and what it means when there is no room."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray import ObjectRef
from ray._private.worker import global_worker
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from actors.pending import failed
from truing.errors import ShortOfResources

ROOM = 30.0
"""Seconds in which actors must find room on a cluster that does not grow."""
POLL = 0.5
MEMORY, GIB = "memory", 2**30
"""Ray's resource of a node's memory, in bytes."""


@dataclass(frozen=True, slots=True)
class Together:
    """Room for the ranks of a group, taken at once and on as few nodes as hold it; none where they reserve nothing."""

    group: PlacementGroup | None

    @classmethod
    def reserve(cls, role: str, count: int, bundle: Mapping[str, float], patience: float) -> "Together":
        """Wait for the room, so many seconds.

        Raises:
            ShortOfResources: there is none.
        """
        if not bundle:
            return cls(None)
        group = placement_group([dict(bundle)] * count, strategy="PACK")
        until = time.monotonic() + patience
        while not group.wait(POLL):
            if time.monotonic() > until:
                remove_placement_group(group)
                raise no_room(role, count, bundle, patience)
        return cls(group)

    def place(self, rank: int) -> Any:
        """The scheduling strategy of a rank."""
        return PlacementGroupSchedulingStrategy(self.group, rank) if self.group else "DEFAULT"

    def release(self) -> None:
        """Give the room back."""
        if self.group is not None:
            remove_placement_group(self.group)


def wait_for_room(
    role: str, bundle: Mapping[str, float], patience: float, loading: "Sequence[ObjectRef[Any]]", deadline: float
) -> None:
    """Wait until all of these actors are there, or one has failed, or none has waited for room for `deadline` seconds.

    What waits for room is known with a delay, a long one on a busy machine: so it is asked until they have loaded.

    Raises:
        ShortOfResources: for `patience` seconds there was no room for some.
    """
    placed = found = time.monotonic()
    while bundle and loading and time.monotonic() < placed + deadline:
        ready, loading = ray.wait(list(loading), timeout=POLL)
        if any(failed(one) for one in ready):
            return
        now = time.monotonic()
        if not (waiting := without_room(bundle)):
            found = now
        elif now > found + patience:
            raise no_room(role, waiting, bundle, patience)
        else:
            placed = now


def without_room(bundle: Mapping[str, float]) -> int:
    """How many actors or tasks that ask for just this no node has room for."""
    state = get_cluster_resource_state(cast("Any", global_worker).gcs_client)
    asked = [(dict(one.request.resources_bundle), one.count) for one in state.pending_resource_requests]
    return sum(count for wanted, count in asked if wanted == dict(bundle))


def no_room(role: str, count: int, bundle: Mapping[str, float], patience: float) -> ShortOfResources:
    """What was asked, and what is free."""
    free = ray.available_resources()
    asked = ", ".join(_amount(name, amount) for name, amount in bundle.items())
    there = ", ".join(_amount(name, free.get(name, 0.0)) for name in bundle)
    return ShortOfResources(
        f"{role}: {count} actors of {asked} each found no room within {patience:g} s; {there} free: others use the rest;"
        " wait for them, lower the role's count, or set cluster.colocate=true"
    )


def _amount(name: str, amount: float) -> str:
    return f"{amount / GIB:.4g} GiB of memory" if name == MEMORY else f"{amount:g} {name}"
