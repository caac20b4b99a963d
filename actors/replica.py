"""One replica of a served labeler."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ray import serve

from actors.exporting import own_place, watch_memory
from actors.labeler import Labeler
from actors.labelers import Online, open_labeler

T = TypeVar("T")

BATCH, BATCH_WAIT = 64, 0.02
"""Requests that are answered together at most, and seconds that the first of them waits for others."""


class LabelerReplica:
    """One copy of the labeler. All its engine's work is done by one thread, as an engine wants it."""

    def __init__(self, settings: Online, spent: Path) -> None:
        watch_memory(own_place())
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._labeler: Labeler = self._thread.submit(open_labeler, settings, spent).result()

    async def call(self, function: Callable[..., T], *arguments: object, **options: object) -> T:
        """`function(labeler, ...)`: a batch of the caller's own."""
        asked = partial(function, self._labeler, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._thread, asked)

    @serve.batch(max_batch_size=BATCH, batch_wait_timeout_s=BATCH_WAIT)
    async def one(self, asked: list[tuple[Callable[[Labeler, list[Any]], list[Any]], Any]]) -> list[Any]:
        """Single questions that arrive together are answered together: each with its function of labeler and items."""
        answers: dict[int, Any] = {}
        for function in dict.fromkeys(function for function, _ in asked):
            where = [i for i, (other, _) in enumerate(asked) if other == function]
            found = await self.call(function, [asked[i][1] for i in where])
            answers |= dict(zip(where, found, strict=True))
        return [answers[i] for i in range(len(asked))]
