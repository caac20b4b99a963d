"""One replica of a served labeler."""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ray import serve

from actors.exporting import own_place, watch_memory
from actors.labeler import Labeler
from actors.labelers import Online, open_labeler
from actors.spending import REST
from truing.errors import ActorDied

T = TypeVar("T")

BATCH, BATCH_WAIT = 64, 0.02
"""Requests that are answered together at most, and seconds that the first of them waits for others."""
FAILURES = 3
"""Batches in a row that may raise."""


class LabelerReplica:
    """One copy of the labeler. All its engine's work is done by one thread, as an engine wants it."""

    def __init__(self, settings: Online, spent: Path, deadline: float) -> None:
        """`deadline`: seconds that one batch may take."""
        watch_memory(own_place())
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._labeler: Labeler = self._thread.submit(open_labeler, settings, spent).result()
        self._deadline, self._begun, self._failed = deadline, math.inf, 0

    async def call(self, function: Callable[..., T], *arguments: object, **options: object) -> T:
        """`function(labeler, ...)`: a batch of the caller's own."""
        asked = partial(self._asked, function, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._thread, asked)

    def _asked(self, function: Callable[..., T], *arguments: object, **options: object) -> T:
        self._labeler.judge.halted(REST)
        self._begun = time.monotonic()
        try:
            found = function(self._labeler, *arguments, **options)
        except Exception:
            self._failed += 1
            raise
        else:
            self._failed = 0
            return found
        finally:
            self._begun = math.inf

    async def check_health(self) -> None:
        """Serve asks from time to time, and puts another in the place of one that is not well.

        Raises:
            ActorDied: a batch takes longer than it may, or several in a row have raised: a fault of their own texts would be a
                `Failed` of theirs.
        """
        if time.monotonic() > self._begun + self._deadline:
            raise ActorDied(f"labeler: a batch has taken more than {self._deadline:g} s (cluster.call_deadline)")
        if self._failed >= FAILURES:
            raise ActorDied(f"labeler: {FAILURES} batches in a row have raised an error")

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=BATCH_WAIT)
    async def one(self, asked: list[tuple[Callable[[Labeler, list[Any]], list[Any]], Any]]) -> list[Any]:
        """Single questions that arrive together are answered together: each with its function of labeler and items."""
        answers: dict[int, Any] = {}
        for function in dict.fromkeys(function for function, _ in asked):
            where = [i for i, (other, _) in enumerate(asked) if other == function]
            found = await self.call(function, [asked[i][1] for i in where])
            answers |= dict(zip(where, found, strict=True))
        return [answers[i] for i in range(len(asked))]
