"""The room of one node, as Ray gives it out: amounts of what it has, and single GPUs, of which an actor may have a share."""

import math
from collections.abc import Mapping

from jobs.cluster.kinds import MEMORY

GRAIN = 1e-6
"""Shares of GPUs do not add up to 1 in binary; Ray counts in steps of 1e-4."""


def has(resources: Mapping[str, float], name: str) -> float:
    """How much there is of it. Of memory there is enough where nobody has said how much there is."""
    return resources.get(name, math.inf if name == MEMORY else 0.0)


class Room:
    """What is left of a node."""

    def __init__(self, resources: Mapping[str, float]) -> None:
        self._left = dict(resources)
        gpus = resources.get("GPU", 0.0)
        # A machine whose GPUs are not counted yet has as many as are asked for.
        self._cards = None if math.isinf(gpus) else [1.0] * int(gpus) + ([gpus % 1] if gpus % 1 else [])

    def take(self, wanted: Mapping[str, float]) -> bool:
        """Give an actor what it wants, if there is room for all of it."""
        cards = self._chosen(wanted.get("GPU", 0.0))
        others = {name: much for name, much in wanted.items() if name != "GPU"}
        if cards is None or any(has(self._left, name) < much - GRAIN for name, much in others.items()):
            return False
        for name, much in others.items():
            self._left[name] = has(self._left, name) - much
        for card, much in cards.items():
            assert self._cards is not None
            self._cards[card] -= much
        return True

    def _chosen(self, gpus: float) -> dict[int, float] | None:
        """How much of which GPUs: whole ones, or a share of the one that it fills best; None where there is no room."""
        if self._cards is None or not gpus:
            return {}
        each = min(gpus, 1.0)
        fitting = sorted((left, card) for card, left in enumerate(self._cards) if left >= each - GRAIN)
        wanted = math.ceil(gpus)
        return {card: each for _, card in fitting[:wanted]} if len(fitting) >= wanted else None
